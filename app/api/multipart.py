"""`multipart/form-data`: one part `file`, written to storage as it comes, and small fields."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.contract.uploads import DatasetFields
from app.errors import BadMultipart, TooLarge
from app.store.blobs import NewBlob

MEDIA_TYPE = "multipart/form-data"
FILE = "file"
MAX_FIELD_BYTES = 400_000
MAX_PARTS = 20
# What may come beside the file: fields, headers of parts, boundaries.
MAX_OVERHEAD_BYTES = 2**20
PLAIN_ENCODINGS = {"", "7bit", "8bit", "binary"}
_EVENTS = ("part_begin", "part_data", "header_field", "header_value", "header_end", "headers_finished", "end")


class Form:
    """Reads a form piece by piece: the bytes of its file go to a blob, its fields are kept.

    Args:
        content_type: The request's header, which names the boundary.
        blob: Where the file goes.
        max_bytes: Of the whole body; more is refused.

    Raises:
        BadMultipart: The header names no boundary that can be used.
    """

    def __init__(self, content_type: str, blob: NewBlob, max_bytes: int) -> None:
        self.file_name: str | None = None
        self.file_type: str | None = None
        self._blob = blob
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._n_parts = 0
        self._parts: dict[str, bytearray] = {}
        self._faults: dict[str, dict[str, Any]] = {}
        self._headers: dict[str, str] = {}
        self._key, self._value = bytearray(), bytearray()
        self._name: str | None = None
        self._ended = False
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise BadMultipart("The Content-Type names no boundary.")
        try:
            callbacks: Any = {f"on_{event}": getattr(self, f"_{event}") for event in _EVENTS}
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise BadMultipart(str(error)) from None

    async def read(self, pieces: AsyncIterator[bytes]) -> None:
        """Read the whole body.

        Raises:
            BadMultipart: It is no form, or ends too early.
            TooLarge: It, or its file, is larger than accepted.
        """
        async for piece in pieces:
            self._n_bytes += len(piece)
            if self._n_bytes > self._max_bytes:
                raise TooLarge(f"The body is larger than the {self._max_bytes:,} bytes accepted here.")
            try:
                self._parser.write(piece)
            except FormParserError as error:
                raise BadMultipart(f"The body is not a form: {error}") from None
        if not self._ended:
            raise BadMultipart("The body ends before its last boundary.")

    def fields(self) -> DatasetFields:
        """Give what the fields say.

        Raises:
            RequestValidationError: The form has faults; all of them are listed.
        """
        if FILE not in self._parts:
            self._fault(FILE, "missing", "Send the dataset as a part of this name")
        sent = {}
        for name, value in self._parts.items():
            try:
                if name != FILE and name not in self._faults:
                    sent[name] = json.loads(value) if name == "kinds" else value.decode()
            except (ValueError, RecursionError):
                self._fault(name, "invalid_field", "Not a JSON object" if name == "kinds" else "Not UTF-8")
        faults, fields = list(self._faults.values()), DatasetFields()
        try:
            fields = DatasetFields.model_validate(sent)
        except ValidationError as error:
            faults += [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        if faults:
            raise RequestValidationError(faults, body=sent)
        return fields

    def _fault(self, name: str, kind: str, message: str) -> None:
        self._faults.setdefault(name, {"loc": ("body", name), "type": kind, "msg": message})

    # What the parser calls.

    def _part_begin(self) -> None:
        self._n_parts += 1
        if self._n_parts > MAX_PARTS:
            raise BadMultipart(f"The form has more than {MAX_PARTS} parts.")
        self._headers.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._key += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._key.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._key.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        options = parse_options_header(self._headers.get("content-disposition"))[1]
        if b"name" not in options:
            raise BadMultipart("A part has no name.")
        if self._headers.get("content-transfer-encoding", "").strip().lower() not in PLAIN_ENCODINGS:
            raise BadMultipart("The parts of a form are sent as they are, without a Content-Transfer-Encoding.")
        self._name = name = options[b"name"].decode(errors="replace")
        if name in self._parts:
            self._fault(name, "repeated", "There is more than one part of this name")
            self._name = None
            return
        self._parts[name] = bytearray()
        if name == FILE:
            self.file_type = self._headers.get("content-type")
            self.file_name = options.get(b"filename", b"").decode(errors="replace") or None

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE:
            self._blob.write(data[start:end])
        elif self._name is not None:
            value = self._parts[self._name]
            value += data[start : min(end, start + MAX_FIELD_BYTES + 1 - len(value))]
            if len(value) > MAX_FIELD_BYTES:
                self._fault(self._name, "too_long", f"At most {MAX_FIELD_BYTES:,} bytes")

    def _end(self) -> None:
        self._ended = True
