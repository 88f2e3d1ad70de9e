"""What can be done with datasets."""

import logging
from collections.abc import Mapping
from pathlib import Path

from app.contract.base import Page
from app.contract.datasets import Column, Dataset, Format, Kind, Rows
from app.errors import DatasetInUse, Fault, InvalidRequest, NotFound, UnreadableTable
from app.services.installation import Installation, now
from app.services.once import Answer, RequestKey, once, replay
from app.store import contents
from app.store import datasets as store
from app.store.blobs import NewBlob
from app.store.faults import DATABASE_DOWN
from app.store.ids import new_id
from app.store.session import Session
from app.store.tables import DatasetRow
from app.tables.reader import TableReader
from app.tables.summary import Limits, ReadOptions

MAX_CELLS_SHOWN = 1_000_000

log = logging.getLogger(__name__)


def create(
    installation: Installation,
    request: RequestKey,
    blob: NewBlob,
    *,
    name: str,
    format: Format | None,
    kinds: Mapping[str, Kind],
    options: ReadOptions = ReadOptions(),  # noqa: B008
) -> Answer:
    """Read an upload as a table and store both, once for a key.

    Raises:
        UnreadableTable: The bytes are not a table in that format; every fault is listed.
    """
    with installation.database.reading() as session:
        earlier = replay(session, request)
    if earlier is not None:
        return earlier
    reader = installation.uploads
    row = store_files(
        installation, request.owner, blob, reader=reader, name=name, format=format, kinds=kinds, options=options
    )
    try:
        with installation.database.transaction() as session:
            answer = once(session, request, lambda: (row.id, add(installation, session, row)))
    except BaseException:
        drop_files(installation, row)
        raise
    if answer.object_id != row.id:
        drop_files(installation, row)
    return answer


def store_files(
    installation: Installation,
    owner: str,
    blob: NewBlob,
    *,
    reader: TableReader,
    name: str,
    format: Format | None,
    kinds: Mapping[str, Kind],
    options: ReadOptions = ReadOptions(),  # noqa: B008
) -> DatasetRow:
    """Put the bytes and the table read from them on disk; give the row that makes them a dataset once it is added."""
    if blob.size_bytes == 0:
        raise UnreadableTable("The body is empty.", code="empty_dataset")
    blob.flush()
    dataset_id = new_id("ds")
    table = installation.blobs.path(contents.table(dataset_id))
    table.parent.mkdir(parents=True, exist_ok=True)
    try:
        summary = reader.read_table(blob.path, format, kinds, table, Limits.of(installation.settings), options)
        blob.publish(installation.blobs.path(contents.staged(dataset_id)))
        contents.save(installation.blobs, dataset_id, blob.sha256)
    except BaseException:
        installation.blobs.delete_folder(f"datasets/{dataset_id}")
        raise
    return DatasetRow(
        id=dataset_id,
        owner=owner,
        name=name,
        format=summary.format,
        size_bytes=blob.size_bytes,
        sha256=blob.sha256,
        n_rows=summary.n_rows,
        columns=[column.model_dump(mode="json") for column in summary.columns],
        read=summary.read.model_dump(mode="json"),
        warnings=[notice.model_dump(mode="json") for notice in summary.warnings],
        created_at=now(),
    )


def get(session: Session, owner: str, dataset_id: str) -> Dataset:
    """Give a dataset."""
    return describe(find(session, owner, dataset_id))


def newest(session: Session, owner: str, *, cursor: str | None, limit: int) -> Page[Dataset]:
    """List the datasets."""
    page = store.newest(session, owner, cursor=cursor, limit=limit)
    return Page(items=[describe(row) for row in page.items], next_cursor=page.next_cursor)


def rows(installation: Installation, owner: str, dataset_id: str, *, limit: int, offset: int) -> Rows:
    """Give some rows of a dataset.

    Raises:
        InvalidRequest: They have too many cells for one answer.
    """
    with installation.database.reading() as session:
        most = MAX_CELLS_SHOWN // len(find(session, owner, dataset_id).columns)
    if limit > most:
        message = f"The dataset has so many columns that at most {most:,} rows are given at once."
        raise InvalidRequest(message, [Fault("?limit", message, "too_many_cells")])
    return Rows(items=installation.tables.preview(table_path(installation, dataset_id), limit, offset=offset))


def content(installation: Installation, owner: str, dataset_id: str) -> tuple[Dataset, Path]:
    """Give a dataset and the file of the bytes as they were sent."""
    with installation.database.reading() as session:
        row = find(session, owner, dataset_id)
    return describe(row), contents.path(installation.blobs, row)


def delete(installation: Installation, owner: str, dataset_id: str) -> None:
    """Delete a dataset, unless a job still needs it."""
    with installation.database.transaction() as session:
        row = find(session, owner, dataset_id, lock=True)
        if store.is_needed(session, row):
            raise DatasetInUse("A job that has not ended is made from this dataset; cancel it first.")
        store.remove(session, row)
    drop_files(installation, row)


def find(session: Session, owner: str, dataset_id: str, *, lock: bool = False) -> DatasetRow:
    """Give the row of a dataset, or say that there is none."""
    row = store.find(session, owner, dataset_id, lock=lock)
    if row is None:
        raise NotFound("There is no such dataset.")
    return row


def named(session: Session, owner: str, dataset_id: str, pointer: str, *, lock: bool = False) -> DatasetRow:
    """Give the row of a dataset that a body names.

    Raises:
        InvalidRequest: There is none; `pointer` is where it is named.
    """
    try:
        return find(session, owner, dataset_id, lock=lock)
    except NotFound as error:
        raise InvalidRequest(error.detail, [Fault(pointer, error.detail, error.code)]) from None


def columns_of(row: DatasetRow) -> list[Column]:
    """Give the columns of a dataset."""
    return [Column.model_validate(column) for column in row.columns]


def describe(row: DatasetRow) -> Dataset:
    """Say what a client hears of a dataset."""
    return Dataset.model_validate(row)


def table_path(installation: Installation, dataset_id: str) -> Path:
    """Give the file of the table that was read from the bytes."""
    return installation.blobs.get(contents.table(dataset_id))


def add(installation: Installation, session: Session, row: DatasetRow) -> Dataset:
    """Make what `store_files` put on disk a dataset, when this transaction is committed."""
    contents.add(session, installation.blobs, row)
    return describe(row)


def drop_files(installation: Installation, row: DatasetRow) -> None:
    """Remove what no row needs of a dataset that was deleted, or was not stored after all.

    Without the database it is not known what is needed: then the files stay until they are swept.
    """
    try:
        with installation.database.transaction() as session:
            contents.drop(session, installation.blobs, row.id, row.sha256)
    except DATABASE_DOWN as error:
        log.warning("files of %s are left to be swept: %s", row.id, error)
