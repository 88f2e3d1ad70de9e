"""Datasets: upload, look, delete."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError

from app.api.answers import download, tagged
from app.api.deps import Cursor, IdempotencyKey, Installed, Limit, Owner, Reading
from app.api.formats import BODIES, Said, file_name, media_type, said
from app.contract.base import Page
from app.contract.datasets import Dataset, Kind, Rows
from app.errors import Fault, InvalidRequest, TooLarge
from app.services import datasets
from app.services.once import RequestKey, fingerprint

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_KINDS = TypeAdapter(dict[str, Kind])


def _kinds(
    kinds: Annotated[
        str | None, Query(max_length=100_000, description='Overrides what is found: `{"zip": "categorical"}`.')
    ] = None,
) -> Mapping[str, Kind]:
    try:
        return {} if kinds is None else _KINDS.validate_json(kinds)
    except ValidationError:
        message = 'Write a JSON object of column names and kinds: {"zip": "categorical"}.'
        raise InvalidRequest(message, [Fault("?kinds", message, "not_allowed", tuple(Kind))]) from None


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=Dataset,
    openapi_extra={"requestBody": {"required": True, "content": BODIES}},
)
async def create_dataset(
    request: Request,
    installed: Installed,
    owner: Owner,
    response: Response,
    upload_as: Annotated[Said, Depends(said)],
    kinds: Annotated[Mapping[str, Kind], Depends(_kinds)],
    idempotency_key: IdempotencyKey = None,
) -> Dataset:
    """Upload a table as the body of the request.

    It is stored as it came, read, and answered with what was found in each column. It is stored whole or not at all, and
    never changes.

    CSV, JSON, JSON lines, Parquet, Arrow IPC (a file or a stream) and NumPy's `.npz` and `.npy` are read, packed by gzip or zstd
    or not. What is guessed (the format, and of CSV the separator, the encoding and whether there is a header) is in `read` and
    in `warnings`.
    """
    limit = installed.settings.max_dataset_bytes
    if int(request.headers.get("content-length", 0)) > limit:
        raise TooLarge(f"The body is larger than the {limit:,} bytes accepted here.")
    with installed.blobs.writer(max_bytes=limit) as upload:
        async for piece in request.stream():
            upload.write(piece)
        asked = RequestKey(
            owner,
            idempotency_key,
            fingerprint("POST", "/v1/datasets", request.url.query, upload.sha256),
            installed.settings.idempotency_hours,
        )
        answer = await run_in_threadpool(
            datasets.create,
            installed,
            asked,
            upload,
            name=upload_as.name,
            format=upload_as.format,
            kinds=kinds,
            options=upload_as.options,
        )
    response.headers["Location"] = f"/v1/datasets/{answer.body.id}"
    if answer.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return answer.body


@router.get("", response_model=Page[Dataset])
def list_datasets(session: Reading, owner: Owner, limit: Limit = 20, cursor: Cursor = None) -> Page[Dataset]:
    """List datasets, newest first."""
    return datasets.newest(session, owner, cursor=cursor, limit=limit)


@router.get("/{dataset_id}", response_model=Dataset)
def get_dataset(request: Request, session: Reading, owner: Owner, dataset_id: str) -> Response:
    """Give a dataset."""
    return tagged(request, datasets.get(session, owner, dataset_id))


@router.get("/{dataset_id}/rows", response_model=Rows)
def preview_dataset(
    installed: Installed,
    session: Reading,
    owner: Owner,
    dataset_id: str,
    limit: Annotated[int, Query(ge=1, le=1000, description="Rows.")] = 20,
) -> Rows:
    """Give the first rows of a dataset, as they were understood."""
    return datasets.rows(installed, session, owner, dataset_id, limit=limit)


@router.get("/{dataset_id}/content", response_class=Response)
def download_dataset(
    request: Request, installed: Installed, session: Reading, owner: Owner, dataset_id: str
) -> Response:
    """Give the bytes back as they were sent. Takes `Range`."""
    dataset, path = datasets.content(installed, session, owner, dataset_id)
    sent_as, name = media_type(dataset), file_name(dataset)
    return download(request, path, sha256=dataset.sha256, file_name=name, media_type=sent_as)


@router.delete("/{dataset_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_dataset(installed: Installed, owner: Owner, dataset_id: str) -> None:
    """Delete a dataset, unless a job that has not ended needs it."""
    datasets.delete(installed, owner, dataset_id)
