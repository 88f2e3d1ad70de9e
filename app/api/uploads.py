"""Uploads in pieces: a large dataset over as many requests as it takes, across cut connections and restarts."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from anyio import CancelScope
from fastapi import APIRouter, Header, Request, Response, status
from fastapi.concurrency import run_in_threadpool

from app.api.answers import made, tagged
from app.api.deps import Asked, Installed, Owner, Reading
from app.api.formats import settle
from app.api.media import BINARY
from app.contract.datasets import Dataset
from app.contract.uploads import Upload, UploadCreate
from app.errors import TooSlow
from app.services import uploads

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

MAX_BODY_BYTES = 2**20
# A client that is gone without a word must not keep its upload for ever.
SILENT_S = 60.0
OFFSET = "Upload-Offset"
_OFFSET_HEADER = {OFFSET: {"description": "Bytes that are stored.", "schema": {"type": "integer", "minimum": 0}}}
_HAS_OFFSET = {"headers": _OFFSET_HEADER}


@router.post("", status_code=status.HTTP_201_CREATED, response_model=Upload, max_body_size=MAX_BODY_BYTES)
def create_upload(fields: UploadCreate, installed: Installed, asked: Asked) -> Response:
    """Begin to send a dataset in pieces.

    Then `PATCH` the upload with one piece after the other, and `POST` its `complete`. Where a connection broke, ask with `GET` or
    `HEAD` how far it has come, and go on from there. `size_bytes` and `sha256` are checked at the end, if they are given.
    """
    name, format, _ = settle(fields, sent_as=None)
    answer = uploads.create(installed, asked, fields, name=name, format=format)
    return made(answer, "/v1/uploads", status.HTTP_201_CREATED)


@router.get("/{upload_id}", response_model=Upload, responses={200: _HAS_OFFSET})
def get_upload(request: Request, session: Reading, owner: Owner, upload_id: str) -> Response:
    """Tell how far an upload has come."""
    upload = uploads.get(session, owner, upload_id)
    response = tagged(request, upload)
    response.headers[OFFSET] = str(upload.offset)
    return response


@router.patch(
    "/{upload_id}",
    response_model=Upload,
    responses={200: _HAS_OFFSET},
    openapi_extra={
        "requestBody": {
            "description": "The bytes; none of them is a piece, too.",
            "required": False,
            "content": {"application/octet-stream": BINARY},
        }
    },
)
async def append_to_upload(
    request: Request,
    installed: Installed,
    owner: Owner,
    upload_id: str,
    response: Response,
    upload_offset: Annotated[
        int,
        Header(
            alias=OFFSET, ge=0, le=2**53, description="Where the piece starts: at the number of bytes that are stored."
        ),
    ],
) -> Upload:
    """Add a piece: the raw bytes that follow those which are stored.

    The answer comes once they are on disk. If the connection is cut in the middle, what came until then is kept. A piece that
    starts elsewhere is refused with **409** `wrong_offset`, and the header `Upload-Offset` says where the next one starts. Only
    one request at a time may add to an upload; others have **409** `upload_busy`. A minute without a byte ends it with **408**.
    """
    announced = request.headers.get("content-length")
    piece = await run_in_threadpool(
        uploads.begin_piece,
        installed,
        owner,
        upload_id,
        offset=upload_offset,
        announced_bytes=None if announced is None else int(announced),
    )
    try:
        async for received in _patiently(request.stream()):
            piece.write(received)
            if piece.wants_saving:
                await run_in_threadpool(piece.save)
    finally:
        with CancelScope(shield=True):
            upload = await run_in_threadpool(piece.end)
    response.headers[OFFSET] = str(upload.offset)
    return upload


@router.post("/{upload_id}/complete", status_code=status.HTTP_201_CREATED, response_model=Dataset)
def complete_upload(installed: Installed, owner: Owner, upload_id: str) -> Response:
    """Make a dataset of what was sent.

    It is the same as if the bytes had come in one request. A second time gives the same dataset again.
    """
    answer = uploads.complete(installed, owner, upload_id)
    return made(answer, "/v1/datasets", status.HTTP_201_CREATED)


@router.delete("/{upload_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_upload(installed: Installed, owner: Owner, upload_id: str) -> None:
    """Give an upload up, and delete what was sent. A dataset that was made from it stays."""
    uploads.delete(installed, owner, upload_id)


async def _patiently(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give one piece after the other, and no longer wait when none comes."""
    while True:
        try:
            async with asyncio.timeout(SILENT_S):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise TooSlow(f"No byte came for {SILENT_S:.0f} seconds; what had come is kept.") from None
        if piece is None:
            return
        yield piece
