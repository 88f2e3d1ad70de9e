"""The bytes of datasets as they were sent: one file for equal bytes, kept as long as a row names them.

A row names its bytes by their SHA-256, so that the rows are the count of references. A file gets its name, and is dropped,
only inside a transaction that holds these bytes: an upload of the same bytes commits its row before they are looked for, or
puts its own file in the place of the dropped one. What is interrupted leaves at worst a file that no row names; `sweep`
removes it later.
"""

import shutil
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from sqlalchemy import exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.store.blobs import Blobs
from app.store.session import Database
from app.store.tables import DatasetRow, UploadRow

LOOKED_UP_AT_ONCE = 500


def path(blobs: Blobs, row: DatasetRow) -> Path:
    """Where a dataset's bytes are; the versions before this one kept them beside the table."""
    shared = blobs.path(_key(row.sha256))
    return shared if shared.exists() else blobs.path(staged(row.id))


def staged(dataset_id: str) -> str:
    """Under which key the bytes wait for their row."""
    return f"datasets/{dataset_id}/content"


def add(session: Session, blobs: Blobs, row: DatasetRow) -> None:
    """Store a row whose bytes are staged, and give them the name that equal bytes share."""
    _hold(session, row.sha256)
    blobs.move(staged(row.id), _key(row.sha256))
    session.add(row)
    session.flush()


def drop(session: Session, blobs: Blobs, dataset_id: str, sha256: str) -> None:
    """Remove the files that no row needs, of a dataset that was deleted or did not come to be.

    The transaction in which that happened may still be ending on another connection, after this process lost sight of it:
    to hold the bytes is to wait for it.
    """
    _hold(session, sha256)
    if not session.scalar(select(exists().where(DatasetRow.id == dataset_id))):
        shutil.rmtree(blobs.path(f"datasets/{dataset_id}"), ignore_errors=True)
    _drop_unnamed(session, blobs, sha256)


def sweep(database: Database, blobs: Blobs, *, older_than_s: float) -> int:
    """Remove what interrupted requests left behind, if it is old enough to be nobody's work; give the number of files.

    The folders that workers keep among the parts are not ours.
    """
    before = time.time() - older_than_s
    swept = [part for part in _old(blobs.parts, before) if part.is_file()]
    swept += _unnamed(database, _old(blobs.path("datasets"), before), DatasetRow.id)
    swept += _unnamed(database, _old(blobs.path("uploads"), before), UploadRow.id)
    for left in swept:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    contents = _unnamed(database, _old(blobs.path("content"), before), DatasetRow.sha256)
    for left in contents:
        with database.transaction() as session:
            _hold(session, left.name)
            _drop_unnamed(session, blobs, left.name)
    return len(swept) + len(contents)


def _key(sha256: str) -> str:
    return f"content/{sha256}"


def _hold(session: Session, sha256: str) -> None:
    """Keep every other transaction from adding or dropping these bytes until this one has ended.

    On SQLite a transaction that may write is the only one, once it has begun: which it does with its first statement.
    """
    session.connection()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(sha256, 0))))


def _drop_unnamed(session: Session, blobs: Blobs, sha256: str) -> None:
    if not session.scalar(select(exists().where(DatasetRow.sha256 == sha256))):
        blobs.path(_key(sha256)).unlink(missing_ok=True)


def _old(folder: Path, before: float) -> Iterator[Path]:
    """Give what is in a folder and was last changed before that time."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        try:
            changed_at = entry.stat().st_mtime
        except FileNotFoundError:
            continue
        if changed_at < before:
            yield entry


def _unnamed(database: Database, paths: Iterable[Path], column: InstrumentedAttribute[str]) -> list[Path]:
    """Give the files or folders whose name no row has in that column."""
    unnamed: list[Path] = []
    rest = iter(paths)
    while some := list(islice(rest, LOOKED_UP_AT_ONCE)):
        with database.reading() as session:
            named = set(session.scalars(select(column).where(column.in_([one.name for one in some]))))
        unnamed += [one for one in some if one.name not in named]
    return unnamed
