"""Rows of datasets that are being sent in pieces."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.store.tables import UploadRow


def find(session: Session, owner: str, upload_id: str, now: datetime, *, lock: bool = False) -> UploadRow | None:
    """Give the owner's upload of this id, if there is one that has not expired; `lock` keeps it as it is until the commit."""
    query = select(UploadRow).where(UploadRow.owner == owner, UploadRow.id == upload_id, UploadRow.expires_at > now)
    return session.scalar(query.with_for_update() if lock else query)


def count_open(session: Session, owner: str, now: datetime) -> int:
    """Count the owner's uploads that are neither complete nor expired."""
    query = select(func.count()).where(
        UploadRow.owner == owner, UploadRow.dataset_id.is_(None), UploadRow.expires_at > now
    )
    return session.scalar(query) or 0


def advance(session: Session, upload_id: str, start: int, end: int) -> bool:
    """Note that the bytes up to `end` are on disk; False if the upload is gone, complete, or no longer at `start`."""
    statement = update(UploadRow).where(
        UploadRow.id == upload_id, UploadRow.offset == start, UploadRow.dataset_id.is_(None)
    )
    return session.scalar(statement.values(offset=end).returning(UploadRow.id)) is not None


def expired(session: Session, now: datetime) -> Sequence[str]:
    """Give the ids of the uploads whose time is over."""
    return session.scalars(select(UploadRow.id).where(UploadRow.expires_at <= now)).all()


def remove(session: Session, upload_id: str) -> None:
    """Delete the row."""
    session.execute(delete(UploadRow).where(UploadRow.id == upload_id))
