"""Answers that a client may already have: ETags, 304, downloads."""

import hashlib
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel


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


def download(request: Request, path: Path, *, sha256: str, file_name: str, media_type: str) -> Response:
    """Answer with a file, or the range of it that was asked for, or 304."""
    etag = f'"{sha256}"'
    if _has(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return FileResponse(path, media_type=media_type, filename=file_name, headers={"ETag": etag})


def _has(request: Request, etag: str) -> bool:
    sent = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in sent.split(",")}
    return etag in tags or sent.strip() == "*"
