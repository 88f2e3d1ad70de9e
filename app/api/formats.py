"""What a request says of the format of a dataset, and what an answer says of it."""

from typing import Any

from app.api.media import BINARY
from app.contract.datasets import Compression, Dataset, Format
from app.contract.uploads import DatasetFields
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
_JSON = {
    "schema": {
        "type": "object",
        "description": '`{"columns": {"a": [1, 2]}}`, or `{"inputs": [[1, 2]], "targets": [[0]]}`.',
    }
}
_FIELD = "May be a query parameter instead."
_TEXT = {"type": "string", "description": _FIELD}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {
                "type": "string",
                "format": "binary",
                "description": "The dataset. Its file name and Content-Type tell name and format where nothing else does.",
            },
            "name": {**_TEXT, "minLength": 1, "maxLength": 200},
            "format": {"$ref": "#/components/schemas/Format", "description": _FIELD},
            "kinds": {"type": "string", "description": 'JSON: `{"zip": "categorical"}`. ' + _FIELD},
            "separator": {**_TEXT, "minLength": 1, "maxLength": 1},
            "encoding": {**_TEXT, "minLength": 1, "maxLength": 40},
            "header": {"$ref": "#/components/schemas/Header", "description": _FIELD},
        },
    }
}
# The bodies that an upload may have, for the OpenAPI document.
BODIES: dict[str, Any] = {
    "text/csv": BINARY,
    "text/tab-separated-values": BINARY,
    "application/json": _JSON,
    "application/jsonl": BINARY,
    "application/x-ndjson": BINARY,
    "application/vnd.apache.parquet": BINARY,
    "application/vnd.apache.arrow.file": BINARY,
    "application/vnd.apache.arrow.stream": BINARY,
    "application/octet-stream": BINARY,
    "multipart/form-data": _FORM,
}
# What a dataset's bytes are sent back as.
CONTENTS: dict[str, Any] = {
    **dict.fromkeys([*_SENT_AS.values(), *(sent_as for sent_as, _ in _PACKED_AS.values())], BINARY),
    _SENT_AS[Format.JSON]: {},  # whatever it was that could be read
}


def settle(
    fields: DatasetFields, *, sent_as: str | None, file_name: str | None = None
) -> tuple[str, Format | None, ReadOptions]:
    """Give a dataset's name, its format unless only the bytes tell, and how its text is to be read."""
    name, by_ending = by_name(fields.name or file_name or "dataset")
    if by_ending is None and file_name is not None:
        _, by_ending = by_name(file_name)
    told = by_media_type(sent_as or "")
    encoding = fields.encoding or (charset(sent_as or "") if told in TEXTS else None)
    return name, fields.format or told or by_ending, ReadOptions(fields.separator, encoding, fields.header)


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
