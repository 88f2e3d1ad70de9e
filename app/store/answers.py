"""Answers kept under their Idempotency-Key."""

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.store.tables import AnswerRow


def claim(session: Session, owner: str, key: str, fingerprint: str, now: datetime) -> bool:
    """Take the key for this transaction; False if another request has it.

    While a transaction that took the same key is open, this waits for its end.
    """
    dialect = session.get_bind().dialect.name
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(AnswerRow).values(
        owner=owner, key=key, fingerprint=fingerprint, created_at=now
    )
    return session.scalar(statement.on_conflict_do_nothing().returning(AnswerRow.key)) is not None


def fill(session: Session, owner: str, key: str, object_id: str, body: str) -> None:
    """Put the answer under the key."""
    session.execute(
        update(AnswerRow).where(AnswerRow.owner == owner, AnswerRow.key == key).values(object_id=object_id, body=body)
    )


def find(session: Session, owner: str, key: str) -> AnswerRow | None:
    """Give what is under the key."""
    return session.scalar(select(AnswerRow).where(AnswerRow.owner == owner, AnswerRow.key == key))


def forget(session: Session, before: datetime) -> None:
    """Drop the answers that are older than this."""
    session.execute(delete(AnswerRow).where(AnswerRow.created_at < before))
