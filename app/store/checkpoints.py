"""Rows of checkpoints: those that are kept, and those that a fork starts from."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, exists, insert, literal, select
from sqlalchemy.orm import Session, undefer

from app.store.tables import CheckpointRow, JobRow, KeptCheckpointRow

KEPT = "kept"
START = "start"


def latest(session: Session, job_id: str, *, with_state: bool = False) -> CheckpointRow | None:
    """Give the checkpoint that the job goes on from."""
    query = select(CheckpointRow).where(CheckpointRow.job_id == job_id)
    return session.scalar(query.options(undefer(CheckpointRow.state)) if with_state else query)


def kept(
    session: Session, job_id: str, *, epoch: int | None = None, with_state: bool = False
) -> Sequence[KeptCheckpointRow]:
    """Give the kept checkpoints of a job, or the one of an epoch, newest first."""
    query = select(KeptCheckpointRow).where(KeptCheckpointRow.job_id == job_id, KeptCheckpointRow.kind == KEPT)
    if epoch is not None:
        query = query.where(KeptCheckpointRow.epoch == epoch)
    if with_state:
        query = query.options(undefer(KeptCheckpointRow.state))
    return session.scalars(query.order_by(KeptCheckpointRow.epoch.desc())).all()


def keep(session: Session, job_id: str, states: Sequence[dict[str, Any]], *, oldest: int) -> None:
    """Store states, and drop those of epochs before `oldest`."""
    session.execute(insert(KeptCheckpointRow), [{"job_id": job_id, "kind": KEPT, **state} for state in states])
    mine = KeptCheckpointRow.job_id == job_id, KeptCheckpointRow.kind == KEPT
    session.execute(delete(KeptCheckpointRow).where(*mine, KeptCheckpointRow.epoch < oldest))


def start_from(session: Session, job_id: str, source: CheckpointRow | KeptCheckpointRow, *, origin: str) -> None:
    """Copy a state to be the first of another job; it is kept beside, so that the training can be repeated.

    The bytes go from table to table, and do not pass through this process.
    """
    table = type(source)
    same = [table.job_id == source.job_id]
    if isinstance(source, KeptCheckpointRow):
        same += [KeptCheckpointRow.kind == source.kind, KeptCheckpointRow.epoch == source.epoch]
    copied = ("epoch", "state", "size_bytes", "sha256", "at")
    values = [getattr(table, name) for name in copied]
    for target, more in ((CheckpointRow, {}), (KeptCheckpointRow, {"kind": START})):
        given = {"job_id": job_id, "origin": origin, **more}
        chosen = select(*values, *(literal(value) for value in given.values())).where(*same)
        session.execute(insert(target).from_select([*copied, *given], chosen))


def start_of(session: Session, job_id: str) -> KeptCheckpointRow | None:
    """Give the state that a fork started from."""
    query = select(KeptCheckpointRow).where(KeptCheckpointRow.job_id == job_id, KeptCheckpointRow.kind == START)
    return session.scalar(query)


def is_being_verified(session: Session, job_id: str, ended: frozenset[str]) -> bool:
    """Tell whether a verification of the job has not ended."""
    open_ones = exists().where(
        JobRow.parent_job_id == job_id, JobRow.kind == "verification", JobRow.status.not_in(ended)
    )
    return bool(session.scalar(select(open_ones)))


def verifications(session: Session, job_id: str) -> Sequence[JobRow]:
    """Give the verifications of a job."""
    query = select(JobRow).where(JobRow.parent_job_id == job_id, JobRow.kind == "verification")
    return session.scalars(query).all()
