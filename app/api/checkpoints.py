"""A job's stored states, and jobs that are made from them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status

from app.api.answers import download, made
from app.api.deps import Asked, Installed, Owner, Reading
from app.api.media import BINARY, MEDIA_TYPES, SENT_AS, preferred
from app.contract.jobs import Checkpoints, Fork, Job
from app.contract.models import Weights, WeightsFormat
from app.services import checkpoints, forks

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MAX_FORK_BYTES = 2**20


@router.get("/{job_id}/checkpoints")
def list_checkpoints(session: Reading, owner: Owner, job_id: str) -> Checkpoints:
    """List the stored states of a job: the latest, the best, and those that `keep_checkpoints` keeps."""
    return checkpoints.newest(session, owner, job_id)


@router.get(
    "/{job_id}/checkpoints/{checkpoint_id}/weights",
    response_model=Weights,
    responses={
        200: {"content": dict.fromkeys(MEDIA_TYPES, BINARY)},
    },
)
def download_checkpoint(
    request: Request,
    installed: Installed,
    owner: Owner,
    job_id: str,
    checkpoint_id: str,
    format: Annotated[WeightsFormat | None, Query(description="null: by `Accept`, else npz.")] = None,
) -> Response:
    """Download the weights of a checkpoint, as a model's. Takes `Range`; the latest may be another one by the next time."""
    chosen = format or preferred(request.headers.get("accept"))
    name = f"{checkpoint_id}.{chosen}"
    with checkpoints.weights_file(installed, owner, job_id, checkpoint_id, chosen) as (path, sha256):
        answer = download(request, path, sha256=sha256, file_name=name, media_type=SENT_AS[chosen])
    answer.headers["Vary"] = "Accept"
    return answer


@router.post("/{job_id}/fork", status_code=status.HTTP_202_ACCEPTED, response_model=Job, max_body_size=MAX_FORK_BYTES)
def fork_job(fork: Fork, installed: Installed, asked: Asked, job_id: str) -> Response:
    """Go on from a checkpoint of a job, ended or not, with another training: a new job, whose parent is not touched.

    Epochs count on from the checkpoint's, and the new job's history begins with the next one. If nothing changes but a
    larger `epochs` (and the schedule does not look at their number), the weights come out as if the parent had been
    trained so long, bit for bit. The optimizer goes on with what it remembers, unless another one is named, or the
    checkpoint is the `best`. Rows, their split and their preparation are the parent's.
    """
    return made(forks.fork(installed, asked, job_id, fork), "/v1/jobs", status.HTTP_202_ACCEPTED)


@router.post("/{job_id}/verify", status_code=status.HTTP_202_ACCEPTED, response_model=Job, max_body_size=MAX_FORK_BYTES)
def verify_job(installed: Installed, asked: Asked, job_id: str) -> Response:
    """Train a job that has ended again, up to the same epoch, and compare every epoch and the chain of its receipt.

    The answer is a job of the kind `verification`, of the lowest priority; it makes no model. When it has succeeded, its
    `verification` says `identical`, or from which epoch on it differs, and what differs between the machines.
    """
    return made(forks.verify(installed, asked, job_id), "/v1/jobs", status.HTTP_202_ACCEPTED)
