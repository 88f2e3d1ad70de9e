"""Answers that a client may already have: ETags, 304, downloads."""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from fastapi import Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from app.api.file_names import disposition
from app.errors import NotFound
from app.services.once import Answer

_ONE = rb"[ \t]*(?:\d{1,18}-\d{0,18}|-\d{1,18})[ \t]*"
_RANGE = re.compile(rb"bytes=%b(?:,%b)*" % (_ONE, _ONE), re.IGNORECASE)


def made(answer: Answer, collection: str, status_code: int) -> Response:
    """Answer with what was made, where it is, and whether an earlier request with the same key made it."""
    headers = {"Location": f"{collection}/{answer.object_id}"}
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(answer.body.encode(), status_code=status_code, media_type="application/json", headers=headers)


def tagged(request: Request, body: BaseModel) -> Response:
    """Answer with a strong ETag, or 304 if the client has the very same bytes."""
    return tagged_text(request, body.model_dump_json(), "application/json")


def tagged_text(request: Request, text: str, media_type: str) -> Response:
    """Answer with a text and a strong ETag, or 304 if the client has the very same bytes."""
    content = text.encode()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    if _has(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(content, media_type=media_type, headers={"ETag": etag, "Cache-Control": "no-cache"})


def unless_known(request: Request, tag: str, make: Callable[[], BaseModel]) -> Response:
    """Answer with what is made, or 304, and then it is not made, if the client has the answer of this tag."""
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    if _has(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(make().model_dump_json().encode(), media_type="application/json", headers=headers)


def download(request: Request, path: Path, *, sha256: str, file_name: str, media_type: str) -> Response:
    """Answer with a file, or the range of it that was asked for, or 304."""
    etag = f'"{sha256}"'
    if _has(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise NotFound("It was deleted this very moment.") from None
    return _OpenFile(file, media_type, {"ETag": etag, "Content-Disposition": disposition(file_name)})


class _OpenFile(FileResponse):
    """Sends a file to its end, even if it is deleted meanwhile: it is reached by its descriptor, not by its name."""

    def __init__(self, file: BinaryIO, media_type: str, headers: Mapping[str, str]) -> None:
        path = f"/dev/fd/{file.fileno()}"
        super().__init__(path, media_type=media_type, headers=headers, stat_result=os.fstat(file.fileno()))
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"range" or _is_range(value)]
        with self._file:
            await super().__call__({**scope, "headers": headers}, receive, send)


def _is_range(sent: bytes) -> bool:
    """Tell whether a `Range` header is one of bytes; another unit, or what is none, is ignored (RFC 9110, 14.2)."""
    if not _RANGE.fullmatch(sent):
        return False
    ends = [part.strip().split(b"-") for part in sent.partition(b"=")[2].split(b",")]
    return all(not first or not last or int(first) <= int(last) for first, last in ends)


def _has(request: Request, etag: str) -> bool:
    sent = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in sent.split(",")}
    return etag in tags or sent.strip() == "*"
