"""Jobs: submit, watch, pause, resume, cancel, delete."""

import asyncio
import csv
import io
from collections.abc import Iterator
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import StreamingResponse

from app.api.answers import made, tagged_text
from app.api.deps import Asked, Cursor, Installed, Limit, Owner, Reading, Sent, SharedJobs, Transaction
from app.contract.base import Page
from app.contract.jobs import Epochs, Job, JobCreate, JobKind, Plan, Status
from app.services import jobs
from app.services.installation import Installation
from app.services.plan import plan
from app.services.submit import submit

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MAX_JOB_BYTES = 4 * 2**20
CSV_ROWS = 10_000


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Job,
    responses={200: {"model": Plan, "description": "With `dry_run`: what the job would be, and would cost."}},
    max_body_size=MAX_JOB_BYTES,
)
def submit_job(
    job: JobCreate,
    sent: Sent,
    installed: Installed,
    asked: Asked,
    dry_run: Annotated[
        bool, Query(description="Store nothing, under no Idempotency-Key either; answer 200 with the plan.")
    ] = False,
) -> Response:
    """Submit a network to be trained on a dataset.

    The answer is **202** once the job is stored and queued: it survives a crash of the service. `Location` is the URL to
    poll. Everything that is wrong with the job is said here, all at once.
    """
    if dry_run:
        return Response(plan(installed, asked.owner, job).model_dump_json(), media_type="application/json")
    return made(submit(installed, asked, job, sent), "/v1/jobs", status.HTTP_202_ACCEPTED)


@router.get("")
def list_jobs(
    session: Reading,
    owner: Owner,
    status: Annotated[Status | None, Query(description="Only jobs of this status.")] = None,
    tag: Annotated[
        str | None, Query(max_length=301, pattern="^[^:]+:", description="Only jobs with this tag: `team:botany`.")
    ] = None,
    kind: Annotated[
        JobKind, Query(description="Verifications are listed only if they are asked for.")
    ] = JobKind.TRAINING,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Job]:
    """List jobs, newest first."""
    key_and_value = None
    if tag is not None:
        key, _, value = tag.partition(":")
        key_and_value = key, value
    return jobs.newest(session, owner, kind=kind, status=status, tag=key_and_value, cursor=cursor, limit=limit)


@router.get("/{job_id}", response_model=Job)
async def get_job(
    request: Request,
    installed: Installed,
    shared: SharedJobs,
    owner: Owner,
    job_id: str,
    wait_s: Annotated[
        float, Query(ge=0, le=60, description="Answer when the job has ended, or after so many seconds.")
    ] = 0,
) -> Response:
    """Give a job as it is now; with `wait_s`, wait for its end."""
    deadline = monotonic() + wait_s
    while True:
        seen = installed.changes.count
        has_ended, text = await shared.get((owner, job_id), lambda: _read(installed, owner, job_id))
        left = deadline - monotonic()
        if has_ended or left <= 0 or installed.changes.is_closed or await request.is_disconnected():
            return tagged_text(request, text, "application/json")
        await installed.changes.wait(seen, min(left, 5.0))
        await asyncio.sleep(0)


def _read(installed: Installation, owner: str, job_id: str) -> tuple[bool, str]:
    """Tell whether the job has ended, and give it as JSON."""
    with installed.database.reading() as session:
        job = jobs.get(session, owner, job_id)
    return job.status.is_terminal, job.model_dump_json()


@router.post("/{job_id}/cancel", status_code=status.HTTP_202_ACCEPTED)
def cancel_job(installed: Installed, session: Transaction, owner: Owner, job_id: str) -> Job:
    """Stop a job that has not ended. The weights so far are kept as a model, if an epoch has ended."""
    return jobs.cancel(installed, session, owner, job_id)


@router.post("/{job_id}/pause", status_code=status.HTTP_202_ACCEPTED)
def pause_job(session: Transaction, owner: Owner, job_id: str) -> Job:
    """Have a queued or running job wait until it is resumed. It takes no worker then, and goes on to the same bits.

    A running job is `pausing` until its worker has stored its state; that takes less than half a second, but for jobs
    whose rows are still being prepared. Anything but a queued or running job is a 409 `illegal_transition`.
    """
    return jobs.pause(session, owner, job_id)


@router.post("/{job_id}/resume", status_code=status.HTTP_202_ACCEPTED)
def resume_job(installed: Installed, session: Transaction, owner: Owner, job_id: str) -> Job:
    """Have a paused job go on: it is queued again, behind your other jobs of its priority.

    A job that is still `pausing` is `running` again at once: the pause is taken back. Anything else is a 409
    `illegal_transition`.
    """
    return jobs.resume(installed, session, owner, job_id)


@router.delete("/{job_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_job(session: Transaction, owner: Owner, job_id: str) -> None:
    """Delete a job that has ended, with its history, its checkpoints and its verifications. Its model stays."""
    jobs.delete(session, owner, job_id)


@router.get(
    "/{job_id}/epochs",
    response_model=Epochs,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def list_epochs(
    request: Request,
    installed: Installed,
    session: Reading,
    owner: Owner,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only epochs after this one.")] = 0,
    until: Annotated[
        int | None, Query(ge=0, le=2**53, description="Only epochs up to this one, itself among them.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Epochs on a page.")] = 1000,
    max_points: Annotated[
        int | None,
        Query(
            ge=2,
            le=10_000,
            description="Thin the history (after `after`, up to `until`) out to at most so many epochs, evenly.",
        ),
    ] = None,
) -> Epochs | Response:
    """Give a job's history, oldest first: no gap and no duplicate, whatever crashed. `Accept: text/csv` gives all of it as CSV."""
    if "text/csv" in request.headers.get("accept", ""):
        jobs.find(session, owner, job_id)
        return StreamingResponse(_csv(installed, job_id, after, until), media_type="text/csv; charset=utf-8")
    if max_points is not None:
        return jobs.sampled_epochs(session, owner, job_id, after=after, until=until, max_points=max_points)
    return jobs.epochs(session, owner, job_id, after=after, until=until, limit=limit)


def _csv(installed: Installation, job_id: str, after: int, until: int | None) -> Iterator[str]:
    metrics: list[str] = []
    first = True
    while True:
        with installed.database.reading() as session:
            rows = jobs.epoch_rows(session, job_id, after=after, until=until, limit=CSV_ROWS)
        text = io.StringIO()
        writer = csv.writer(text)
        if first:
            first, metrics = False, list(rows[0].metrics) if rows else []
            writer.writerow(
                ["epoch", "train_loss", "validation_loss", *metrics, "learning_rate", "gradient_norm", "duration_s"]
            )
        for row in rows:
            measured = [row.metrics.get(name) for name in metrics]
            losses = [row.epoch, row.train_loss, row.validation_loss]
            writer.writerow([*losses, *measured, row.learning_rate, row.gradient_norm, row.duration_s])
        yield text.getvalue()
        if len(rows) < CSV_ROWS:
            return
        after = rows[-1].epoch
