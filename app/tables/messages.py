"""The messages of an Arrow file or stream: how many rows they say they hold, and how large their buffers become.

Arrow's metadata are flatbuffers; of them only what says a size is looked at, and nothing is decoded.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.errors import Fault, TooLarge, UnreadableTable
from app.settings import MIB

FILE_MAGIC = b"ARROW1"
CONTINUED = b"\xff\xff\xff\xff"
DICTIONARY, RECORDS = 2, 3  # what a message may hold
MAX_METADATA_BYTES = 64 * MIB
MAX_MESSAGES = 1_000_000
BODY, LENGTH, BUFFERS, COMPRESSION, DICTIONARIES, BATCHES = 3, 0, 2, 3, 2, 3  # places of fields in their tables
PAIR, BLOCK = struct.Struct("<qq"), struct.Struct("<qi4xq")


@dataclass(frozen=True)
class Declared:
    """What the messages say of the table: its rows, and the bytes of its buffers once they are unpacked."""

    n_rows: int
    unpacked_bytes: int


def declared(path: Path) -> Declared:
    """Add up what the messages say.

    Raises:
        UnreadableTable: They are damaged, or cut short.
        TooLarge: The metadata of one is too large to be read.
    """
    n_rows = unpacked_bytes = 0
    try:
        with path.open("rb") as file:
            for found in _messages(file, path.stat().st_size):
                n_rows += found.n_rows
                unpacked_bytes += found.unpacked_bytes
    except (struct.error, IndexError):
        raise _damaged("the messages of the Arrow file are damaged") from None
    return Declared(n_rows, unpacked_bytes)


def _damaged(message: str) -> UnreadableTable:
    return UnreadableTable(message, [Fault("", message, "damaged")])


def _messages(file: BinaryIO, size_bytes: int) -> Iterator[Declared]:
    if file.read(len(FILE_MAGIC)) == FILE_MAGIC:
        for place in _places(file, size_bytes):
            file.seek(place)
            yield from _message(file, size_bytes)
        return
    file.seek(0)
    for _ in range(MAX_MESSAGES):
        found = [*_message(file, size_bytes)]
        if not found:
            return
        yield from found
    raise TooLarge(f"the Arrow file has more than {MAX_MESSAGES:,} messages")


def _places(file: BinaryIO, size_bytes: int) -> Iterator[int]:
    """Give where the messages of a file are, which is written at its end."""
    end_bytes = 4 + len(FILE_MAGIC)
    file.seek(max(size_bytes - end_bytes, 0))
    end = file.read()
    length = _unsigned(end, 0)
    if not end.endswith(FILE_MAGIC) or length > size_bytes:
        raise _damaged("the Arrow file was cut short: its end is lacking")
    _check_length(length)
    file.seek(max(size_bytes - end_bytes - length, 0))
    data = file.read(length)
    footer = _Table(data, _unsigned(data, 0))
    for place in (DICTIONARIES, BATCHES):
        for offset, metadata_bytes, body_bytes in footer.structs(place, BLOCK):
            if min(offset, metadata_bytes, body_bytes) < 0 or offset + metadata_bytes + body_bytes > size_bytes:
                raise IndexError
            yield offset


def _check_length(length: int) -> None:
    if length > MAX_METADATA_BYTES:
        raise TooLarge(f"the Arrow file has {length:,} bytes of metadata; at most {MAX_METADATA_BYTES:,} are accepted")


def _message(file: BinaryIO, size_bytes: int) -> Iterator[Declared]:
    """Read the message that begins here, if one does, and go to its end."""
    mark = file.read(4)
    length_bytes = file.read(4) if mark == CONTINUED else mark
    if len(length_bytes) < 4:
        return  # a stream may end without its mark
    length = _unsigned(length_bytes, 0)
    if length == 0:
        return
    _check_length(length)
    metadata = file.read(length)
    body = file.tell()
    message = _Table(metadata, _unsigned(metadata, 0))
    body_bytes = message.number(BODY)
    if len(metadata) < length or body_bytes < 0 or body + body_bytes > size_bytes:
        raise _damaged("the Arrow file was cut short: a message ends beyond it")
    yield _declared(message, file, body, body_bytes)
    file.seek(body + body_bytes)


def _declared(message: "_Table", file: BinaryIO, body: int, body_bytes: int) -> Declared:
    kind = message.byte(1)
    if kind not in (DICTIONARY, RECORDS):
        return Declared(0, 0)
    batch = message.table(2)
    if kind == DICTIONARY and batch is not None:
        batch = batch.table(1)
    if batch is None:
        raise _damaged("a message of the Arrow file is empty")
    n_rows = batch.number(LENGTH) if kind == RECORDS else 0
    if n_rows < 0:
        raise _damaged("a message of the Arrow file has less than no rows")
    buffers = [*batch.structs(BUFFERS, PAIR)]
    if any(offset < 0 or length < 0 or offset + length > body_bytes for offset, length in buffers):
        raise _damaged("a column of the Arrow file ends beyond its message")
    if batch.table(COMPRESSION) is None:
        return Declared(n_rows, body_bytes)
    return Declared(n_rows, sum(_unpacked_bytes(file, body, offset, length) for offset, length in buffers))


def _unpacked_bytes(file: BinaryIO, body: int, offset: int, length: int) -> int:
    """Give how large a packed buffer becomes, which its first eight bytes say; -1 says that it is not packed."""
    if length < 8:
        return 0
    file.seek(body + offset)
    (unpacked,) = struct.unpack("<q", file.read(8))
    return max(int(unpacked), length if unpacked == -1 else 0)


def _unsigned(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


@dataclass(frozen=True)
class _Table:
    """A table of a flatbuffer: its fields are found by a list of their places."""

    data: bytes
    at: int

    def _field(self, place: int) -> int | None:
        (back,) = struct.unpack_from("<i", self.data, self.at)
        places = self.at - back
        if places < 0:
            raise IndexError
        (size,) = struct.unpack_from("<H", self.data, places)
        if 4 + 2 * place >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, places + 4 + 2 * place)
        return self.at + int(offset) if offset else None

    def number(self, place: int) -> int:
        """Give a 64-bit field; 0 if it is not there."""
        at = self._field(place)
        return 0 if at is None else int(struct.unpack_from("<q", self.data, at)[0])

    def byte(self, place: int) -> int:
        """Give an 8-bit field; 0 if it is not there."""
        at = self._field(place)
        return 0 if at is None else self.data[at]

    def table(self, place: int) -> "_Table | None":
        """Give a table that a field refers to."""
        at = self._field(place)
        return None if at is None else _Table(self.data, at + _unsigned(self.data, at))

    def structs(self, place: int, layout: struct.Struct) -> Iterator[tuple[int, ...]]:
        """Give the members of a list of structs."""
        at = self._field(place)
        if at is None:
            return
        start = at + _unsigned(self.data, at)
        count = _unsigned(self.data, start)
        if start + 4 + layout.size * count > len(self.data):
            raise IndexError
        yield from layout.iter_unpack(self.data[start + 4 : start + 4 + layout.size * count])
