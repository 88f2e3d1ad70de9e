"""The OpenAPI document: what the framework does not find out by itself, said of every operation by rule.

Which statuses an operation has follows from what it takes and does; those that do not are in `_ALSO`.
"""

import json
from collections.abc import Iterator
from typing import Any

from app.api import examples
from app.api.media import BINARY
from app.contract.models import WeightsFormat
from app.contract.problems import Problem

PROBLEM, EVENTS = "application/problem+json", "text/event-stream"
Json = dict[str, Any]

TAGS = {
    "datasets": "Tables: upload, look, download, delete. A dataset never changes.",
    "uploads": "Datasets that are sent in pieces, over as many requests as it takes.",
    "jobs": "Requests to train: submit, watch, pause, resume, fork, verify, cancel, delete.",
    "models": "Trained networks with their preprocessing: predict, evaluate, download, bring along.",
    "system": "The installation itself.",
}
DESCRIPTION = """\
Send a table and the shape of a network, watch the loss as it falls, download the weights.

There are no accounts: whoever reaches the service may do everything. Put it behind a proxy that asks who is there.

Errors are `application/problem+json` (RFC 9457) and list every fault of the request, each with the JSON pointer of its
field. `POST` takes an `Idempotency-Key`. What answers `GET` answers `HEAD`, with the same headers and no body. Every
answer has an `X-Request-Id`, the one that was sent if there was one."""

# status: its name among the components, what it means, its code in the example
_PROBLEMS = {
    400: (
        "BadRequest",
        "The request cannot be read: its body is not JSON, is cut, or is not the form it is said to be.",
    ),
    404: ("NotFound", "There is no such object; an object of somebody else is none, either."),
    406: ("NotAcceptable", "It cannot be given in any of the media types of `Accept`."),
    408: ("TooSlow", "No byte came for a minute; what had come is kept."),
    409: ("Conflict", "The state of the object does not allow it; `code` says why."),
    413: ("TooLarge", "The body is larger than is accepted: `GET /v1/limits`."),
    415: ("UnsupportedFormat", "The body is in a format, or under a Content-Type, that is not read here."),
    416: ("RangeNotSatisfiable", "The `Range` lies outside of the file; `Content-Range` has its size."),
    422: ("InvalidRequest", "The request was read and cannot be done as it is; `errors` lists every reason."),
    500: ("InternalError", "A fault of this service; it is in its log."),
    503: (
        "Unavailable",
        "The database, or the store of the files, does not answer; the same request may pass after `Retry-After` seconds.",
    ),
    507: ("StorageFull", "There is no room left to store it; nothing was stored."),
}
_TEXT = {"schema": {"type": "string"}}
_NUMBER = {"schema": {"type": "integer", "minimum": 0}}
_HEADERS: Json = {
    "X-Request-Id": {"description": "The id of the request: the one that was sent, or a new one.", **_TEXT},
    "ETag": {"description": "Changes when the answer does; give it as `If-None-Match`.", **_TEXT},
    "Location": {"description": "Where it is.", **_TEXT},
    "Idempotency-Replayed": {
        "description": "Only on the answer to an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {"description": "Seconds.", **_NUMBER},
    "Content-Range": {"description": "The part that was sent, and the size of the whole.", **_TEXT},
    "Accept-Ranges": {"description": "Parts can be asked for.", "schema": {"type": "string", "enum": ["bytes"]}},
    "Content-Disposition": {"description": "A name to save it as.", **_TEXT},
}
_WRITES = {"post", "put", "patch", "delete"}

_FILES = {f"download_{format}" for format in WeightsFormat}
_DOWNLOADS = {"download_dataset", "download_weights", "download_checkpoint", *_FILES}
_TAGGED = {
    *_DOWNLOADS,
    *("get_dataset", "profile_dataset", "get_upload", "get_job", "get_model", "get_receipt", "get_card"),
}
_MAKE = {"create_dataset", "create_upload", "complete_upload", "submit_job", "fork_job", "verify_job", "create_model"}
# What does not follow from the shape of an operation.
_ALSO = {
    "create_dataset": (415,),
    "delete_dataset": (409,),
    "preview_dataset": (409,),
    "create_upload": (409,),
    "append_to_upload": (408, 409, 413),
    "complete_upload": (409, 422),
    "delete_upload": (409,),
    "submit_job": (404, 409),
    "cancel_job": (409,),
    "pause_job": (409,),
    "resume_job": (409,),
    "delete_job": (409,),
    "fork_job": (409,),
    "verify_job": (409, 422),
    "create_model": (404,),
    "predict": (406, 409),
    "evaluate": (409,),
    "importance": (409,),
    "losses": (409,),
    "download_checkpoint": (406, 409),
    "download_weights": (406, 409),
    **dict.fromkeys(_FILES, (409,)),
    "list_datasets": (),
}


def complete(document: Json) -> None:
    """Say in the document what every operation has: statuses, headers, problems, examples."""
    _head(document)
    components = document["components"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    own = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    components["schemas"].update(own.pop("$defs"))
    components["schemas"]["Problem"] = own
    components["headers"] = _HEADERS
    components["responses"] = {name: _problem(status, text) for status, (name, text) in _PROBLEMS.items()}
    for path, method, operation in _operations(document):
        _without_null(operation.get("parameters", []))
        _answers(operation)
        for status in _statuses(path, method, operation):
            operation["responses"][str(status)] = {"$ref": f"#/components/responses/{_PROBLEMS[status][0]}"}
        operation["responses"] = dict(sorted(operation["responses"].items()))
    for schema in components["schemas"].values():
        _defaults_as_words(schema)
    examples.add(document)


def _head(document: Json) -> None:
    document["info"]["description"] = DESCRIPTION
    document["servers"] = [{"url": "/", "description": "This installation."}]
    document["security"] = []
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _statuses(path: str, method: str, operation: Json) -> set[int]:
    """Give the statuses of the problems that an operation may answer with."""
    name = operation["operationId"]
    statuses = {400, 500, *_ALSO.get(name, ())}
    if path not in {"/healthz", "/readyz"}:
        statuses.add(503)
    if operation.get("parameters"):
        statuses.add(422)
    if "{" in path:
        statuses.add(404)
    if "requestBody" in operation:
        statuses |= {413, 415, 422}
    if method in _WRITES:
        statuses.add(507)
    if name in _DOWNLOADS:
        statuses.add(416)
    return statuses


def _answers(operation: Json) -> None:
    """Complete what is said of the answers that are no errors."""
    name, answers = operation["operationId"], operation["responses"]
    for status in [one for one in answers if one == "422"]:
        del answers[status]
    if name in _TAGGED:
        answers["304"] = {"description": "The client has it: `If-None-Match` names its ETag.", "headers": _refs("ETag")}
        answers["200"].setdefault("headers", {}).update(
            _refs("ETag") if "ETag" not in answers["200"].get("headers", {}) else {}
        )
    if name in _DOWNLOADS:
        answers["200"]["headers"] |= _refs("Accept-Ranges", "Content-Disposition")
        part = dict.fromkeys([*answers["200"].get("content", {}), "multipart/byteranges"], BINARY)
        answers["206"] = {
            "description": "The part of the file that was asked for; `multipart/byteranges` for several.",
            "content": part,
            "headers": _refs("ETag", "Accept-Ranges"),
        }
    for stream in (answer["content"] for answer in answers.values() if EVENTS in answer.get("content", {})):
        # OpenAPI 3.1 has no word for a row of events: the schema is that of one.
        stream[EVENTS] = {"schema": stream[EVENTS].get("itemSchema", {}), "example": examples.EVENT}
    for status, answer in answers.items():
        answer["headers"] = {**_refs("X-Request-Id"), **answer.get("headers", {})}
        if answer["description"] == "Successful Response":
            answer["description"] = _DONE.get(status, "Done.")
        if name in _MAKE and status in {"201", "202"}:
            answer["headers"] |= _refs("Location", "Idempotency-Replayed")


_DONE = {"200": "As asked.", "201": "It is stored.", "202": "It is stored, and will be done.", "204": "It is done."}


def _refs(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _problem(status: int, description: str) -> Json:
    headers = _refs("X-Request-Id")
    if status in {503, 507}:
        headers |= _refs("Retry-After")
    if status == 416:
        headers |= _refs("Content-Range")
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": examples.problem(status)}
    return {"description": description, "headers": headers, "content": {PROBLEM: content}}


def _defaults_as_words(schema: Json) -> None:
    """Tell a default that is an object in words where the field may be one of several things: generators trip over it."""
    for field in schema.get("properties", {}).values():
        if "anyOf" in field and isinstance(field.get("default"), dict):
            told = f"By default `{json.dumps(field.pop('default'))}`."
            field["description"] = f"{field.get('description', '')} {told}".strip()


def _without_null(parameters: list[Json]) -> None:
    """A parameter is left out, or it is text: there is no null in a URL."""
    for parameter in parameters:
        schema = parameter["schema"]
        members = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
        if len(members) == 1:
            parameter["schema"] = {**members[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
