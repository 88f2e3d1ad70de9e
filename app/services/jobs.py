"""What can be done with jobs that are there."""

from collections.abc import Sequence

from app.contract.base import Page
from app.contract.jobs import Epoch, Epochs, Job, JobKind, JobLinks, Progress, Resolved, Status
from app.errors import IllegalTransition, NotFound
from app.services.installation import Installation, now
from app.store import checkpoints
from app.store import jobs as store
from app.store.session import Session
from app.store.tables import EpochRow, JobRow

MOST_URGENT = 10


def get(session: Session, owner: str, job_id: str) -> Job:
    """Give a job as it is now."""
    return describe(session, find(session, owner, job_id))


def newest(
    session: Session,
    owner: str,
    *,
    kind: JobKind,
    status: Status | None,
    tag: tuple[str, str] | None,
    cursor: str | None,
    limit: int,
) -> Page[Job]:
    """List the jobs of a kind."""
    page = store.newest(session, owner, kind=kind, status=status, tag=tag, cursor=cursor, limit=limit)
    return Page(items=[describe(session, row) for row in page.items], next_cursor=page.next_cursor)


def epochs(session: Session, owner: str, job_id: str, *, after: int, until: int | None, limit: int) -> Epochs:
    """Give the next part of a job's history."""
    find(session, owner, job_id)
    rows = store.epochs(session, job_id, after=after, until=until, limit=limit + 1)
    items = [Epoch.model_validate(row) for row in rows[:limit]]
    return Epochs(items=items, next_after=items[-1].epoch if len(rows) > limit else None)


def sampled_epochs(
    session: Session, owner: str, job_id: str, *, after: int, until: int | None, max_points: int
) -> Epochs:
    """Give a job's history, or a part of it, thinned out for a chart."""
    row = find(session, owner, job_id)
    after = max(after, row.parent_epoch or 0)
    last = row.epoch if until is None else min(until, row.epoch)
    rows = store.sampled_epochs(session, job_id, after=after, last=last, max_points=max_points)
    return Epochs(items=[Epoch.model_validate(row) for row in rows], next_after=None)


def epoch_rows(
    session: Session, job_id: str, *, after: int, limit: int, until: int | None = None
) -> Sequence[EpochRow]:
    """Give the next part of a job's history as rows."""
    return store.epochs(session, job_id, after=after, until=until, limit=limit)


def cancel(installation: Installation, session: Session, owner: str, job_id: str) -> Job:
    """Stop a job: at once if no epoch has ended, else when a worker hears of it. The weights so far are kept."""
    row = find(session, owner, job_id, lock=True)
    match Status(row.status):
        case Status.QUEUED | Status.PAUSED if row.latest is None:
            store.advance(session, row, Status.CANCELLED, stopped_because="cancelled", finished_at=now())
        case Status.QUEUED | Status.PAUSED:
            # A worker makes the model, and before it begins with any of the owner's other jobs.
            store.advance(session, row, Status.CANCELLING, hand_over=row.hand_over + 1)
            installation.queue.enqueue(session, row.id, owner, row.hand_over, MOST_URGENT)
        case Status.RUNNING | Status.PAUSING:
            store.advance(session, row, Status.CANCELLING)
        case Status.CANCELLING:
            pass
        case ended:
            raise IllegalTransition(f"The job is {ended}; only a job that has not ended can be cancelled.")
    return describe(session, row)


def pause(session: Session, owner: str, job_id: str) -> Job:
    """Have a job wait: at once if it is queued, else when its worker has stored its state."""
    row = find(session, owner, job_id, lock=True)
    match Status(row.status):
        case Status.QUEUED:
            store.advance(session, row, Status.PAUSED)
        case Status.RUNNING:
            store.advance(session, row, Status.PAUSING)
        case Status.PAUSING:
            pass
        case other:
            raise IllegalTransition(f"The job is {other}; only a queued or a running job can be paused.")
    return describe(session, row)


def resume(installation: Installation, session: Session, owner: str, job_id: str) -> Job:
    """Have a paused job go on.

    A pause that its worker has not yet confirmed is taken back, and the same run goes on: at no time has a job two runs.
    """
    row = find(session, owner, job_id, lock=True)
    match Status(row.status):
        case Status.PAUSED:
            store.advance(session, row, Status.QUEUED, hand_over=row.hand_over + 1, queued_at=now())
            installation.queue.enqueue(session, row.id, owner, row.hand_over, row.priority)
        case Status.PAUSING:
            store.advance(session, row, Status.RUNNING)
        case other:
            raise IllegalTransition(f"The job is {other}; only a paused job can be resumed.")
    return describe(session, row)


def delete(session: Session, owner: str, job_id: str) -> None:
    """Delete a job that has ended, with its history, checkpoints and verifications; its model stays."""
    row = find(session, owner, job_id, lock=True)
    if not Status(row.status).is_terminal:
        raise IllegalTransition(f"The job is {row.status}; cancel it before it is deleted.")
    for verification in checkpoints.verifications(session, row.id):
        if not Status(verification.status).is_terminal:
            raise IllegalTransition("The job is being verified; wait for that, or cancel it.")
        store.remove(session, verification)
    store.remove(session, row)


def find(session: Session, owner: str, job_id: str, *, lock: bool = False) -> JobRow:
    """Give the row of a job, or say that there is none."""
    row = store.find(session, owner, job_id, lock=lock)
    if row is None:
        raise NotFound("There is no such job.")
    return row


def describe(session: Session, row: JobRow) -> Job:
    """Say what a client hears of a job."""
    resolved = Resolved.model_validate(row.resolved)
    return Job(
        id=row.id,
        name=row.name,
        tags=row.tags,
        kind=JobKind(row.kind),
        status=Status(row.status),
        priority=row.priority,
        queue_position=store.queue_position(session, row),
        attempt=row.attempt,
        request=row.request,
        resolved=resolved,
        progress=_progress(row, resolved),
        latest=row.latest,
        best=row.best,
        stopped_because=row.stopped_because,
        error=row.error,
        model_id=row.model_id,
        parent_job_id=row.parent_job_id,
        parent_epoch=row.parent_epoch,
        verification=row.verification,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        links=JobLinks(
            self=f"/v1/jobs/{row.id}",
            epochs=f"/v1/jobs/{row.id}/epochs",
            events=f"/v1/jobs/{row.id}/events",
            checkpoints=f"/v1/jobs/{row.id}/checkpoints",
            dataset=f"/v1/datasets/{row.dataset_id}",
            model=row.model_id and f"/v1/models/{row.model_id}",
        ),
    )


def _progress(row: JobRow, resolved: Resolved) -> Progress:
    left = (row.epochs - row.epoch) * resolved.n_train_rows
    running = row.status == Status.RUNNING and row.rows_per_s
    return Progress(
        epoch=row.epoch,
        epochs=row.epochs,
        fraction=row.epoch / row.epochs,
        eta_s=left / row.rows_per_s if running and row.rows_per_s else None,
        rows_per_s=row.rows_per_s,
    )
