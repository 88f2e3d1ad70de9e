"""The bytes of datasets as they were sent: one file for equal bytes, kept as long as a row names them.

A row names its bytes by their SHA-256, so that the rows are the count of references. A file gets its name, and is dropped,
only inside a transaction that holds these bytes: an upload of the same bytes commits its row before they are looked for, or
puts its own file in the place of the dropped one. What is interrupted leaves at worst a file that no row names; `sweep`
removes it later.
"""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from sqlalchemy import exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.store import identity, weights
from app.store.blobs import Blobs
from app.store.session import Database
from app.store.tables import DatasetRow, ModelRow, UploadRow

LOOKED_UP_AT_ONCE = 500


def path(blobs: Blobs, row: DatasetRow) -> Path:
    """Where a dataset's bytes are; the versions before this one kept them beside the table."""
    shared = blobs.get(_key(row.sha256), sha256=row.sha256)
    return shared if shared.exists() else blobs.get(staged(row.id), sha256=row.sha256)


def staged(dataset_id: str) -> str:
    """Under which key the bytes wait for their row."""
    return f"datasets/{dataset_id}/content"


def table(dataset_id: str) -> str:
    """Under which key the table is that was read from the bytes."""
    return f"datasets/{dataset_id}/table.arrow"


def save(blobs: Blobs, dataset_id: str, sha256: str) -> None:
    """Have every machine find the table, and the bytes that are staged here. No transaction waits for it."""
    blobs.save(table(dataset_id))
    blobs.save(_key(sha256), sha256=sha256, written_as=staged(dataset_id))


def add(session: Session, blobs: Blobs, row: DatasetRow) -> None:
    """Store a row whose bytes are staged, and give them the name that equal bytes share."""
    _hold(session, row.sha256)
    # The last dataset of these bytes may have been deleted since they were saved.
    blobs.keep(_key(row.sha256), sha256=row.sha256, written_as=staged(row.id))
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
        blobs.delete_folder(f"datasets/{dataset_id}")
    _drop_unnamed(session, blobs, sha256)


def sweep(database: Database, blobs: Blobs, *, older_than_s: float) -> int:
    """Remove what interrupted requests left behind, if it is old enough to be nobody's work; give the number of files.

    The folders that workers keep among the parts are not ours. A bucket is left alone by a database that knows of nothing: it
    is more likely another one's, whose mark was lost.

    Raises:
        WrongStore: The files are another database's.
    """
    if blobs.are_shared:
        blobs.claim(identity.of(database))
    before = time.time() - older_than_s
    knows_any = _knows_any(database)

    def unnamed(folder: str, column: InstrumentedAttribute[str]) -> list[str]:
        stored = blobs.stored(folder) if knows_any else iter(())
        return _unnamed(database, _old(blobs.path(folder), stored, before), column)

    parts = [part for part in blobs.parts.iterdir() if _is_old(part, before) and part.is_file()]
    for part in parts:
        part.unlink(missing_ok=True)
    uploads = unnamed("uploads", UploadRow.id)
    for name in uploads:
        blobs.discard(f"uploads/{name}")
    folders = [f"datasets/{name}" for name in unnamed("datasets", DatasetRow.id)]
    folders += map(weights.all_of, weights.of_no_job(database, unnamed("models", ModelRow.id)))
    folders += weights.of_lost_runs(database, blobs.stored("models") if knows_any else (), before)
    for folder in folders:
        blobs.delete_folder(folder)
    contents = unnamed("content", DatasetRow.sha256)
    for sha256 in contents:
        with database.transaction() as session:
            _hold(session, sha256)
            _drop_unnamed(session, blobs, sha256)
    return len(parts) + len(uploads) + len(folders) + len(contents)


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
        blobs.delete(_key(sha256))


def _knows_any(database: Database) -> bool:
    with database.reading() as session:
        return any(session.scalar(select(kind.id).limit(1)) for kind in (DatasetRow, ModelRow))


def _old(here: Path, stored: Iterable[tuple[str, float]], before: float) -> Iterator[str]:
    """Give the names of what is in a folder, here or in the store, and was last changed before that time."""
    names = {entry.name for entry in (here.iterdir() if here.is_dir() else ()) if _is_old(entry, before)}
    yield from names
    for key, changed_at in stored:
        name = key.split("/")[1]
        if changed_at < before and name not in names:
            names.add(name)
            yield name


def _is_old(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False


def _unnamed(database: Database, names: Iterable[str], column: InstrumentedAttribute[str]) -> list[str]:
    """Give the names that no row has in that column."""
    unnamed: list[str] = []
    rest = iter(names)
    while some := list(islice(rest, LOOKED_UP_AT_ONCE)):
        with database.reading() as session:
            named = set(session.scalars(select(column).where(column.in_(some))))
        unnamed += [one for one in some if one not in named]
    return unnamed
