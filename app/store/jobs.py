"""Rows of jobs, their history and their checkpoints."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any, cast

from sqlalchemy import CursorResult, Select, Table, bindparam, delete, exists, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased, undefer
from sqlalchemy.orm.attributes import set_committed_value

from app.contract.jobs import TERMINAL, JobKind, Status
from app.errors import IllegalTransition
from app.store.changes import announce
from app.store.counts import note_end
from app.store.pages import PageOf, page
from app.store.tables import (
    CheckpointRow,
    EpochRow,
    InitialWeightsRow,
    JobRow,
    JobTagRow,
    KeptCheckpointRow,
)

# Where a job may come from on its way to each status.
FROM: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.PAUSED}),
    Status.RUNNING: frozenset({Status.QUEUED, Status.RUNNING, Status.PAUSING}),
    Status.PAUSING: frozenset({Status.RUNNING}),
    Status.PAUSED: frozenset({Status.QUEUED, Status.PAUSING}),
    Status.CANCELLING: frozenset({Status.QUEUED, Status.RUNNING, Status.PAUSING, Status.PAUSED}),
    Status.CANCELLED: frozenset({Status.QUEUED, Status.PAUSED, Status.CANCELLING}),
    Status.SUCCEEDED: frozenset({Status.RUNNING, Status.PAUSING, Status.CANCELLING}),
    Status.FAILED: frozenset({Status.QUEUED, Status.RUNNING, Status.PAUSING, Status.CANCELLING}),
}


# What every job comes by is written once, and not put together anew each time: that takes longer than to execute it.
# A statement that changes a table, not a class, sets the columns that it is given.
_JOBS, _EPOCHS, _CHECKPOINTS = (cast("Table", row.__table__) for row in (JobRow, EpochRow, CheckpointRow))
_THE_RUN = _JOBS.c.id == bindparam("of"), _JOBS.c.run == bindparam("run_of")
_ADVANCE = {to: update(_JOBS).where(*_THE_RUN, _JOBS.c.status.in_(sorted(FROM[to]))) for to in Status}
_CHANGE = update(_JOBS).where(_JOBS.c.id == bindparam("of"))
_STATUS = select(_JOBS.c.status).where(*_THE_RUN)
_HOLD = _STATUS.with_for_update()
_FIND = select(JobRow).where(JobRow.owner == bindparam("owned_by"), JobRow.id == bindparam("of"))
_FIND_AND_LOCK = _FIND.with_for_update()
_TO_CLAIM = (
    select(JobRow)
    .where(JobRow.id == bindparam("of"), JobRow.status.not_in(sorted({*TERMINAL, Status.PAUSED})))
    .options(undefer(JobRow.preprocessing))
    .with_for_update()
)
_HANDED_OVER = _TO_CLAIM.where(JobRow.hand_over == bindparam("as_of"))
_ADD_EPOCHS = insert(_EPOCHS)
_CHECKPOINT = select(CheckpointRow).where(CheckpointRow.job_id == bindparam("of")).options(undefer(CheckpointRow.state))
_INITIAL_WEIGHTS = select(InitialWeightsRow.content).where(InitialWeightsRow.job_id == bindparam("of"))


class RunLost(Exception):
    """Another worker has the job, or it is gone: this run must not write any more."""


def advance(session: Session, row: JobRow, to: Status, **changes: Any) -> None:
    """Move a job to another status. No other code writes a status.

    Raises:
        IllegalTransition: The job is, by now, where this step does not start.
    """
    written = {"status": to, **changes}
    result = session.execute(_ADVANCE[to], {"of": row.id, "run_of": row.run, **written})
    assert isinstance(result, CursorResult)
    announce(session)
    if result.rowcount != 1:
        if row in session:
            session.refresh(row)
        raise IllegalTransition(f"A job that is {row.status} cannot become {to}.")
    if to in TERMINAL:
        note_end(session, to)
    if row in session:
        for name, value in written.items():
            set_committed_value(row, name, value)


def find(session: Session, owner: str, job_id: str, *, lock: bool = False) -> JobRow | None:
    """Give the owner's job of this id, if there is one; `lock` keeps others from changing it until the commit."""
    return session.scalar(_FIND_AND_LOCK if lock else _FIND, {"owned_by": owner, "of": job_id})


def newest(
    session: Session,
    owner: str,
    *,
    kind: JobKind = JobKind.TRAINING,
    status: Status | None,
    tag: tuple[str, str] | None,
    cursor: str | None,
    limit: int,
) -> PageOf[JobRow]:
    """List the owner's jobs of a kind, those of one status or tag if asked."""
    query = select(JobRow).where(JobRow.owner == owner, JobRow.kind == kind)
    if status is not None:
        query = query.where(JobRow.status == status)
    if tag is None:
        return page(session, query, JobRow.id, cursor, limit)
    key, value = tag
    tagged = JobTagRow.owner == owner, JobTagRow.key == key, JobTagRow.value == value
    query = query.join(JobTagRow, JobTagRow.job_id == JobRow.id).where(*tagged)
    return page(session, query, JobRow.id, cursor, limit, along=JobTagRow.job_id)  # jobs without it are not looked at


def add(session: Session, row: JobRow) -> None:
    """Store a new job and its tags."""
    session.add(row)
    session.flush()
    session.add_all(JobTagRow(job_id=row.id, owner=row.owner, key=key, value=value) for key, value in row.tags.items())
    session.flush()


def remove(session: Session, row: JobRow) -> None:
    """Delete a job with its history, tags, checkpoints and first weights."""
    for table in (EpochRow, CheckpointRow, KeptCheckpointRow, JobTagRow, InitialWeightsRow):
        session.execute(delete(table).where(table.job_id == row.id))
    session.execute(delete(JobRow).where(JobRow.id == row.id))


def queue_position(session: Session, row: JobRow) -> int | None:
    """Count the owner's queued jobs that go before this one, and itself; None if it is not queued."""
    if row.status != Status.QUEUED:
        return None
    at = {"owner": row.owner, "priority": row.priority, "queued_at": row.queued_at, "of": row.id}
    return session.scalar(_POSITION, at)


def _position() -> Select[int]:
    queued = select(func.count().label("n")).where(_JOBS.c.owner == bindparam("owner"), _JOBS.c.status == Status.QUEUED)
    before = tuple_(_JOBS.c.queued_at, _JOBS.c.id) <= tuple_(
        bindparam("queued_at", type_=_JOBS.c.queued_at.type), bindparam("of", type_=_JOBS.c.id.type)
    )
    ahead = queued.where(_JOBS.c.priority > bindparam("priority"))
    beside = queued.where(_JOBS.c.priority == bindparam("priority"), before)
    return select(ahead.scalar_subquery() + beside.scalar_subquery())


_POSITION = _position()


def epochs(session: Session, job_id: str, *, after: int, limit: int, until: int | None = None) -> Sequence[EpochRow]:
    """Give the epochs after number `after`, up to `until`, oldest first."""
    query = select(EpochRow).where(EpochRow.job_id == job_id, EpochRow.epoch > after)
    if until is not None:
        query = query.where(EpochRow.epoch <= until)
    return session.scalars(query.order_by(EpochRow.epoch).limit(limit)).all()


def sampled_epochs(session: Session, job_id: str, *, after: int, last: int, max_points: int) -> Sequence[EpochRow]:
    """Give at most `max_points` epochs after `after`, up to `last`, evenly spread, the first and the last among them."""
    stride = max(1, -(-(last - after - 1) // max(1, max_points - 1)))
    query = select(EpochRow).where(
        EpochRow.job_id == job_id,
        EpochRow.epoch > after,
        EpochRow.epoch <= last,
        ((EpochRow.epoch - after - 1) % stride == 0) | (EpochRow.epoch == last),
    )
    return session.scalars(query.order_by(EpochRow.epoch)).all()


# --- what a worker does; `row.run` is its fencing token -----------------------------------------------------------


def claim(
    session: Session, job_id: str, now: datetime, *, hand_over: int | None = None, counts: bool = True
) -> JobRow | None:
    """Take the job for a new run, whoever had it before; None if there is nothing left to do.

    Until the run has recorded something, it counts as one of the runs that were lost.

    Args:
        hand_over: The hand-over that brought it here; an outdated one takes nothing.
        counts: Whether this counts as a run that may be lost.
    """
    if hand_over is None:
        row = session.scalar(_TO_CLAIM, {"of": job_id})
    else:
        row = session.scalar(_HANDED_OVER, {"of": job_id, "as_of": hand_over})
    if row is None:
        return None
    taken: dict[str, Any] = {"run": row.run + 1, "attempt": row.attempt + 1}
    if row.status == Status.PAUSING:  # the run that was to confirm it is gone
        advance(session, row, Status.PAUSED, **taken)
        return None
    taken["lost_runs"] = row.lost_runs + (1 if counts else 0)
    if row.status == Status.CANCELLING:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(**taken))
    else:
        advance(session, row, Status.RUNNING, started_at=row.started_at or now, **taken)
    return row


def hold(session: Session, row: JobRow) -> Status:
    """Keep others from changing the job until the commit; give its status.

    Raises:
        RunLost: The job was given to another run.
    """
    status = session.scalar(_HOLD, {"of": row.id, "run_of": row.run})
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
    written = {"job_id": row.id, "origin": None, "receipt": None, **measured(checkpoint["state"]), **checkpoint}
    status = hold(session, row)
    if epoch_values:
        session.execute(_ADD_EPOCHS, [{"job_id": row.id, **values} for values in epoch_values])
    session.execute(_put_checkpoint(session.get_bind().dialect.name), written)
    session.execute(_CHANGE, {"of": row.id, **changes})
    announce(session)
    return status


def measured(state: bytes) -> dict[str, Any]:
    """Say how large a state is, and its hash."""
    return {"size_bytes": len(state), "sha256": sha256(state).hexdigest()}


@cache
def _put_checkpoint(dialect: str) -> Any:
    """Give the statement that stores the checkpoint of a job in place of the last one."""
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(_CHECKPOINTS)
    changed = {column.name: statement.excluded[column.name] for column in _CHECKPOINTS.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=[_CHECKPOINTS.c.job_id], set_=changed)


def status_of(session: Session, row: JobRow) -> Status:
    """Give the job's status as it is now.

    Raises:
        RunLost: The job was given to another run.
    """
    status = session.scalar(_STATUS, {"of": row.id, "run_of": row.run})
    if status is None:
        raise RunLost(row.id)
    return Status(status)


def checkpoint(session: Session, job_id: str) -> CheckpointRow | None:
    """Give the state from which the job goes on, if there is one."""
    return session.scalar(_CHECKPOINT, {"of": job_id})


def first_difference(session: Session, job_id: str, other_id: str) -> int | None:
    """Give the first epoch in which two histories are not equal to the last bit; one that only one of them has is one."""
    one, other = aliased(EpochRow), aliased(EpochRow)
    measured = ("train_loss", "validation_loss", "learning_rate", "gradient_norm")
    unequal = or_(*(getattr(one, name).is_distinct_from(getattr(other, name)) for name in measured))
    both = select(func.min(one.epoch)).where(
        one.job_id == job_id, other.job_id == other_id, one.epoch == other.epoch, unequal
    )
    lasts = select(func.coalesce(func.max(EpochRow.epoch), 0)).where(EpochRow.job_id == bindparam("id"))
    last, other_last = (session.scalar(lasts, {"id": name}) or 0 for name in (job_id, other_id))
    found = [] if last == other_last else [min(last, other_last) + 1]
    differs = session.scalar(both)
    return min([*found, *([] if differs is None else [differs])], default=None)


def keep_initial_weights(session: Session, job_id: str, content: bytes) -> None:
    """Store the weights that a job starts with, in the transaction that submits it."""
    session.add(InitialWeightsRow(job_id=job_id, content=content))


def initial_weights(session: Session, job_id: str) -> bytes | None:
    """Give the weights that a job starts with; None if it draws them."""
    return session.scalar(_INITIAL_WEIGHTS, {"of": job_id})


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


def note_loss(session: Session, job_id: str, because: str) -> None:
    """Write down how the process of a job's run ended."""
    session.execute(update(JobRow).where(JobRow.id == job_id).values(lost_because=because))
