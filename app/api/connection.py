"""One connection to a client, below all that the app sees: heads have an end, and what is no HTTP has a problem, too."""

from http import HTTPStatus
from typing import Any

from fastapi import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.problems import problem

MAX_HEAD_BYTES = 2**17
TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class Connection(HttpToolsProtocol):
    """uvicorn's, which reads first line and headers however long they are, and refuses in plain text.

    It counts the bytes that belong to no body. A head may be larger than `MAX_HEAD_BYTES` by what comes at once.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._outside_of_bodies = 0

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head has no end."""
        self._outside_of_bodies += len(data)
        super().data_received(data)
        if self._outside_of_bodies > MAX_HEAD_BYTES and not self.transport.is_closing():
            detail = f"First line and headers may have {MAX_HEAD_BYTES:,} bytes."
            self._refuse(problem(TOO_LARGE, "head_too_large", TOO_LARGE.phrase, detail))

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._outside_of_bodies = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Be ready for the next request."""
        self._outside_of_bodies = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(problem(400, "invalid_http", "Invalid HTTP", msg))

    def _refuse(self, answer: Response) -> None:
        """Answer, and hang up; in the middle of another answer hang up alone."""
        if self.cycle is None or self.cycle.response_complete:
            status = HTTPStatus(answer.status_code)
            headers = b"".join(b"%b: %b\r\n" % pair for pair in [*answer.raw_headers, (b"connection", b"close")])
            self.transport.write(f"HTTP/1.1 {status} {status.phrase}\r\n".encode() + headers + b"\r\n" + answer.body)
        self.transport.close()
