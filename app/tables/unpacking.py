"""Packed uploads (gzip, zstd), unpacked into a file of bounded size."""

import gzip
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import zstandard

from app.contract.datasets import Compression
from app.errors import Fault, UnreadableTable
from app.settings import MIB
from app.tables.summary import Limits

GZIP_PIECE_BYTES = MIB  # of what comes out
ZSTD_PIECE_BYTES = 1024  # of what goes in; each 4 bytes of it may become 128 KiB
MAX_WINDOW_BYTES = 128 * MIB


def unpack(packed: Path, compression: Compression, target: Path, limits: Limits) -> None:
    """Unpack a file. Memory stays bounded, and what would become too large is given up on at the limit.

    Raises:
        UnreadableTable: It is damaged, or cut short.
        TooLarge: It becomes too large, or too many times its size.
    """
    packed_bytes = packed.stat().st_size
    size_bytes = 0
    with packed.open("rb") as file, target.open("wb") as unpacked:
        try:
            for piece in _gunzipped(file) if compression is Compression.GZIP else _unzstded(file):
                size_bytes += len(piece)
                limits.check_unpacked(size_bytes, packed_bytes)
                unpacked.write(piece)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            message = f"the {compression} cannot be unpacked: {str(error)[:200] or 'it is damaged'}"
            raise UnreadableTable(message, [Fault("", message, "damaged")]) from None


def _gunzipped(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file, mode="rb") as pieces:
        yield from iter(partial(pieces.read, GZIP_PIECE_BYTES), b"")


def _unzstded(file: BinaryIO) -> Iterator[bytes]:
    """Unpack frame after frame. The library's own reader takes a file that was cut short for a whole one."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    while piece := file.read(ZSTD_PIECE_BYTES):
        while piece:
            if frame.eof:
                frame = decompressor.decompressobj()
            yield frame.decompress(piece)
            piece = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError("it was cut short")
