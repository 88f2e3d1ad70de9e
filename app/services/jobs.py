"""What can be done with jobs that are there."""

from collections.abc import Sequence

from app.contract.base import Page
from app.contract.jobs import Epoch, Epochs, Job, JobLinks, Progress, Resolved, Status
from app.errors import IllegalTransition, NotFound
from app.services.installation import now
from app.store import jobs as store
from app.store.session import Session
from app.store.tables import EpochRow, JobRow


def get(session: Session, owner: str, job_id: str) -> Job:
    """Give a job as it is now."""
    return describe(session, find(session, owner, job_id))


def newest(
    session: Session, owner: str, *, status: Status | None, tag: tuple[str, str] | None, cursor: str | None, limit: int
) -> Page[Job]:
    """List the jobs."""
    page = store.newest(session, owner, status=status, tag=tag, cursor=cursor, limit=limit)
    return Page(items=[describe(session, row) for row in page.items], next_cursor=page.next_cursor)


def epochs(session: Session, owner: str, job_id: str, *, after: int, limit: int) -> Epochs:
    """Give the next part of a job's history."""
    find(session, owner, job_id)
    rows = store.epochs(session, job_id, after=after, limit=limit + 1)
    items = [Epoch.model_validate(row) for row in rows[:limit]]
    return Epochs(items=items, next_after=items[-1].epoch if len(rows) > limit else None)


def sampled_epochs(session: Session, owner: str, job_id: str, *, after: int, max_points: int) -> Epochs:
    """Give a job's history thinned out, for a chart."""
    row = find(session, owner, job_id)
    rows = store.sampled_epochs(session, job_id, after=after, last=row.epoch, max_points=max_points)
    return Epochs(items=[Epoch.model_validate(row) for row in rows], next_after=None)


def epoch_rows(session: Session, job_id: str, *, after: int, limit: int) -> Sequence[EpochRow]:
    """Give the next part of a job's history as rows."""
    return store.epochs(session, job_id, after=after, limit=limit)


def cancel(session: Session, owner: str, job_id: str) -> Job:
    """Stop a job: at once if it is queued, else when its worker hears of it. The weights so far are kept."""
    row = find(session, owner, job_id, lock=True)
    match Status(row.status):
        case Status.QUEUED if row.epoch == 0:
            store.advance(session, row, Status.CANCELLED, stopped_because="cancelled", finished_at=now())
        case Status.QUEUED | Status.RUNNING:
            store.advance(session, row, Status.CANCELLING)
        case Status.CANCELLING:
            pass
        case ended:
            raise IllegalTransition(f"The job is {ended}; only a job that has not ended can be cancelled.")
    return describe(session, row)


def delete(session: Session, owner: str, job_id: str) -> None:
    """Delete a job that has ended, with its history; its model stays."""
    row = find(session, owner, job_id, lock=True)
    if not Status(row.status).is_terminal:
        raise IllegalTransition(f"The job is {row.status}; cancel it before it is deleted.")
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
        status=Status(row.status),
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
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        links=JobLinks(
            self=f"/v1/jobs/{row.id}",
            epochs=f"/v1/jobs/{row.id}/epochs",
            events=f"/v1/jobs/{row.id}/events",
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
