"""Weights that others wrote: safetensors and `.npz`, read without trust.

Every size is checked against what is there before anything is taken into memory for it, and nothing in a file is ever
executed: a header of NumPy is matched, not evaluated, and there is no pickle.
"""

import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.contract.foreign import GivenLayer

Array = NDArray[Any]

# Six arrays a layer are the most there are, and PyTorch adds a counter to each normalised one.
MAX_ARRAYS = 7 * 1_001
MAX_HEADER_BYTES = 2 * 2**20
COUNTER = "num_batches_tracked"


class UnreadableWeights(Exception):
    """The bytes are not weights in a format that is read here; the text says why."""


@dataclass(frozen=True)
class _Place:
    """Where the numbers of an array are, and what they are."""

    start: int
    size_bytes: int
    dtype: str
    shape: tuple[int, ...]
    columns_first: bool = False


def read_weights(file: BinaryIO, *, max_bytes: int) -> tuple[str, dict[str, Array]]:
    """Read a file of either format, which its first bytes tell.

    Args:
        max_bytes: Of all arrays together; more is refused before it is unpacked.

    Returns:
        The format, `npz` or `safetensors`, and the arrays by the names that they have in the file.

    Raises:
        UnreadableWeights: It is neither, or broken, or too large.
    """
    file.seek(0)
    first = file.read(9)
    if first.startswith(b"PK"):
        return "npz", _read_npz(file, max_bytes)
    if len(first) == 9 and first.endswith(b"{"):
        return "safetensors", _read_safetensors(file, max_bytes)
    raise UnreadableWeights("The file is neither safetensors nor `.npz`.")


# --- safetensors: the length of the header, a header of JSON, and the numbers ---------------------------------------

_SAFETENSORS = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8", "I64": "<i8"}


def _read_safetensors(file: BinaryIO, max_bytes: int) -> dict[str, Array]:
    size_bytes = file.seek(0, 2)
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(MAX_HEADER_BYTES, size_bytes - 8):
        raise UnreadableWeights(f"The header is said to be {length:,} bytes long: more than there are, or are read.")
    try:
        header = json.loads(
            file.read(length).decode(), object_pairs_hook=_no_name_twice, parse_constant=_no_such_number
        )
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UnreadableWeights("The header is not a JSON object of different names.")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise UnreadableWeights("`__metadata__` is not an object of texts.")
    places = {name: _place(name, entry) for name, entry in header.items()}
    _check_places(places, size_bytes - 8 - length)
    _check_sizes(places, max_bytes)
    arrays = {}
    for name, place in places.items():
        file.seek(8 + length + place.start)
        numbers = _numbers(file.read(place.size_bytes), place)
        arrays[name] = _from_bfloat16(numbers) if header[name]["dtype"] == "BF16" else numbers
    return arrays


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def _no_such_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _place(name: str, entry: Any) -> _Place:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [start, end]}:
            pass
        case _:
            raise UnreadableWeights(f"The header says nothing clear of {_shown(name)}.")
    if dtype not in _SAFETENSORS:
        raise UnreadableWeights(f"{_shown(name)} is {_shown(dtype)}; it can be F16, BF16, F32 or F64.")
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)) or end < start:
        raise UnreadableWeights(f"Shape or offsets of {_shown(name)} are not whole numbers in order.")
    return _Place(start, end - start, _SAFETENSORS[dtype], tuple(shape))


def _check_places(places: Mapping[str, _Place], size_bytes: int) -> None:
    """See to it that the arrays lie side by side: none beyond the end, none upon another, and nothing in between."""
    end = 0
    for name, place in sorted(places.items(), key=lambda one: (one[1].start, one[1].size_bytes)):
        if place.start != end:
            raise UnreadableWeights(f"The numbers of {_shown(name)} do not begin where those before them end.")
        end = place.start + place.size_bytes
    if end != size_bytes:
        raise UnreadableWeights(f"The arrays end at byte {end:,} of {size_bytes:,}.")


def _from_bfloat16(halves: Array) -> Array:
    """Give the numbers whose upper halves are given: bfloat16 is float32 cut in two."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


# --- npz: a zip of .npy files ---------------------------------------------------------------------------------------

_END = struct.Struct("<4s4H2LH")
_HEADER = re.compile(
    rb"\{'descr': '([<>|](?:f[248]|[iu][1248]))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?){0,8}(?:\d{1,18})?)\),? ?\} *\n"
)
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


def _read_npz(file: BinaryIO, max_bytes: int) -> dict[str, Array]:
    _check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members, max_bytes)
            return {member.filename.removesuffix(".npy"): _read_npy(archive, member) for member in members}
    except _BROKEN:
        raise UnreadableWeights("The file begins as a zip archive and is a broken one.") from None


def _check_directory(file: BinaryIO) -> None:
    """Bound the table of contents, which the library takes into memory as a whole when it opens the archive."""
    size_bytes = file.seek(0, 2)
    file.seek(max(0, size_bytes - _END.size - 20))
    tail = file.read()
    if len(tail) < _END.size:
        raise UnreadableWeights("The zip archive is cut off.")
    mark, *_, length, _start, comment = _END.unpack(tail[-_END.size :])
    if mark != b"PK\x05\x06" or comment != 0 or tail[:4] == b"PK\x06\x07":
        raise UnreadableWeights("The zip archive does not end as NumPy ends one.")
    if length > MAX_HEADER_BYTES:
        raise UnreadableWeights(f"The zip archive's table of contents is larger than {MAX_HEADER_BYTES:,} bytes.")


def _check_members(members: Sequence[zipfile.ZipInfo], max_bytes: int) -> None:
    if len(members) > MAX_ARRAYS:
        raise UnreadableWeights(f"There are {len(members):,} arrays; at most {MAX_ARRAYS:,} are read.")
    if sum(member.file_size for member in members) > max_bytes + len(members) * 2**12:
        raise UnreadableWeights(f"Unpacked, the arrays are larger than the {max_bytes:,} bytes accepted here.")
    if len({member.filename for member in members}) < len(members):
        raise UnreadableWeights("Two arrays have the same name.")
    for member in members:
        if not member.filename.endswith(".npy"):
            raise UnreadableWeights(f"{_shown(member.filename)} is not a `.npy` file.")
        if member.flag_bits & 1 or member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise UnreadableWeights(f"{_shown(member.filename)} is encrypted, or not compressed as NumPy does it.")


def _read_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    name = _shown(member.filename.removesuffix(".npy"))
    with archive.open(member) as content:
        begin = content.read(8)
        if begin[:6] != b"\x93NUMPY" or begin[6:] not in {b"\x01\x00", b"\x02\x00", b"\x03\x00"}:
            raise UnreadableWeights(f"{name} does not begin as an array of NumPy.")
        width = 2 if begin[6] == 1 else 4
        length = int.from_bytes(content.read(width), "little")
        if length > 10_000:
            raise UnreadableWeights(f"The header of {name} is {length:,} bytes long.")
        said = _HEADER.fullmatch(content.read(length))
        if said is None:
            raise UnreadableWeights(f"{name} is not an array of real numbers, at most 8 bytes each.")
        shape = tuple(int(one) for one in re.findall(rb"\d+", said[3]))
        left = member.file_size - 8 - width - length
        place = _Place(0, left, said[1].decode(), shape, columns_first=said[2] == b"True")
        _check_size(name, place)
        return _numbers(content.read(left), place)


# --- both -----------------------------------------------------------------------------------------------------------


def _check_sizes(places: Mapping[str, _Place], max_bytes: int) -> None:
    if len(places) > MAX_ARRAYS:
        raise UnreadableWeights(f"There are {len(places):,} arrays; at most {MAX_ARRAYS:,} are read.")
    if sum(place.size_bytes for place in places.values()) > max_bytes:
        raise UnreadableWeights(f"The arrays are larger than the {max_bytes:,} bytes accepted here.")
    for name, place in places.items():
        _check_size(_shown(name), place)


def _check_size(name: str, place: _Place) -> None:
    if len(place.shape) > 8:
        raise UnreadableWeights(f"{name} has {len(place.shape)} dimensions; weights have at most 2.")
    needed = math.prod(place.shape) * np.dtype(place.dtype).itemsize
    if needed != place.size_bytes:
        raise UnreadableWeights(f"{name} has shape {place.shape} and {place.size_bytes:,} bytes instead of {needed:,}.")


def _numbers(content: bytes, place: _Place) -> Array:
    if len(content) != place.size_bytes:
        raise UnreadableWeights("The file ends before its numbers do.")
    flat: Array = np.frombuffer(content, np.dtype(place.dtype))
    return flat.reshape(place.shape, order="F" if place.columns_first else "C")


def _shown(text: str) -> str:
    """Quote a name out of a file, cut to a readable length."""
    return repr(text if len(text) <= 60 else text[:59] + "…")


# --- names ----------------------------------------------------------------------------------------------------------

_WEIGHT = re.compile(r"layers\.\d+\.weight")
_OURS = re.compile(r"layers\.(?:0|[1-9]\d{0,3})\.(?:batch_norm\.)?[a-z_]+")
_SEQUENTIAL = re.compile(r"(0|[1-9]\d{0,3})\.([a-z_]+)")


@dataclass(frozen=True)
class NamedWeights:
    """Arrays under our names, and under which name each came."""

    arrays: dict[str, Array]
    sent_as: dict[str, str]


def widths_of(arrays: Mapping[str, Array]) -> list[int] | None:
    """Give the widths of the network that weights are of, from the inputs to the outputs; None if they are of none."""
    found = {int(name.split(".")[1]): array for name, array in arrays.items() if _WEIGHT.fullmatch(name)}
    weights = [found[i] for i in sorted(found)]
    if not weights or any(array.ndim != 2 for array in weights):
        return None
    return [weights[0].shape[1], *(len(array) for array in weights)]


def in_our_names(arrays: Mapping[str, Array]) -> NamedWeights:
    """Put weights under the names that we give them.

    Names are ours (`layers.0.weight`, `layers.0.batch_norm.weight`) or those of a PyTorch `Sequential` (`0.weight`,
    `2.weight`): its layers in order, a normalisation (one-dimensional weights) belonging to the layer before it.

    Raises:
        UnreadableWeights: The names are of another kind.
    """
    if not arrays:
        raise UnreadableWeights("There are no arrays in it.")
    if all(_OURS.fullmatch(name) for name in arrays):
        return NamedWeights(dict(arrays), {name: name for name in arrays})
    places: dict[int, dict[str, Array]] = {}
    for name, array in arrays.items():
        parts = _SEQUENTIAL.fullmatch(name)
        if parts is None:
            message = "Names are `layers.0.weight`, … or, as in a PyTorch Sequential, `0.weight`, …"
            raise UnreadableWeights(f"{_shown(name)} is neither. {message}")
        if parts[2] != COUNTER:
            places.setdefault(int(parts[1]), {})[parts[2]] = array
    named, sent_as, i = {}, {}, -1
    for place in sorted(places):
        entries = places[place]
        is_norm = i >= 0 and ("running_mean" in entries or np.ndim(entries.get("weight", 0)) == 1)
        if is_norm and f"layers.{i}.batch_norm.weight" in named:
            raise UnreadableWeights(f"Two normalisations follow upon one layer, at {place}.")
        i += not is_norm
        for part, array in entries.items():
            name = f"layers.{i}.{'batch_norm.' if is_norm else ''}{part}"
            named[name], sent_as[name] = array, f"{place}.{part}"
    return NamedWeights(named, sent_as)


def from_layers(layers: Sequence[GivenLayer]) -> tuple[dict[str, Array], list[tuple[str, str]]]:
    """Give weights that came as nested lists by our names, in float64, and what is wrong as (name, what is wrong)."""
    arrays, faults = {}, []
    for i, layer in enumerate(layers):
        lists: dict[str, Any] = {"weight": layer.weight, "bias": layer.bias}
        if layer.batch_norm is not None:
            lists |= {f"batch_norm.{part}": numbers for part, numbers in layer.batch_norm}
        for part, numbers in lists.items():
            if part == "weight" and len({len(row) for row in numbers}) > 1:
                shortest, longest = min(map(len, numbers)), max(map(len, numbers))
                faults.append(
                    (f"layers.{i}.weight", f"has rows of {shortest} to {longest} numbers; all are of one length.")
                )
            elif numbers is not None:
                arrays[f"layers.{i}.{part}"] = np.array(numbers, np.float64)
    return arrays, faults
