"""Rows of datasets."""

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from app.contract.jobs import TERMINAL
from app.store.pages import PageOf, page
from app.store.tables import DatasetRow, JobRow


def find(session: Session, owner: str, dataset_id: str, *, lock: bool = False) -> DatasetRow | None:
    """Give the owner's dataset of this id, if there is one; `lock` keeps it from being deleted until the commit."""
    query = select(DatasetRow).where(DatasetRow.owner == owner, DatasetRow.id == dataset_id)
    return session.scalar(query.with_for_update() if lock else query)


def newest(session: Session, owner: str, *, cursor: str | None, limit: int) -> PageOf[DatasetRow]:
    """List the owner's datasets."""
    return page(session, select(DatasetRow).where(DatasetRow.owner == owner), DatasetRow.id, cursor, limit)


def is_needed(session: Session, row: DatasetRow) -> bool:
    """Tell whether a job that has not ended is made from the dataset."""
    query = select(exists().where(JobRow.dataset_id == row.id, JobRow.status.not_in(TERMINAL)))
    return bool(session.scalar(query))


def remove(session: Session, row: DatasetRow) -> None:
    """Delete the row; jobs that have ended keep their own account of it."""
    session.execute(delete(DatasetRow).where(DatasetRow.id == row.id, DatasetRow.owner == row.owner))
