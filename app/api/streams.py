"""Answers that a process makes piece by piece, and that nobody holds as a whole."""

from collections.abc import AsyncIterator, Mapping

import anyio
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from app.evaluation.processes import Work

TAKEN_WITHIN_S = 60.0


class WorkResponse(StreamingResponse):
    """Sends the pieces of some work as they come, and ends it when the client goes away or does not take them.

    An error after the first piece cuts the connection: a part is never taken for the whole.
    """

    def __init__(self, work: Work, *, media_type: str, headers: Mapping[str, str]) -> None:
        try:
            first = work.piece()  # what is wrong shows before the answer begins
        except BaseException:
            work.close()
            raise
        self._work = work
        super().__init__(self._pieces(first), media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""

        async def send_soon(message: Message) -> None:
            try:
                with anyio.fail_after(TAKEN_WITHIN_S):
                    await send(message)
            except TimeoutError:
                raise anyio.BrokenResourceError from None  # as if it had gone away

        try:
            await super().__call__(scope, receive, send_soon)
        finally:
            self._work.close()

    async def _pieces(self, first: bytes | None) -> AsyncIterator[bytes]:
        piece = first
        while piece is not None:
            yield piece
            piece = await run_in_threadpool(self._work.piece)
