"""Rows of models."""

from typing import Any, cast

from sqlalchemy import Table, insert, select
from sqlalchemy.orm import Session

from app.store.pages import PageOf, page
from app.store.tables import Json, ModelRow

_ADD = insert(cast("Table", ModelRow.__table__))


def add(session: Session, **values: Any) -> None:
    """Store a model that nobody looks at in this transaction."""
    session.execute(_ADD, values)


def find(session: Session, owner: str, model_id: str) -> ModelRow | None:
    """Give the owner's model of this id, if there is one."""
    return session.scalar(select(ModelRow).where(ModelRow.owner == owner, ModelRow.id == model_id))


def note_export(session: Session, row: ModelRow, name: str, record: Json) -> bool:
    """Note what the check of a model's file found; False if the model is gone."""
    found = session.scalar(select(ModelRow).where(ModelRow.id == row.id).with_for_update())
    if found is None:
        return False
    found.exports = {**(found.exports or {}), name: record}
    return True


def newest(session: Session, owner: str, *, cursor: str | None, limit: int) -> PageOf[ModelRow]:
    """List the owner's models."""
    return page(session, select(ModelRow).where(ModelRow.owner == owner), ModelRow.id, cursor, limit)
