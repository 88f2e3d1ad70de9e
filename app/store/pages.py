"""Lists in pages: newest first, by id, since ids sort by the time of creation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

R = TypeVar("R")


@dataclass(frozen=True)
class PageOf(Generic[R]):
    """Some rows, and the id to go on after; None at the end."""

    items: Sequence[R]
    next_cursor: str | None


def page(
    session: Session,
    query: Select[R],
    id_column: InstrumentedAttribute[str],
    cursor: str | None,
    limit: int,
    *,
    along: InstrumentedAttribute[str] | None = None,
) -> PageOf[R]:
    """Give the `limit` newest rows of `query` that are older than `cursor`.

    Args:
        along: A column of the query's other table that holds the same ids, where an index has them in order.
    """
    sorted_by = id_column if along is None else along
    if cursor is not None:
        query = query.where(sorted_by < cursor)
    rows = session.scalars(query.order_by(sorted_by.desc()).limit(limit + 1)).all()
    items = rows[:limit]
    return PageOf(items, getattr(items[-1], id_column.key) if len(rows) > limit else None)
