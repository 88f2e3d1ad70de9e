"""What can be sent as a dataset: a file, bytes, or columns."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias
from zipfile import ZipFile

import numpy as np

Table: TypeAlias = str | PathLike[str] | bytes | BinaryIO | Mapping[str, Iterable[Any]]
Weights: TypeAlias = str | PathLike[str] | bytes | BinaryIO | Mapping[str, Any]
CHUNK_BYTES = 2**18


@dataclass(frozen=True)
class Source:
    """Bytes that can be read again from the start, for another attempt.

    Args:
        name: What the dataset is to be called; None: the service decides.
        format: `csv`, `json`, …; None: the service tells it by the ending of the name, or by the bytes.
        size_bytes: Of all of it.
        path: The file, if it is one.
        content: The bytes, if it is none.
    """

    name: str | None
    format: str | None
    size_bytes: int
    path: Path | None = None
    content: bytes = b""

    def open(self) -> BinaryIO:
        """Open it at its start."""
        return BytesIO(self.content) if self.path is None else self.path.open("rb")

    def chunks(self) -> Iterator[bytes]:
        """Give it piece by piece, so that memory does not grow with its size."""
        with self.open() as file:
            while piece := file.read(CHUNK_BYTES):
                yield piece

    def sha256(self) -> str:
        """Hash all of it."""
        digest = sha256()
        for piece in self.chunks():
            digest.update(piece)
        return digest.hexdigest()


def source(table: Table, *, name: str | None = None, format: str | None = None) -> Source:
    """Make a source of what the caller has.

    Args:
        table: A path; bytes; an open binary file; or columns by name (lists, arrays, a pandas data frame). None and NaN are
            missing values.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if isinstance(table, str | PathLike):
        path = Path(table)
        return Source(name or path.name, format, path.stat().st_size, path)
    if isinstance(table, bytes):
        return Source(name, format, len(table), content=table)
    if hasattr(table, "read"):
        content = table.read()
        own_name = Path(str(getattr(table, "name", ""))).name or None
        return Source(name or own_name, format, len(content), content=content)
    columns = {str(key): [plain(value) for value in table[key]] for key in table.keys()}  # noqa: SIM118
    content = json.dumps({"columns": columns}, allow_nan=False).encode()
    return Source(name, "json", len(content), content=content)


def weights_source(file: Weights) -> Source:
    """Make a source of weights: a path; bytes; an open binary file; or arrays by name, which are sent as `.npz`."""
    if not isinstance(file, Mapping):
        return source(file)
    packed = BytesIO()
    with ZipFile(packed, "w") as archive:
        for name, array in file.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return Source("weights.npz", None, packed.tell(), content=packed.getvalue())


def plain(value: Any) -> Any:
    """Make a number of NumPy's a plain one, a time its text, and NaN None; JSON knows nothing else."""
    value = value.item() if hasattr(value, "item") else value
    value = value.isoformat() if hasattr(value, "isoformat") else value
    # NaN, and pandas' NaT, are not equal to themselves.
    return None if value is None or bool(value != value) else value
