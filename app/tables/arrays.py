"""NumPy's files: `.npy` with one array, `.npz` with `x` and `y`. Their sizes are added up before anything is unpacked."""

import ast
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy.lib import format as npy
from numpy.typing import NDArray

from app.contract.datasets import Kind
from app.errors import Fault, TooLarge, UnreadableTable
from app.settings import MIB
from app.tables.batches import streamed
from app.tables.faults import MAX_FAULTS, pointer, shown
from app.tables.names import place_name, usable_names
from app.tables.scratch import MakePath
from app.tables.source import Source, is_text
from app.tables.summary import Limits
from app.tables.typed import typed_source

CELLS_AT_ONCE = 1_000_000
PIECE_BYTES = MIB
MAX_HEADER_BYTES = 4 * MIB
MAX_DIRECTORY_BYTES = MIB
ARRAYS = ("x", "y")
NO_UNITS = {"M": ("generic",), "m": ("generic", "Y", "M")}  # a month is no number of seconds
ZIP_END, ZIP_END_BYTES, ZIP_COMMENT_BYTES = b"PK\x05\x06", 22, 2**16
LAST_CHARACTER, SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def npy_source(path: Path, kinds: Mapping[str, Kind], limits: Limits) -> Source:
    """Open an array: its columns are `column_0` and so on, or the fields of a structured array."""
    array = _mapped(path, "", limits)
    if array.dtype.names is None:
        limits.check_shape(len(array), array.shape[1])
        cut = [_Part(array, tuple(place_name(place) for place in range(array.shape[1])))]
        return typed_source(_frame(cut, len(array)), len(array), kinds)
    faults: list[Fault] = []
    limits.check_shape(len(array), len(array.dtype.names))
    if not all(map(is_text, array.dtype.names)):
        raise _unreadable("not_utf8", "a name holds half of a surrogate pair")
    names, notices = usable_names(array.dtype.names, faults)
    for field, name in zip(array.dtype.names, names, strict=True):
        _check_values(array.dtype[field], shown(name), "", faults)
    if faults:
        raise UnreadableTable("the array is not a table", faults[:MAX_FAULTS])
    parts = [_Part(array[field][:, None], (name,)) for field, name in zip(array.dtype.names, names, strict=True)]
    return typed_source(_frame(parts, len(array)), len(array), kinds, notices)


def npz_source(path: Path, kinds: Mapping[str, Kind], limits: Limits, make_path: MakePath) -> Source:
    """Open the arrays `x` and `y`; their columns are `x0`, `x1`, …, `y0`, …."""
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            found = _members(archive, path.stat().st_size, limits)
            paths = {name: _unpacked(archive, member, make_path()) for name, member in found.items()}
    except DAMAGED as error:
        raise _unreadable("damaged", f"the .npz cannot be unpacked: {str(error)[:200]}") from None
    arrays = {name: _mapped(unpacked, name, limits) for name, unpacked in paths.items()}
    parts = []
    for name, array in arrays.items():
        if array.dtype.names is not None:
            raise _unreadable("wrong_shape", "plain numbers, truth values or strings are expected", pointer(name))
        parts.append(_Part(array, tuple(f"{name}{place}" for place in range(array.shape[1]))))
    n_rows = len(arrays["x"])
    limits.check_shape(n_rows, sum(array.shape[1] for array in arrays.values()))
    if any(len(array) != n_rows for array in arrays.values()):
        message = f"{len(arrays['y']):,} rows, where x has {n_rows:,}"
        raise _unreadable("unequal_lengths", message, "/y")
    targets = frozenset(name for part in parts for name in part.names if name.startswith("y"))
    return typed_source(_frame(parts, n_rows), n_rows, kinds, targets=targets)


@dataclass(frozen=True)
class _Part:
    """An array of rows, and the names of its columns."""

    array: NDArray[Any]
    names: tuple[str, ...]


def _unreadable(code: str, message: str, at: str = "") -> UnreadableTable:
    return UnreadableTable(message, [Fault(at, message, code)])


def _check_directory(path: Path) -> None:
    """Check how long the list of files in the archive is, which is read as a whole."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size_bytes - ZIP_END_BYTES - ZIP_COMMENT_BYTES, 0))
        tail = file.read()
    place = tail.rfind(ZIP_END)
    if place < 0 or len(tail) - place < ZIP_END_BYTES:
        raise _unreadable("damaged", "the .npz was cut short: its end is lacking")
    n_files, length = struct.unpack_from("<HI", tail, place + 10)
    if n_files > len(ARRAYS) or MAX_DIRECTORY_BYTES < length < 2**32 - 1:
        raise _unreadable("unknown_array", f"the arrays x and y are expected, the archive has {n_files:,} files")


def _members(archive: zipfile.ZipFile, packed_bytes: int, limits: Limits) -> dict[str, zipfile.ZipInfo]:
    """Find `x` and `y`, and bound what they become."""
    infos = archive.infolist()
    limits.check_unpacked(sum(info.file_size for info in infos), packed_bytes)
    found = {info.filename.removesuffix(".npy"): info for info in infos}
    faults = [
        Fault(pointer(name), "unknown array; x and y are expected", "unknown_array", ARRAYS)
        for name in found
        if name not in ARRAYS
    ]
    if "x" not in found:
        faults.append(Fault("/x", "the array x is lacking", "lacking_array", ARRAYS))
    if faults or len(found) < len(infos):
        raise UnreadableTable(
            "the .npz does not hold the arrays x and y", faults or [Fault("", "twice", "wrong_shape")]
        )
    return {name: found[name] for name in ARRAYS if name in found}


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> Path:
    """Unpack a file, and no more of it than it is said to have."""
    with archive.open(member) as packed, target.open("wb") as file:
        while piece := packed.read(PIECE_BYTES):
            file.write(piece)
    return target


def _mapped(path: Path, name: str, limits: Limits) -> NDArray[Any]:
    """Map an array, as two-dimensional unless it is structured, once its header agrees with the size of the file."""
    at = pointer(name) if name else ""
    with path.open("rb") as file:
        shape, is_fortran, dtype = _header(file, at)
        start = file.tell()
    faults: list[Fault] = []
    if dtype.names is None:
        _check_values(dtype, "the array", at, faults)
    if len(shape) not in ((1,) if dtype.names else (1, 2)):
        message = f"{len(shape)} dimensions; rows and columns are expected"
        faults.append(Fault(at, message, "wrong_shape"))
    if faults:
        raise UnreadableTable(faults[0].message, faults)
    limits.check_shape(shape[0], shape[1] if len(shape) == 2 else 1)
    if not all(shape):
        raise _unreadable("no_rows", "the array is empty", at)
    n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if not dtype.itemsize or start + n_bytes != path.stat().st_size:
        raise _unreadable("damaged", "the array has another size than its header says", at)
    array: NDArray[Any] = np.memmap(path, dtype, "r", start, shape, "F" if is_fortran else "C")
    return array[:, None] if array.ndim == 1 and dtype.names is None else array


def _header(file: BinaryIO, at: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read what an array is. Of the header nothing is evaluated but literals."""
    try:
        version = npy.read_magic(file)
        size = struct.unpack("<H" if version == (1, 0) else "<I", file.read(2 if version == (1, 0) else 4))[0]
        if size > MAX_HEADER_BYTES:
            raise TooLarge(f"the header of the array has {size:,} bytes; at most {MAX_HEADER_BYTES:,} are accepted")
        said = ast.literal_eval(file.read(size).decode("latin-1" if version < (3, 0) else "utf-8"))
        dtype = npy.descr_to_dtype(said["descr"])
        shape, is_fortran = said["shape"], said["fortran_order"]
        if not all(type(length) is int and 0 <= length < 2**63 for length in shape) or type(is_fortran) is not bool:
            raise ValueError
    except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError, AttributeError, struct.error):
        raise _unreadable("damaged", "the header of the array cannot be read", at) from None
    if not isinstance(shape, tuple):
        raise _unreadable("damaged", "the header of the array cannot be read", at)
    return shape, is_fortran, dtype


def _check_values(dtype: np.dtype[Any], what: str, at: str, faults: list[Fault]) -> None:
    no_unit = dtype.kind in "Mm" and np.datetime_data(dtype)[0] in NO_UNITS[dtype.kind]
    if dtype.kind not in "biufUSMm" or dtype.subdtype is not None or no_unit:
        found = "Python objects, which are never unpickled" if dtype.hasobject else f"values of type {str(dtype)[:60]}"
        message = f"{what} holds {found}; numbers, truth values, strings or times are expected"
        faults.append(Fault(at, message, "wrong_type"))


def _frame(parts: Sequence[_Part], n_rows: int) -> pl.LazyFrame:
    step = max(CELLS_AT_ONCE // sum(len(part.names) for part in parts), 1)

    def batches() -> Iterator[pl.DataFrame]:
        for start in range(0, n_rows, step):
            yield pl.DataFrame(
                [
                    _series(name, part.array[start : start + step, place])
                    for part in parts
                    for place, name in enumerate(part.names)
                ]
            )

    schema = pl.DataFrame(
        [_series(name, part.array[:1, place]) for part in parts for place, name in enumerate(part.names)]
    ).schema
    return streamed(batches, schema)


def _series(name: str, values: NDArray[Any]) -> pl.Series:
    """Make a column of a column of an array."""
    kind = values.dtype.kind
    if kind in "US":
        return pl.Series(name, _words(name, values), pl.String)
    if kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):  # of extended precision; infinity is refused later
            return pl.Series(name, values.astype(np.float64))
    if kind == "M":
        years = values[~np.isnat(values)].astype("datetime64[Y]").astype(np.int64) + 1970
        if not ((years > 0) & (years < 10_000)).all():
            message = f"column {shown(name)} holds times beyond the years 1 to 9999"
            raise _unreadable("time_out_of_range", message)
        return pl.Series(name, values.astype("datetime64[us]"))
    if kind == "m":
        one = np.array(1, np.int64).view(values.dtype.newbyteorder("=")) / np.timedelta64(1, "s")
        seconds = values.astype(np.int64).astype(np.float64) * one
        return pl.Series(name, np.where(np.isnat(values), np.nan, seconds))
    return pl.Series(name, values.astype(values.dtype.newbyteorder("=")))


def _words(name: str, values: NDArray[Any]) -> list[str]:
    """Give strings, if they are text.

    NumPy and Python make strings of numbers that are no characters, and polars takes them over as they are: bytes that are not
    UTF-8 would then be stored, and whatever reads them as text would fail.
    """
    try:
        if values.dtype.kind == "S":
            return [value.decode() for value in values.tolist()]
        if values.dtype.itemsize and not _are_characters(values):
            raise ValueError
        words: list[str] = values.tolist()
        return words
    except ValueError:
        raise _unreadable("not_utf8", f"column {shown(name)} holds strings that are not text") from None


def _are_characters(values: NDArray[Any]) -> bool:
    """Tell whether all the numbers that strings are made of are characters of Unicode: to 0x10FFFF, without surrogates."""
    letters = np.ascontiguousarray(values).view(np.dtype(np.uint32).newbyteorder(values.dtype.byteorder))
    return not ((letters > LAST_CHARACTER) | ((letters >= SURROGATES[0]) & (letters <= SURROGATES[1]))).any()
