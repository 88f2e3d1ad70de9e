"""Datasets: upload, look, delete."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError

from app.api import file_names
from app.api.answers import download, made, tagged, unless_known
from app.api.deps import Cursor, IdempotencyKey, Installed, Limit, Owner, Reading
from app.api.multipart import MAX_OVERHEAD_BYTES, MEDIA_TYPE, Form
from app.contract.base import ColumnName, Page
from app.contract.datasets import Dataset, Format, Kind, Rows
from app.contract.profiles import MAX_COLUMNS, Profile
from app.contract.uploads import DatasetFields
from app.errors import Fault, InvalidRequest, TooLarge, UnsupportedFormat
from app.services import datasets, profiles
from app.services.once import RequestKey, fingerprint

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_MEDIA_TYPES = {"text/csv": Format.CSV, "application/csv": Format.CSV, "application/json": Format.JSON}
_SENT_AS = {Format.CSV: "text/csv; charset=utf-8", Format.JSON: "application/json"}
_KINDS = TypeAdapter(dict[str, Kind])


@dataclass(frozen=True)
class Asked:
    """What a request says of a dataset beside its bytes."""

    name: str | None
    format: Format | None
    kinds: Mapping[str, Kind]


def named(
    name: str | None, format: Format | None, *, sent_as: str | None, file_name: str | None = None
) -> tuple[str, Format]:
    """The dataset's name and format, by what the request says of them."""
    path = PurePath(name or file_name or "dataset")
    if format is None:
        sent = (sent_as or "").partition(";")[0].strip().lower()
        endings = {path.suffix.lower(), PurePath(file_name or "").suffix.lower()}
        format = _MEDIA_TYPES.get(sent) or next((one for one in Format if f".{one}" in endings), None)
    if format is None:
        fault = Fault("?format", "Say which format it is.", "not_allowed", tuple(Format))
        raise UnsupportedFormat("The format is not known from `format`, Content-Type or the ending of `name`.", [fault])
    is_file_name = path.suffix.lower() == f".{format}" and path.stem
    return (path.stem if is_file_name else str(path)), format


def _kinds(
    kinds: Annotated[
        str | None,
        Query(
            max_length=5000,  # percent-encoded it still fits into the 64 KiB of a request's first line
            description='Overrides what is found: `{"zip": "categorical"}`. A longer one is sent in a form.',
        ),
    ] = None,
) -> Mapping[str, Kind]:
    try:
        return {} if kinds is None else _KINDS.validate_json(kinds)
    except ValidationError:
        message = 'Write a JSON object of column names and kinds: {"zip": "categorical"}.'
        raise InvalidRequest(message, [Fault("?kinds", message, "not_allowed", tuple(Kind))]) from None


def _asked(
    kinds: Annotated[Mapping[str, Kind], Depends(_kinds)],
    name: Annotated[
        str | None,
        Query(
            min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="`penguins`, or a file's name."
        ),
    ] = None,
    format: Annotated[
        Format | None, Query(description="null: told by the Content-Type, or by the ending of `name`.")
    ] = None,
) -> Asked:
    return Asked(name, format, kinds)


_FIELD = "May be a query parameter instead."
_BODY = {
    "required": True,
    "content": {
        "text/csv": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {
            "schema": {
                "type": "object",
                "description": '`{"columns": {"a": [1, 2]}}`, or `{"inputs": [[1, 2]], "targets": [[0]]}`.',
            }
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "additionalProperties": False,
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "The dataset. Its file name and Content-Type tell name and format where nothing else does.",
                    },
                    "name": {"type": "string", "minLength": 1, "maxLength": 200, "description": _FIELD},
                    "format": {"$ref": "#/components/schemas/Format", "description": _FIELD},
                    "kinds": {"type": "string", "description": 'JSON: `{"zip": "categorical"}`. ' + _FIELD},
                },
            }
        },
    },
}


@router.post("", status_code=status.HTTP_201_CREATED, response_model=Dataset, openapi_extra={"requestBody": _BODY})
async def create_dataset(
    request: Request,
    installed: Installed,
    owner: Owner,
    asked: Annotated[Asked, Depends(_asked)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Upload a table as the body of the request, or as the part `file` of a form.

    It is stored as it came, read, and answered with what was found in each column. It is stored whole or not at all, and
    never changes. A large one can be sent in pieces: `POST /v1/uploads`.
    """
    limit = installed.settings.max_dataset_bytes
    sent_as = request.headers.get("content-type", "")
    is_form = sent_as.partition(";")[0].strip().lower() == MEDIA_TYPE
    most = limit + MAX_OVERHEAD_BYTES if is_form else limit
    if int(request.headers.get("content-length", 0)) > most:
        raise TooLarge(f"The body is larger than the {limit:,} bytes accepted here.")
    name_and_format = None if is_form else named(asked.name, asked.format, sent_as=sent_as)
    with installed.blobs.writer(max_bytes=limit) as blob:
        if name_and_format is None:
            form = Form(sent_as, blob, most)
            await form.read(request.stream())
            asked = _merged(asked, form.fields())
            name_and_format = named(
                asked.name, asked.format, sent_as=form.file_type, file_name=file_names.of_form(form.file_name)
            )
        else:
            async for piece in request.stream():
                blob.write(piece)
        name, format = name_and_format
        said = [] if not is_form else [repr((name, format, sorted(asked.kinds.items())))]
        answer = await run_in_threadpool(
            datasets.create,
            installed,
            RequestKey(
                owner,
                idempotency_key,
                fingerprint("POST", "/v1/datasets", request.url.query, blob.sha256, *said),
                installed.settings.idempotency_hours,
            ),
            blob,
            name=name,
            format=format,
            kinds=asked.kinds,
        )
    return made(answer, "/v1/datasets", status.HTTP_201_CREATED)


def _merged(query: Asked, form: DatasetFields) -> Asked:
    """Take each word from where it was said; said twice, it could mean two things."""
    given = form.model_fields_set
    twice = [
        Fault(f"?{word}", "Given both here and in the form.", "repeated")
        for word in ("name", "format", "kinds")
        if word in given and getattr(query, word)
    ]
    if twice:
        raise InvalidRequest("The request says something twice.", twice)
    return Asked(query.name or form.name, query.format or form.format, query.kinds or form.kinds)


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
    offset: Annotated[int, Query(ge=0, le=2**53, description="Rows to leave out before the first one.")] = 0,
) -> Rows:
    """Give rows of a dataset, as they were understood; none past its end."""
    return datasets.rows(installed, session, owner, dataset_id, limit=limit, offset=offset)


@router.get("/{dataset_id}/profile", response_model=Profile)
def profile_dataset(
    request: Request,
    installed: Installed,
    owner: Owner,
    dataset_id: str,
    columns: Annotated[
        list[ColumnName] | None,
        Query(max_length=MAX_COLUMNS, description="Only these, in this order: `?columns=age&columns=sex`."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_COLUMNS, description="Columns on a page.")] = MAX_COLUMNS,
    cursor: Cursor = None,
) -> Response:
    """Show how the values of each column are distributed: quantiles, histogram, the most frequent ones."""
    chosen = profiles.choose(installed, owner, dataset_id, names=columns, cursor=cursor, limit=limit)
    return unless_known(request, chosen.etag, lambda: profiles.compute(installed, chosen))


@router.get("/{dataset_id}/content", response_class=Response)
def download_dataset(
    request: Request, installed: Installed, session: Reading, owner: Owner, dataset_id: str
) -> Response:
    """Give the bytes back as they were sent. Takes `Range`, and `If-Range` with the `ETag`."""
    dataset, path = datasets.content(installed, session, owner, dataset_id)
    name = f"{dataset.name}.{dataset.format}"
    return download(request, path, sha256=dataset.sha256, file_name=name, media_type=_SENT_AS[dataset.format])


@router.delete("/{dataset_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_dataset(installed: Installed, owner: Owner, dataset_id: str) -> None:
    """Delete a dataset, unless a job that has not ended needs it."""
    datasets.delete(installed, owner, dataset_id)
