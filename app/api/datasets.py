"""Datasets: upload, look, delete."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError

from app.api import file_names
from app.api.answers import download, made, tagged, unless_known
from app.api.deps import Cursor, IdempotencyKey, Installed, Limit, Owner, Reading
from app.api.formats import BODIES, CONTENTS, file_name, media_type, settle
from app.api.multipart import MAX_OVERHEAD_BYTES, MEDIA_TYPE, Form
from app.contract.base import ColumnName, Name, Page
from app.contract.datasets import Dataset, Format, Header, Kind, Rows
from app.contract.profiles import MAX_COLUMNS, Profile
from app.contract.uploads import DatasetFields, Encoding, Separator
from app.errors import Fault, InvalidRequest, TooLarge
from app.services import datasets, profiles
from app.services.once import RequestKey, fingerprint

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_KINDS = TypeAdapter(dict[str, Kind])


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
    name: Annotated[Name | None, Query(description="`penguins`, or a file's name.")] = None,
    format: Annotated[
        Format | None,
        Query(description="null: told by the Content-Type, by the ending of `name` (`.csv.gz`), or by the bytes."),
    ] = None,
    separator: Annotated[
        Separator | None, Query(description="Of CSV: an ASCII character (a tab is `%09`); null: it is guessed.")
    ] = None,
    encoding: Annotated[
        Encoding | None,
        Query(
            description="Of text: `utf-8`, `windows-1252`, `shift_jis`, …; null: told by a byte order mark, or guessed."
        ),
    ] = None,
    header: Annotated[
        Header,
        Query(
            description="Of CSV: whether the first line names the columns (else they are `column_0`, …). `auto`: it does, unless "
            "it holds numbers where the lines below hold numbers, or values that all come again below."
        ),
    ] = Header.AUTO,
) -> DatasetFields:
    given: dict[str, Any] = {
        "name": name,
        "format": format,
        "kinds": kinds,
        "separator": separator,
        "encoding": encoding,
    }
    said = {word for word, value in given.items() if value} | ({"header"} if header is not Header.AUTO else set())
    return DatasetFields.model_construct(said, **given, header=header)


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
    asked: Annotated[DatasetFields, Depends(_asked)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Upload a table as the body of the request, or as the part `file` of a form.

    It is stored as it came, read, and answered with what was found in each column. It is stored whole or not at all, and
    never changes. A large one can be sent in pieces: `POST /v1/uploads`.

    CSV, JSON, JSON lines, Parquet, Arrow IPC (a file or a stream) and NumPy's `.npz` and `.npy` are read, packed by gzip or zstd
    or not. What is guessed (the format, and of CSV the separator, the encoding and whether there is a header) is in `read` and
    in `warnings`.
    """
    limit = installed.settings.max_dataset_bytes
    sent_as = request.headers.get("content-type", "")
    is_form = sent_as.partition(";")[0].strip().lower() == MEDIA_TYPE
    most = limit + MAX_OVERHEAD_BYTES if is_form else limit
    if int(request.headers.get("content-length", 0)) > most:
        raise TooLarge(f"The body is larger than the {limit:,} bytes accepted here.")
    with installed.blobs.writer(max_bytes=limit) as blob:
        sent_name = None
        if is_form:
            form = Form(sent_as, blob, most)
            await form.read(request.stream())
            asked, sent_as = _merged(asked, form.fields()), form.file_type or ""
            sent_name = file_names.of_form(form.file_name)
        else:
            async for piece in request.stream():
                blob.write(piece)
        name, format, options = settle(asked, sent_as=sent_as, file_name=sent_name)
        said = [repr((name, format, sorted(asked.kinds.items()), options))] if is_form else []
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
            options=options,
        )
    return made(answer, "/v1/datasets", status.HTTP_201_CREATED)


def _merged(query: DatasetFields, form: DatasetFields) -> DatasetFields:
    """Take each word from where it was said; said twice, it could mean two things."""
    both = sorted(query.model_fields_set & form.model_fields_set)
    twice = [Fault(f"?{word}", "Given both here and in the form.", "repeated") for word in both]
    if twice:
        raise InvalidRequest("The request says something twice.", twice)
    return form.model_copy(update={word: getattr(query, word) for word in query.model_fields_set})


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
    owner: Owner,
    dataset_id: str,
    limit: Annotated[int, Query(ge=1, le=1000, description="Rows.")] = 20,
    offset: Annotated[int, Query(ge=0, le=2**53, description="Rows to leave out before the first one.")] = 0,
) -> Rows:
    """Give rows of a dataset, as they were understood; none past its end."""
    return datasets.rows(installed, owner, dataset_id, limit=limit, offset=offset)


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


@router.get("/{dataset_id}/content", response_class=Response, responses={200: {"content": CONTENTS}})
def download_dataset(request: Request, installed: Installed, owner: Owner, dataset_id: str) -> Response:
    """Give the bytes back as they were sent. Takes `Range`, and `If-Range` with the `ETag`."""
    dataset, path = datasets.content(installed, owner, dataset_id)
    sent_as, name = media_type(dataset), file_name(dataset)
    return download(request, path, sha256=dataset.sha256, file_name=name, media_type=sent_as)


@router.delete("/{dataset_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_dataset(installed: Installed, owner: Owner, dataset_id: str) -> None:
    """Delete a dataset, unless a job that has not ended needs it."""
    datasets.delete(installed, owner, dataset_id)
