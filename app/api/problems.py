"""Errors as RFC 9457 has them: every fault at once, and nothing of what is inside."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app.contract.problems import Problem, ProblemFault
from app.errors import DescentError, Fault, InvalidRequest, StorageFull, Unavailable, UnsupportedFormat, WrongOffset
from app.store.faults import DATABASE_DOWN, is_full, is_passing

MEDIA_TYPE = "application/problem+json"
MOST_FAULTS = 100
RETRY_AFTER_S = "2"
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_KINDS = {"int_parsing": "integer", "float_parsing": "number", "bool_parsing": "boolean"}

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Make every error of the app a problem."""
    app.add_exception_handler(DescentError, _descent_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _cut)
    for error in (*DATABASE_DOWN, OSError):
        app.add_exception_handler(error, _outside)
    app.add_exception_handler(Exception, _bug)


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make an error body; a long list of faults is cut."""
    body = Problem(
        type=f"/docs/problems#{code}",
        title=title,
        status=status,
        detail=_sentence(detail),
        code=code,
        errors=[
            ProblemFault(
                pointer=fault.pointer,
                message=_sentence(fault.message),
                code=fault.code,
                allowed=None if fault.allowed is None else list(fault.allowed),
            )
            for fault in faults[:MOST_FAULTS]
        ],
    )
    content = body.model_dump_json().encode("utf-8", errors="replace")
    return Response(content, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def for_status(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Make the problem of a bare status code."""
    phrase = HTTPStatus(status).phrase
    code = {413: "too_large", 405: "method_not_allowed", 404: "not_found"}.get(status, phrase.lower().replace(" ", "_"))
    return problem(status, code, phrase, HTTPStatus(status).description or phrase, headers=headers)


async def _descent_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, DescentError)
    headers = {"Retry-After": RETRY_AFTER_S} if isinstance(error, Unavailable | StorageFull) else {}
    if isinstance(error, WrongOffset):
        headers["Upload-Offset"] = str(error.offset)
    return problem(error.status, error.code, error.title, error.detail, error.faults, headers)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if any(fault["type"] == "json_invalid" for fault in error.errors()):
        return problem(400, "invalid_json", "Invalid JSON", "The body is not JSON.")
    if isinstance(error.body, bytes):
        unread = UnsupportedFormat("Send the body as JSON, with the header `Content-Type: application/json`.")
        return await _descent_error(_request, unread)
    faults = list(_merged(_fault(fault, error.body) for fault in error.errors()[: 10 * MOST_FAULTS]))
    return problem(
        422, InvalidRequest.code, InvalidRequest.title, "The request has fields that cannot be used.", faults
    )


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code < 400:
        return Response(status_code=error.status_code, headers=error.headers)
    if error.status_code in {404, 405} and (allowed := _methods(request)):
        return for_status(405, {"Allow": ", ".join(allowed)})
    return for_status(error.status_code, error.headers)


def _methods(request: Request) -> list[str]:
    """Give the methods that the address knows; those of the page, which is mounted below all else, if no other.

    Where there is GET, there is HEAD; it comes as GET.
    """
    *routes, _page = request.app.routes
    known = [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ] or ["GET"]
    if request.method in known:
        return []
    return sorted({*known, "HEAD"} if "GET" in known else known)


async def _cut(_request: Request, _error: Exception) -> Response:
    # Most likely nobody reads it; but it is no fault of ours, to be logged as one.
    return problem(400, "incomplete_body", "Incomplete body", "The connection was cut before the end of the body.")


async def _outside(_request: Request, error: Exception) -> Response:
    if is_full(error):
        log.error("there is no room: %s", error)
        return await _descent_error(_request, StorageFull("There is no room left to store it; nothing was stored."))
    if not is_passing(error):
        raise error
    log.warning("the database, the disk or the store of the files does not answer: %s", error)
    unavailable = Unavailable(
        "The database, the disk or the store of the files does not answer; the same request may pass later."
    )
    return await _descent_error(_request, unavailable)


async def _bug(_request: Request, _error: Exception) -> Response:
    # The traceback is in the log, written by the server.
    return problem(500, "internal_error", "Internal error", "A fault of this service; it is in its log.")


def _fault(found: Mapping[str, Any], body: Any) -> Fault:
    """From pydantic's account of a fault to ours. The input is never echoed."""
    place, *path = found["loc"]
    pointer = _pointer(path, body) if place == "body" else f"?{path[0]}" if place == "query" else f"{place}:{path[0]}"
    kind = found["type"]
    context = found.get("ctx", {})
    if kind == "extra_forbidden":
        return Fault(pointer, "There is no such field.", "unknown_field")
    if kind in {"literal_error", "enum", "union_tag_invalid"}:
        allowed = _names(str(context.get("expected") or context.get("expected_tags")))
        name = context.get("discriminator", "").strip("'")
        return Fault(f"{pointer}/{name}" if name else pointer, "Not one of the allowed values.", "not_allowed", allowed)
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return Fault(pointer, "Input should be a JSON object.", "object_type")
    if kind in {"int_parsing", "float_parsing", "bool_parsing"}:
        return Fault(pointer, f"Input should be a valid {_KINDS[kind]}.", kind)
    return Fault(pointer, found["msg"].removeprefix("Value error, ") + ".", kind)


def _names(expected: str) -> tuple[str, ...]:
    """The names in pydantic's "'a', 'b' or 'c'"."""
    return tuple(part for part in expected.split("'")[1::2])


def _pointer(path: Iterable[str | int], body: Any) -> str:
    """A JSON pointer into what was sent; names that pydantic gives to the members of a union are left out."""
    pointer, here = "", body
    steps = list(path)
    for i, step in enumerate(steps):
        if isinstance(here, Mapping) and isinstance(step, str):
            if step not in here and i + 1 < len(steps):
                continue
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int):
            here = here[step] if step < len(here) else None
        else:
            continue
        pointer += "/" + str(step).replace("~", "~0").replace("/", "~1")
    return pointer


def _merged(faults: Iterable[Fault]) -> Iterable[Fault]:
    """One fault a field: what each member of a union has against it is one sentence."""
    by_pointer: dict[tuple[str, bool], Fault] = {}
    for fault in faults:
        key = (fault.pointer, fault.code == "unknown_field")
        if key not in by_pointer:
            by_pointer[key] = fault
        elif fault.message not in by_pointer[key].message:
            before = by_pointer[key]
            message = before.message.rstrip(".") + ", or: " + fault.message
            by_pointer[key] = Fault(fault.pointer, message, before.code, before.allowed or fault.allowed)
    return by_pointer.values()
