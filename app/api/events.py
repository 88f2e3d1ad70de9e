"""A job as it happens: server-sent events."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException

from app.api.deps import Installed, Owner
from app.contract.jobs import Epoch, Job
from app.services import jobs
from app.services.installation import Installation

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

EPOCHS_AT_ONCE = 1000
LOOK_ANYWAY_S = 5.0
DONE = "done"


@dataclass(frozen=True)
class Seen:
    """What a client has heard: the id of its last event, `41-running`.

    Args:
        epoch: The last epoch.
        status: The last status; `done` after the last event of all.
    """

    epoch: int = 0
    status: str = ""

    def __str__(self) -> str:
        return f"{self.epoch}-{self.status}"


def _seen(
    installed: Installed,
    owner: Owner,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only epochs after this one; `Last-Event-ID` rules.")] = 0,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)] = None,
) -> Seen:
    """Where to go on. This runs before the answer starts, so that what is wrong still has its status code."""
    with installed.database.reading() as session:
        jobs.find(session, owner, job_id)
    match = re.fullmatch(r"(\d{1,15})-([a-z]*)", last_event_id or "")
    seen = Seen(int(match[1]), match[2]) if match else Seen(after)
    if seen.status == DONE:
        raise HTTPException(204)  # tells an EventSource not to connect again
    return seen


@router.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    responses={204: {"description": "`Last-Event-ID` is that of `done`: there is nothing to come, and no body."}},
)
async def stream_job_events(
    installed: Installed, owner: Owner, job_id: str, seen: Annotated[Seen, Depends(_seen)]
) -> AsyncIterator[ServerSentEvent]:
    """Watch a job: `epoch` for each epoch, `status` when it changes, `done` at the end (the whole job).

    `Last-Event-ID` goes on after the event of that id, without gap or duplicate.
    """
    while not installed.changes.is_closed:
        count = installed.changes.count
        job, epochs = await run_in_threadpool(_read, installed, owner, job_id, seen.epoch)
        for epoch in epochs:
            seen = Seen(epoch.epoch, seen.status)
            yield ServerSentEvent(event="epoch", id=str(seen), raw_data=epoch.model_dump_json())
        if len(epochs) == EPOCHS_AT_ONCE:
            continue
        if job.status != seen.status:
            seen = Seen(seen.epoch, job.status)
            yield ServerSentEvent(event="status", id=str(seen), data={"id": job.id, "status": job.status})
        if job.status.is_terminal:
            yield ServerSentEvent(event=DONE, id=str(Seen(seen.epoch, DONE)), raw_data=job.model_dump_json())
            return
        await installed.changes.wait(count, LOOK_ANYWAY_S)


def _read(installed: Installation, owner: str, job_id: str, after: int) -> tuple[Job, list[Epoch]]:
    with installed.database.reading() as session:
        epochs = [
            Epoch.model_validate(row) for row in jobs.epoch_rows(session, job_id, after=after, limit=EPOCHS_AT_ONCE)
        ]
        return jobs.get(session, owner, job_id), epochs
