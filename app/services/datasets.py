"""What can be done with datasets."""

from collections.abc import Mapping
from pathlib import Path

from app.contract.base import Page
from app.contract.datasets import Column, Dataset, Format, Kind, Rows
from app.errors import DatasetInUse, NotFound, UnreadableTable
from app.services.installation import Installation, now
from app.services.once import Answer, RequestKey, once, replay
from app.store import datasets as store
from app.store.blobs import Upload
from app.store.ids import new_id
from app.store.session import Session
from app.store.tables import DatasetRow
from app.tables.reader import TableReader
from app.tables.summary import Limits, ReadOptions


def create(
    installation: Installation,
    request: RequestKey,
    upload: Upload,
    *,
    name: str,
    format: Format | None,
    kinds: Mapping[str, Kind],
    options: ReadOptions = ReadOptions(),  # noqa: B008
) -> Answer[Dataset]:
    """Read an upload as a table and store both, once for a key.

    Raises:
        UnreadableTable: The bytes are not a table in that format; every fault is listed.
    """
    with installation.database.reading() as session:
        earlier = replay(session, request, Dataset)
    if earlier is not None:
        return earlier
    reader = installation.uploads
    row = store_files(
        installation, request.owner, upload, reader=reader, name=name, format=format, kinds=kinds, options=options
    )
    try:
        with installation.database.transaction() as session:
            answer = once(session, request, Dataset, lambda: (row.id, _add(session, row)))
    except BaseException:
        delete_files(installation, row.id)
        raise
    if answer.body.id != row.id:
        delete_files(installation, row.id)
    return answer


def store_files(
    installation: Installation,
    owner: str,
    upload: Upload,
    *,
    reader: TableReader,
    name: str,
    format: Format | None,
    kinds: Mapping[str, Kind],
    options: ReadOptions = ReadOptions(),  # noqa: B008
) -> DatasetRow:
    """Put the bytes and the table read from them on disk; give the row that makes them a dataset once it is stored."""
    if upload.size_bytes == 0:
        raise UnreadableTable("The body is empty.", code="empty_dataset")
    upload.flush()
    dataset_id = new_id("ds")
    table = table_path(installation, dataset_id)
    table.parent.mkdir(parents=True, exist_ok=True)
    try:
        summary = reader.read_table(upload.path, format, kinds, table, Limits.of(installation.settings), options)
        upload.publish(content_path(installation, dataset_id))
    except BaseException:
        delete_files(installation, dataset_id)
        raise
    return DatasetRow(
        id=dataset_id,
        owner=owner,
        name=name,
        format=summary.format,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
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


def rows(installation: Installation, session: Session, owner: str, dataset_id: str, *, limit: int) -> Rows:
    """Give the first rows of a dataset."""
    find(session, owner, dataset_id)
    return Rows(items=installation.tables.preview(table_path(installation, dataset_id), limit))


def content(installation: Installation, session: Session, owner: str, dataset_id: str) -> tuple[Dataset, Path]:
    """Give a dataset and the file of the bytes as they were sent."""
    return get(session, owner, dataset_id), content_path(installation, dataset_id)


def delete(installation: Installation, owner: str, dataset_id: str) -> None:
    """Delete a dataset, unless a job still needs it."""
    with installation.database.transaction() as session:
        row = find(session, owner, dataset_id, lock=True)
        if store.is_needed(session, row):
            raise DatasetInUse("A job that has not ended is made from this dataset; cancel it first.")
        store.remove(session, row)
    delete_files(installation, dataset_id)


def find(session: Session, owner: str, dataset_id: str, *, lock: bool = False) -> DatasetRow:
    """Give the row of a dataset, or say that there is none."""
    row = store.find(session, owner, dataset_id, lock=lock)
    if row is None:
        raise NotFound("There is no such dataset.")
    return row


def columns_of(row: DatasetRow) -> list[Column]:
    """Give the columns of a dataset."""
    return [Column.model_validate(column) for column in row.columns]


def describe(row: DatasetRow) -> Dataset:
    """Say what a client hears of a dataset."""
    return Dataset.model_validate(row)


def content_path(installation: Installation, dataset_id: str) -> Path:
    """Where the bytes are, as they were sent."""
    return installation.blobs.path(f"datasets/{dataset_id}/content")


def table_path(installation: Installation, dataset_id: str) -> Path:
    """Where the table is that was read from them."""
    return installation.blobs.path(f"datasets/{dataset_id}/table.arrow")


def delete_files(installation: Installation, dataset_id: str) -> None:
    """Remove what is on disk of a dataset."""
    installation.blobs.delete(f"datasets/{dataset_id}/content")
    installation.blobs.delete(f"datasets/{dataset_id}/table.arrow")


def _add(session: Session, row: DatasetRow) -> Dataset:
    session.add(row)
    session.flush()
    return describe(row)
