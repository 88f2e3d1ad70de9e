"""Models that were trained elsewhere: upload."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, BinaryIO, cast

from fastapi import APIRouter, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.answers import made
from app.api.deps import IdempotencyKey, Installed, Owner
from app.contract.foreign import ModelCreate
from app.contract.models import Model
from app.errors import DescentError, Fault, InvalidRequest, TooLarge, UnsupportedFormat
from app.services import foreign
from app.services.once import Answer, RequestKey, fingerprint

router = APIRouter(prefix="/v1/models", tags=["models"])

MAX_JSON_BYTES = 4 * 2**20
MAX_SPEC_BYTES = 4 * 2**20
# To list a million of them would take gigabytes.
MOST_ERRORS = 10_000
MULTIPART, JSON = "multipart/form-data", "application/json"
_SCHEMA = {"$ref": "#/components/schemas/ModelCreate"}


def describe(document: dict[str, Any]) -> None:
    """Put into the OpenAPI document what the body of an upload says: it is read here, not by the framework."""
    own = ModelCreate.model_json_schema(ref_template="#/components/schemas/{model}", mode="validation")
    schemas = document["components"]["schemas"]
    for name, schema in {**own.pop("$defs", {}), "ModelCreate": own}.items():
        schemas.setdefault(name, schema)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=Model,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                MULTIPART: {
                    "schema": {
                        "type": "object",
                        "required": ["model", "file"],
                        "additionalProperties": False,
                        "properties": {
                            "model": _SCHEMA,
                            "file": {"type": "string", "format": "binary", "description": "safetensors or `.npz`."},
                        },
                    },
                    "encoding": {"model": {"contentType": JSON}},
                },
                JSON: {"schema": _SCHEMA},
            },
        }
    },
)
async def create_model(
    request: Request, installed: Installed, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Upload a network that was trained elsewhere, to be served, evaluated and trained on.

    Send a form with the parts `model`, which is JSON, and `file`, which is safetensors or `.npz`; or JSON alone, with the
    weights as `layers`. Arrays in a file are named as they are downloaded here (`layers.0.weight`, `layers.0.bias`,
    `layers.0.batch_norm.running_mean`, …), or as in the `state_dict` of a PyTorch `Sequential` (`0.weight`, `2.weight`, …):
    its layers are then taken in order, and a normalisation belongs to the layer before it. A `weight` is
    `(units_out, units_in)`; float16, bfloat16, float32 and float64 are read. The model has no job, and its inputs are
    numbers as they are, without preprocessing.
    """
    async with AsyncExitStack() as until_done:
        sent, file = await _body(request, installed.settings.max_model_bytes, until_done)
        answer = await run_in_threadpool(_create, installed, owner, idempotency_key, sent, file)
    return made(answer, "/v1/models", status.HTTP_201_CREATED)


def _create(
    installed: Installed, owner: str, idempotency_key: str | None, sent: bytes, file: BinaryIO | None
) -> Answer:
    model = _validated(sent, in_form=file is not None)
    of_file = ""
    if idempotency_key is not None and file is not None:
        of_file = foreign.hash_of(file)
    asked = fingerprint("POST", "/v1/models", model.model_dump_json(), of_file)
    key = RequestKey(owner, idempotency_key, asked, installed.settings.idempotency_hours)
    return foreign.create(installed, key, model, file)


async def _body(request: Request, max_bytes: int, until_done: AsyncExitStack) -> tuple[bytes, BinaryIO | None]:
    """Read a request: the JSON that describes the model, and the file of a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON:
        return b"".join([piece async for piece in _bounded(request, MAX_JSON_BYTES)]), None
    if kind != MULTIPART:
        message = f"Send {MULTIPART} with the parts `model` and `file`, or {JSON}."
        fault = Fault("header:content-type", message, "not_allowed", (MULTIPART, JSON))
        raise UnsupportedFormat(message, [fault])
    stream = _bounded(request, max_bytes + MAX_SPEC_BYTES)
    parser = MultiPartParser(
        request.headers, cast(Any, stream), max_files=2, max_fields=2, max_part_size=MAX_SPEC_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise DescentError(f"The form cannot be read: {error.message}", code="invalid_form") from None
    until_done.push_async_callback(form.close)
    return await _parts(form)


async def _bounded(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Give the pieces of a body, and no more of them than are accepted."""
    large = TooLarge(f"The body is larger than the {max_bytes:,} bytes accepted here.")
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise large
    left = max_bytes
    async for piece in request.stream():
        left -= len(piece)
        if left < 0:
            raise large
        yield piece


async def _parts(form: FormData) -> tuple[bytes, BinaryIO]:
    parts = form.multi_items()
    names = [name for name, _ in parts]
    faults = [Fault(f"/{name}", "There is no such part.", "unknown_field") for name in names if name not in _PARTS]
    faults += [Fault(f"/{name}", "Send one part of this name.", "missing") for name in _PARTS if names.count(name) != 1]
    model, file = form.get("model"), form.get("file")
    if isinstance(file, str):
        faults.append(Fault("/file", "Send it with a file name.", "missing"))
    if isinstance(model, UploadFile) and (model.size or 0) > MAX_SPEC_BYTES:
        faults.append(Fault("/model", f"At most {MAX_SPEC_BYTES:,} bytes.", "too_large"))
    if faults:
        raise InvalidRequest("The form needs the parts `model` and `file`.", faults)
    assert isinstance(file, UploadFile)
    assert model is not None
    return await model.read() if isinstance(model, UploadFile) else model.encode(errors="replace"), file.file


_PARTS = ("model", "file")


def _validated(sent: bytes, *, in_form: bool) -> ModelCreate:
    """Make a model of JSON.

    Raises:
        RequestValidationError: It is none; every fault is listed.
    """
    place = ("body", "model") if in_form else ("body",)
    try:
        body = json.loads(sent)
    except (ValueError, RecursionError):
        raise RequestValidationError([{"type": "json_invalid", "loc": place, "msg": "", "input": None}]) from None
    try:
        return ModelCreate.model_validate(body)
    except ValidationError as error:
        if error.error_count() > MOST_ERRORS:
            raise InvalidRequest(f"The request has more than {MOST_ERRORS:,} faults.") from None
        faults = error.errors(include_url=False, include_input=False)
        whole = {"model": body} if in_form else body
        raise RequestValidationError([{**one, "loc": (*place, *one["loc"])} for one in faults], body=whole) from None
