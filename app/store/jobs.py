"""Rows of jobs, their history and their checkpoints."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased, undefer

from app.contract.jobs import TERMINAL, Status
from app.errors import IllegalTransition
from app.store.changes import announce
from app.store.pages import PageOf, page
from app.store.tables import CheckpointRow, DatasetRow, EpochRow, InitialWeightsRow, JobRow, JobTagRow

# Where a job may come from on its way to each status.
FROM: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING}),
    Status.RUNNING: frozenset({Status.QUEUED, Status.RUNNING}),
    Status.CANCELLING: frozenset({Status.QUEUED, Status.RUNNING}),
    Status.CANCELLED: frozenset({Status.QUEUED, Status.CANCELLING}),
    Status.SUCCEEDED: frozenset({Status.RUNNING, Status.CANCELLING}),
    Status.FAILED: frozenset({Status.QUEUED, Status.RUNNING, Status.CANCELLING}),
}


class RunLost(Exception):
    """Another worker has the job, or it is gone: this run must not write any more."""


def advance(session: Session, row: JobRow, to: Status, **changes: Any) -> None:
    """Move a job to another status. No other code writes a status.

    Raises:
        IllegalTransition: The job is, by now, where this step does not start.
    """
    statement = update(JobRow).where(JobRow.id == row.id, JobRow.run == row.run, JobRow.status.in_(FROM[to]))
    result = session.execute(statement.values(status=to, **changes).execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    announce(session)
    if row in session:
        session.refresh(row)
    if result.rowcount != 1:
        raise IllegalTransition(f"A job that is {row.status} cannot become {to}.")


def find(session: Session, owner: str, job_id: str, *, lock: bool = False) -> JobRow | None:
    """Give the owner's job of this id, if there is one; `lock` keeps others from changing it until the commit."""
    query = select(JobRow).where(JobRow.owner == owner, JobRow.id == job_id)
    return session.scalar(query.with_for_update() if lock else query)


def newest(
    session: Session, owner: str, *, status: Status | None, tag: tuple[str, str] | None, cursor: str | None, limit: int
) -> PageOf[JobRow]:
    """List the owner's jobs, those of one status or tag if asked."""
    query = select(JobRow).where(JobRow.owner == owner)
    if status is not None:
        query = query.where(JobRow.status == status)
    if tag is not None:
        key, value = tag
        tagged = select(JobTagRow.job_id).where(
            JobTagRow.owner == owner, JobTagRow.key == key, JobTagRow.value == value
        )
        query = query.where(JobRow.id.in_(tagged))
    return page(session, query, JobRow.id, cursor, limit)


def add(session: Session, row: JobRow) -> None:
    """Store a new job and its tags."""
    session.add(row)
    session.flush()
    session.add_all(JobTagRow(job_id=row.id, owner=row.owner, key=key, value=value) for key, value in row.tags.items())
    session.flush()


def remove(session: Session, row: JobRow) -> None:
    """Delete a job with its history, tags, checkpoint and first weights."""
    for table in (EpochRow, CheckpointRow, JobTagRow, InitialWeightsRow):
        session.execute(delete(table).where(table.job_id == row.id))
    session.execute(delete(JobRow).where(JobRow.id == row.id))


def queue_position(session: Session, row: JobRow) -> int | None:
    """Count the queued jobs that are before this one, and itself; None if it is not queued."""
    if row.status != Status.QUEUED:
        return None
    ahead = select(func.count()).where(JobRow.owner == row.owner, JobRow.status == Status.QUEUED, JobRow.id <= row.id)
    return session.scalar(ahead)


def epochs(session: Session, job_id: str, *, after: int, limit: int) -> Sequence[EpochRow]:
    """Give the epochs after number `after`, oldest first."""
    query = select(EpochRow).where(EpochRow.job_id == job_id, EpochRow.epoch > after)
    return session.scalars(query.order_by(EpochRow.epoch).limit(limit)).all()


def sampled_epochs(session: Session, job_id: str, *, after: int, last: int, max_points: int) -> Sequence[EpochRow]:
    """Give at most `max_points` epochs after `after`, evenly spread, the first and the last among them."""
    stride = max(1, -(-(last - after - 1) // max(1, max_points - 1)))
    query = select(EpochRow).where(
        EpochRow.job_id == job_id,
        EpochRow.epoch > after,
        ((EpochRow.epoch - after - 1) % stride == 0) | (EpochRow.epoch == last),
    )
    return session.scalars(query.order_by(EpochRow.epoch)).all()


# --- what a worker does; `row.run` is its fencing token -----------------------------------------------------------


def claim(session: Session, job_id: str, now: datetime) -> JobRow | None:
    """Take the job for a new run, whoever had it before; None if there is nothing left to do.

    Until the run has recorded something, it counts as one of the runs that were lost.
    """
    taken = update(JobRow).where(JobRow.id == job_id, JobRow.status.not_in(TERMINAL))
    session.execute(taken.values(run=JobRow.run + 1, attempt=JobRow.attempt + 1, lost_runs=JobRow.lost_runs + 1))
    query = select(JobRow).where(JobRow.id == job_id, JobRow.status.not_in(TERMINAL))
    row = session.scalar(query.options(undefer(JobRow.preprocessing)))
    if row is None:
        return None
    if row.status != Status.CANCELLING:
        advance(session, row, Status.RUNNING, started_at=row.started_at or now)
    return row


def hold(session: Session, row: JobRow) -> Status:
    """Keep others from changing the job until the commit; give its status.

    Raises:
        RunLost: The job was given to another run.
    """
    query = select(JobRow.status).where(JobRow.id == row.id, JobRow.run == row.run).with_for_update()
    status = session.scalar(query)
    if status is None:
        raise RunLost(row.id)
    return Status(status)


def record(
    session: Session, row: JobRow, epoch_values: Sequence[dict[str, Any]], checkpoint: dict[str, Any], **changes: Any
) -> Status:
    """Write epochs, the checkpoint they lead to and the job's progress, all in the caller's transaction.

    Returns:
        The job's status, so that the run learns that it is to stop.

    Raises:
        RunLost: The job was given to another run; nothing is written.
    """
    status = hold(session, row)
    if epoch_values:
        session.execute(insert(EpochRow), [{"job_id": row.id, **values} for values in epoch_values])
    session.execute(_upsert(session, {"job_id": row.id, **checkpoint}))
    session.execute(update(JobRow).where(JobRow.id == row.id).values(**changes))
    announce(session)
    return status


def _upsert(session: Session, values: dict[str, Any]) -> Any:
    dialect = session.get_bind().dialect.name
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(CheckpointRow).values(**values)
    changed = {name: value for name, value in values.items() if name != "job_id"}
    return statement.on_conflict_do_update(index_elements=[CheckpointRow.job_id], set_=changed)


def status_of(session: Session, row: JobRow) -> Status:
    """Give the job's status as it is now.

    Raises:
        RunLost: The job was given to another run.
    """
    status = session.scalar(select(JobRow.status).where(JobRow.id == row.id, JobRow.run == row.run))
    if status is None:
        raise RunLost(row.id)
    return Status(status)


def checkpoint(session: Session, job_id: str) -> bytes | None:
    """Give the state from which the job goes on, if there is one."""
    return session.scalar(select(CheckpointRow.state).where(CheckpointRow.job_id == job_id))


def dataset_sha256(session: Session, row: JobRow) -> str | None:
    """Give the hash of the upload that the job is trained on; None if it is gone."""
    return session.scalar(select(DatasetRow.sha256).where(DatasetRow.id == row.dataset_id))


def keep_initial_weights(session: Session, job_id: str, content: bytes) -> None:
    """Store the weights that a job starts with, in the transaction that submits it."""
    session.add(InitialWeightsRow(job_id=job_id, content=content))


def initial_weights(session: Session, job_id: str) -> bytes | None:
    """Give the weights that a job starts with; None if it draws them."""
    return session.scalar(select(InitialWeightsRow.content).where(InitialWeightsRow.job_id == job_id))


def is_monotone(session: Session, job_id: str) -> bool:
    """Tell whether the training loss never rose from one epoch to the next."""
    earlier = aliased(EpochRow)
    rose = exists().where(
        EpochRow.job_id == job_id,
        earlier.job_id == job_id,
        earlier.epoch == EpochRow.epoch - 1,
        EpochRow.train_loss > earlier.train_loss,
    )
    return not session.scalar(select(rose))


def trained_s(session: Session, job_id: str) -> float:
    """Add up the seconds that the job's epochs took, in all its runs."""
    return session.scalar(select(func.sum(EpochRow.duration_s)).where(EpochRow.job_id == job_id)) or 0.0


def runtime_threads(session: Session, job_id: str) -> int | None:
    """Give the number of threads that the job is to be trained with; None if it is gone."""
    resolved = session.scalar(select(JobRow.resolved).where(JobRow.id == job_id))
    return None if resolved is None else int(resolved["training"]["threads"])


def count_by_status(session: Session) -> dict[str, int]:
    """Count the jobs of each status, of all owners: for the operator."""
    counts = session.execute(select(JobRow.status, func.count()).group_by(JobRow.status))
    return {row[0]: row[1] for row in counts}
