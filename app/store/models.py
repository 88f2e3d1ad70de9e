"""Rows of models."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.pages import PageOf, page
from app.store.tables import ModelRow


def find(session: Session, owner: str, model_id: str) -> ModelRow | None:
    """Give the owner's model of this id, if there is one."""
    return session.scalar(select(ModelRow).where(ModelRow.owner == owner, ModelRow.id == model_id))


def newest(session: Session, owner: str, *, cursor: str | None, limit: int) -> PageOf[ModelRow]:
    """List the owner's models."""
    return page(session, select(ModelRow).where(ModelRow.owner == owner), ModelRow.id, cursor, limit)
