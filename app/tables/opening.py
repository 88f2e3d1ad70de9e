"""From the bytes of an upload to its columns: unpacked, its format settled, its text in UTF-8."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from app.contract.datasets import Format, Kind, Notice
from app.errors import Fault, UnreadableTable
from app.tables.arrays import npy_source, npz_source
from app.tables.detection import TEXTS, compression, settle
from app.tables.encodings import Text, as_utf8
from app.tables.lines import lines_source
from app.tables.scratch import MakePath
from app.tables.source import Source, csv_source, json_source
from app.tables.summary import Limits, ReadOptions
from app.tables.typed import arrow_source, parquet_source
from app.tables.unpacking import unpack


def open_upload(
    path: Path,
    said: Format | None,
    kinds: Mapping[str, Kind],
    limits: Limits,
    options: ReadOptions,
    make_path: MakePath,
) -> tuple[Format, Source]:
    """Give the format of an upload, and its columns.

    Args:
        said: The format; None: it is found by the bytes.
        make_path: Names files that are needed until the columns have been read.
    """
    packed = compression(path)
    if packed is not None:
        path, packed_path = make_path(), path
        unpack(packed_path, packed, path, limits)
        if compression(path) is not None:
            message = "the file is packed more than once; send it packed once at most"
            raise UnreadableTable(message, [Fault("", message, "packed_twice")])
    format = settle(path, said)
    if format in TEXTS:
        text = as_utf8(path, options.encoding, make_path, guess=format is Format.CSV)
        source = _of_text(text, format, kinds, limits, options, make_path)
    else:
        source = _of_bytes(path, format, kinds, limits, make_path)
    return format, replace(source, read=source.read.model_copy(update={"compression": packed}))


def _of_text(
    text: Text,
    format: Format,
    kinds: Mapping[str, Kind],
    limits: Limits,
    options: ReadOptions,
    make_path: MakePath,
) -> Source:
    if format is Format.CSV:
        source = csv_source(text, limits, options)
    elif format is Format.JSON:
        source = json_source(text, kinds, limits)
    else:
        source = lines_source(text, kinds, limits, make_path)
    if not text.is_guessed:
        return source
    message = (
        f"The text is not UTF-8 and was read as {text.encoding}, by its letters; say `encoding=` if that is wrong."
    )
    return replace(source, notices=(Notice(code="guessed_encoding", message=message), *source.notices))


def _of_bytes(path: Path, format: Format, kinds: Mapping[str, Kind], limits: Limits, make_path: MakePath) -> Source:
    if format is Format.PARQUET:
        return parquet_source(path, kinds, limits)
    if format is Format.ARROW:
        return arrow_source(path, kinds, limits)
    return npz_source(path, kinds, limits, make_path) if format is Format.NPZ else npy_source(path, kinds, limits)
