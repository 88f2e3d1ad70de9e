"""Datasets: upload, look, delete."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError

from app.api.answers import download, tagged
from app.api.deps import Cursor, IdempotencyKey, Installed, Limit, Owner, Reading
from app.contract.base import Page
from app.contract.datasets import Dataset, Format, Kind, Rows
from app.errors import Fault, InvalidRequest, TooLarge, UnsupportedFormat
from app.services import datasets
from app.services.once import RequestKey, fingerprint

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_MEDIA_TYPES = {"text/csv": Format.CSV, "application/csv": Format.CSV, "application/json": Format.JSON}
_SENT_AS = {Format.CSV: "text/csv; charset=utf-8", Format.JSON: "application/json"}
_KINDS = TypeAdapter(dict[str, Kind])


def _format(
    request: Request,
    name: Annotated[
        str | None,
        Query(
            min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="`penguins`, or a file's name."
        ),
    ] = None,
    format: Annotated[
        Format | None, Query(description="null: told by the Content-Type, or by the ending of `name`.")
    ] = None,
) -> tuple[str, Format]:
    """The dataset's name and format, by what the request says of them."""
    path = PurePath(name or "dataset")
    if format is None:
        sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        format = _MEDIA_TYPES.get(sent) or next((one for one in Format if path.suffix.lower() == f".{one}"), None)
    if format is None:
        fault = Fault("?format", "Say which format it is.", "not_allowed", tuple(Format))
        raise UnsupportedFormat("The format is not known from `format`, Content-Type or the ending of `name`.", [fault])
    is_file_name = path.suffix.lower() == f".{format}" and path.stem
    return (path.stem if is_file_name else str(path)), format


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
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "text/csv": {"schema": {"type": "string", "format": "binary"}},
                "application/json": {
                    "schema": {
                        "type": "object",
                        "description": '`{"columns": {"a": [1, 2]}}`, or `{"inputs": [[1, 2]], "targets": [[0]]}`.',
                    }
                },
            },
        }
    },
)
async def create_dataset(
    request: Request,
    installed: Installed,
    owner: Owner,
    response: Response,
    name_and_format: Annotated[tuple[str, Format], Depends(_format)],
    kinds: Annotated[Mapping[str, Kind], Depends(_kinds)],
    idempotency_key: IdempotencyKey = None,
) -> Dataset:
    """Upload a table as the body of the request.

    It is stored as it came, read, and answered with what was found in each column. It is stored whole or not at all, and
    never changes.
    """
    name, format = name_and_format
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
            datasets.create, installed, asked, upload, name=name, format=format, kinds=kinds
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
    name = f"{dataset.name}.{dataset.format}"
    return download(request, path, sha256=dataset.sha256, file_name=name, media_type=_SENT_AS[dataset.format])


@router.delete("/{dataset_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_dataset(installed: Installed, owner: Owner, dataset_id: str) -> None:
    """Delete a dataset, unless a job that has not ended needs it."""
    datasets.delete(installed, owner, dataset_id)
