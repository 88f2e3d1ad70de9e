"""What a request says of the format of a dataset, and what an answer says of it."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query, Request

from app.contract.datasets import Compression, Dataset, Format, Header
from app.tables.detection import TEXTS, by_media_type, by_name, charset
from app.tables.summary import ReadOptions

_SENT_AS = {
    Format.CSV: "text/csv",
    Format.JSON: "application/json",
    Format.JSONL: "application/jsonl",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.file",
    Format.NPZ: "application/zip",
    Format.NPY: "application/octet-stream",
}
_PACKED_AS = {Compression.GZIP: ("application/gzip", "gz"), Compression.ZSTD: ("application/zstd", "zst")}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_JSON = {
    "schema": {
        "type": "object",
        "description": '`{"columns": {"a": [1, 2]}}`, or `{"inputs": [[1, 2]], "targets": [[0]]}`.',
    }
}
# The bodies that an upload may have, for the OpenAPI document.
BODIES: dict[str, Any] = {
    "text/csv": _BINARY,
    "text/tab-separated-values": _BINARY,
    "application/json": _JSON,
    "application/jsonl": _BINARY,
    "application/x-ndjson": _BINARY,
    "application/vnd.apache.parquet": _BINARY,
    "application/vnd.apache.arrow.file": _BINARY,
    "application/vnd.apache.arrow.stream": _BINARY,
    "application/octet-stream": _BINARY,
}


@dataclass(frozen=True)
class Said:
    """A dataset's name, its format if the request says it, and how its text is to be read."""

    name: str
    format: Format | None
    options: ReadOptions


def said(
    request: Request,
    name: Annotated[
        str | None,
        Query(
            min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="`penguins`, or a file's name."
        ),
    ] = None,
    format: Annotated[
        Format | None,
        Query(description="null: told by the Content-Type, by the ending of `name` (`.csv.gz`), or by the bytes."),
    ] = None,
    separator: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=1,
            pattern=r"^[\x01-\x09\x0b\x0c\x0e-!#-\x7e]$",
            description="Of CSV: an ASCII character (a tab is `%09`); null: it is guessed.",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=40,
            pattern=r"^[A-Za-z0-9_.:-]+$",
            description="Of text: `utf-8`, `windows-1252`, `shift_jis`, …; null: told by a byte order mark, or guessed.",
        ),
    ] = None,
    header: Annotated[
        Header,
        Query(
            description="Of CSV: whether the first line names the columns (else they are `column_0`, …). `auto`: it does, unless "
            "it holds numbers where the lines below hold numbers, or values that all come again below."
        ),
    ] = Header.AUTO,
) -> Said:
    """Give what the query says of an upload; where it says nothing, Content-Type and the ending of `name` may."""
    sent_as = request.headers.get("content-type", "")
    bare_name, by_ending = by_name(name or "dataset")
    found = format or by_media_type(sent_as) or by_ending
    encoding = encoding or (charset(sent_as) if by_media_type(sent_as) in TEXTS else None)
    return Said(bare_name, found, ReadOptions(separator=separator, encoding=encoding, header=header))


def media_type(dataset: Dataset) -> str:
    """Give the Content-Type of a dataset's bytes."""
    if dataset.read.compression is not None:
        return _PACKED_AS[dataset.read.compression][0]
    told = _SENT_AS[dataset.format]
    return f"{told}; charset={dataset.read.encoding}" if dataset.read.encoding and told == "text/csv" else told


def file_name(dataset: Dataset) -> str:
    """Name the file of a dataset's bytes: `iris.csv.gz`."""
    name = f"{dataset.name}.{dataset.format}"
    return name if dataset.read.compression is None else f"{name}.{_PACKED_AS[dataset.read.compression][1]}"
