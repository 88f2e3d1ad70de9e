"""Which format bytes are in: by what is said of them, or by how they begin. Imports no polars: the API uses it."""

import json
from pathlib import Path, PurePath

from app.contract.datasets import Compression, Format
from app.errors import Fault, UnreadableTable, UnsupportedFormat

HEAD_BYTES = 64 * 2**10
MEDIA_TYPES = {
    "text/csv": Format.CSV,
    "application/csv": Format.CSV,
    "text/tab-separated-values": Format.CSV,
    "application/json": Format.JSON,
    "application/jsonl": Format.JSONL,
    "application/x-jsonlines": Format.JSONL,
    "application/x-ndjson": Format.JSONL,
    "application/ndjson": Format.JSONL,
    "application/vnd.apache.parquet": Format.PARQUET,
    "application/x-parquet": Format.PARQUET,
    "application/vnd.apache.arrow.file": Format.ARROW,
    "application/vnd.apache.arrow.stream": Format.ARROW,
}
ENDINGS = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".tab": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".arrow": Format.ARROW,
    ".arrows": Format.ARROW,
    ".feather": Format.ARROW,
    ".ipc": Format.ARROW,
    ".npz": Format.NPZ,
    ".npy": Format.NPY,
}
PACKED_ENDINGS = frozenset({".gz", ".gzip", ".zst", ".zstd"})
COMPRESSIONS = {b"\x1f\x8b": Compression.GZIP, b"(\xb5/\xfd": Compression.ZSTD}
MAGIC = {
    b"PAR1": Format.PARQUET,
    b"ARROW1": Format.ARROW,
    b"\xff\xff\xff\xff": Format.ARROW,  # a stream of messages
    b"\x93NUMPY": Format.NPY,
    b"PK\x03\x04": Format.NPZ,
    b"PK\x05\x06": Format.NPZ,  # an archive without files
}
UNREAD = {
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word document",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3\0": "a SQLite database",
    b"\x80\x04\x95": "a Python pickle",
    b"FEA1": "a Feather file of version 1; version 2 is read",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"<!": "an HTML or XML document",
    b"<html": "an HTML document",
    b"<?xml": "an XML document",
}
NAMES = {
    Format.CSV: "CSV text",
    Format.JSON: "JSON text",
    Format.JSONL: "JSON lines",
    Format.PARQUET: "a Parquet file",
    Format.ARROW: "an Arrow file",
    Format.NPZ: "a ZIP archive (or an .npz or .xlsx file)",
    Format.NPY: "a NumPy array",
}
TEXTS = frozenset({Format.CSV, Format.JSON, Format.JSONL})
MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def by_name(name: str) -> tuple[str, Format | None]:
    """Cut the ending that tells a format off a file's name: `iris.csv.gz` is `iris`, as CSV."""
    path = PurePath(name)
    if path.suffix.lower() in PACKED_ENDINGS and path.stem:
        path = PurePath(path.stem)
    format = ENDINGS.get(path.suffix.lower())
    return (path.stem, format) if format is not None and path.stem else (name, None)


def by_media_type(media_type: str) -> Format | None:
    """Give the format that a Content-Type names, if it names one: `text/csv; charset=utf-8`."""
    return MEDIA_TYPES.get(media_type.partition(";")[0].strip().lower())


def charset(media_type: str) -> str | None:
    """Give the encoding that a Content-Type names, if it names one."""
    for parameter in media_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip(' "'):
            return value.strip(' "')
    return None


def compression(path: Path) -> Compression | None:
    """Tell by its first bytes how a file is packed."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), None)


def settle(path: Path, said: Format | None) -> Format:
    """Give the format of a file: what was said, if the bytes do not contradict it, or else what they look like.

    Raises:
        UnreadableTable: They are in another format than was said.
        UnsupportedFormat: Nothing was said, and they are in no format that is read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    binary = next((format for magic, format in MAGIC.items() if head.startswith(magic)), None)
    if said is None:
        return binary or _text_format(head)
    if said != binary and (binary is not None or said not in TEXTS):
        found = NAMES[binary] if binary else _foreign(head) or "something else"
        message = f"the file is {found}, and not {said}"
        fault = Fault("?format", message, "not_a_csv" if said is Format.CSV else "format_mismatch")
        raise UnreadableTable(message, [fault])
    return said


def refuse_foreign(head: bytes) -> None:
    """Refuse the beginning of a file that is well known to be no text of a table.

    Raises:
        UnreadableTable: It is a picture, a document, or the like.
    """
    foreign = _foreign(head)
    if foreign is not None:
        message = f"the file is {foreign}; a table as text is expected"
        raise UnreadableTable(message, [Fault("", message, "not_a_csv")])


def _foreign(head: bytes) -> str | None:
    start = head.removeprefix(MARKS[0]).lstrip().lower()
    for magic, name in UNREAD.items():
        if head.startswith(magic) or (magic.startswith(b"<") and start.startswith(magic)):
            return name
    return None


def _text_format(head: bytes) -> Format:
    """Tell JSON, JSON lines and CSV apart; what is no text is refused."""
    foreign = _foreign(head)
    if foreign is None and b"\0" in head and not head.startswith(MARKS):
        foreign = "not text, and begins like no format that is read"
    if foreign is not None:
        fault = Fault("?format", "Say which format it is.", "not_allowed", tuple(Format))
        raise UnsupportedFormat(f"The file is {foreign}.", [fault])
    start = head.removeprefix(MARKS[0]).lstrip()
    if not (start.startswith(b"{") or (start.startswith(b"[") and start[1:].lstrip().startswith(b"{"))):
        return Format.CSV
    first, end, _ = start.partition(b"\n")
    if end and start.startswith(b"{"):
        try:
            document = json.loads(first)
        except (ValueError, RecursionError):
            return Format.JSON
        return Format.JSON if set(document) <= {"columns", "inputs", "targets"} else Format.JSONL
    return Format.JSON
