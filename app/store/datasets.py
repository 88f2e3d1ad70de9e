"""Rows of datasets."""

from sqlalchemy import bindparam, delete, exists, select
from sqlalchemy.orm import Session

from app.contract.jobs import TERMINAL, Status
from app.store.pages import PageOf, page
from app.store.tables import DatasetRow, JobRow

_SHA256 = select(DatasetRow.sha256).where(DatasetRow.owner == bindparam("owned_by"), DatasetRow.id == bindparam("of"))


def find(session: Session, owner: str, dataset_id: str, *, lock: bool = False) -> DatasetRow | None:
    """Give the owner's dataset of this id, if there is one; `lock` keeps it from being deleted until the commit."""
    query = select(DatasetRow).where(DatasetRow.owner == owner, DatasetRow.id == dataset_id)
    return session.scalar(query.with_for_update() if lock else query)


def sha256_of(session: Session, owner: str, dataset_id: str) -> str | None:
    """Give the hash of the bytes of the owner's dataset; None if it is gone."""
    return session.scalar(_SHA256, {"owned_by": owner, "of": dataset_id})


def newest(session: Session, owner: str, *, cursor: str | None, limit: int) -> PageOf[DatasetRow]:
    """List the owner's datasets."""
    return page(session, select(DatasetRow).where(DatasetRow.owner == owner), DatasetRow.id, cursor, limit)


def is_needed(session: Session, row: DatasetRow) -> bool:
    """Tell whether a job that has not ended learns from the dataset, or is validated on it."""
    not_ended = JobRow.owner == row.owner, JobRow.status.in_([status for status in Status if status not in TERMINAL])
    validated_on = JobRow.resolved["validation"]["dataset_id"].as_string() == row.id
    queries = exists().where(JobRow.dataset_id == row.id, *not_ended), exists().where(validated_on, *not_ended)
    return any(session.scalar(select(query)) for query in queries)


def remove(session: Session, row: DatasetRow) -> None:
    """Delete the row; jobs that have ended keep their own account of it."""
    session.execute(delete(DatasetRow).where(DatasetRow.id == row.id, DatasetRow.owner == row.owner))
