"""Parquet and Arrow files: columns by their types. Rows and columns are counted in the metadata before anything is decoded."""

import struct
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from app.contract.datasets import Kind, Notice
from app.errors import Fault, TooLarge, UnreadableTable
from app.settings import MIB
from app.tables.batches import aggregated
from app.tables.faults import MAX_FAULTS, listed, shown
from app.tables.messages import declared
from app.tables.names import usable_names
from app.tables.source import EXACT, Source, large_integers
from app.tables.summary import Limits

MAX_METADATA_BYTES = 64 * MIB
CELL_BYTES = 8
EPOCH = date(1970, 1, 1)
FIRST_DAY, LAST_DAY = (date.min - EPOCH).days, (date.max - EPOCH).days
PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
KINDS_OF_TYPES = {Kind.NUMERIC: (pl.Float64,), Kind.BOOLEAN: (pl.Boolean,), Kind.DATETIME: (pl.Datetime,)}


def parquet_source(path: Path, kinds: Mapping[str, Kind], limits: Limits) -> Source:
    """Open a Parquet file."""
    _check_end(path, b"PAR1")
    return _opened(path, pl.scan_parquet(path, glob=False), kinds, limits)


def arrow_source(path: Path, kinds: Mapping[str, Kind], limits: Limits) -> Source:
    """Open an Arrow IPC file, or a stream of messages; a stream is read into memory."""
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    sizes = declared(path)
    limits.check_shape(sizes.n_rows, 1)
    limits.check_unpacked(sizes.unpacked_bytes, path.stat().st_size)
    if is_file:
        return _opened(path, pl.scan_ipc(path, glob=False), kinds, limits)
    return _opened(path, pl.read_ipc_stream(path).lazy(), kinds, limits)


def _check_end(path: Path, magic: bytes) -> None:
    """Check that the file is whole, and its metadata small enough to be read."""
    size_bytes = path.stat().st_size
    end_bytes = len(magic) + 4
    with path.open("rb") as file:
        file.seek(max(size_bytes - end_bytes, 0))
        end = file.read()
    if len(end) < end_bytes or not end.endswith(magic):
        raise _unreadable("damaged", "the file was cut short: its end is lacking")
    length = struct.unpack("<I", end[:4])[0]
    if length > size_bytes:
        raise _unreadable("damaged", "the file is damaged: its metadata is longer than the file")
    if length > MAX_METADATA_BYTES:
        raise TooLarge(f"the metadata of the file has {length:,} bytes; at most {MAX_METADATA_BYTES:,} are accepted")


def _unreadable(code: str, message: str) -> UnreadableTable:
    return UnreadableTable(message, [Fault("", message, code)])


def _opened(path: Path, frame: pl.LazyFrame, kinds: Mapping[str, Kind], limits: Limits) -> Source:
    schema = frame.collect_schema()
    if not len(schema):
        raise _unreadable("no_columns", "the table has no columns")
    limits.check_shape(0, len(schema))
    n_rows = frame.select(pl.len()).collect().item()
    limits.check_shape(n_rows, len(schema))
    limits.check_unpacked(n_rows * len(schema) * CELL_BYTES, path.stat().st_size)
    if not n_rows:
        raise _unreadable("no_rows", "the table has no rows")
    faults: list[Fault] = []
    names, notices = usable_names(schema.names(), faults)
    if faults:
        raise UnreadableTable("the table has names that cannot be used", faults[:MAX_FAULTS])
    renamed = frame.select(pl.col(old).alias(new) for old, new in zip(schema.names(), names, strict=True))
    return typed_source(renamed, n_rows, kinds, notices)


def typed_source(
    frame: pl.LazyFrame,
    n_rows: int,
    kinds: Mapping[str, Kind],
    notices: Sequence[Notice] = (),
    targets: frozenset[str] = frozenset(),
) -> Source:
    """Make columns of any type columns of a source.

    Numbers, decimals included, become Float64; times of day and durations are numbers of seconds; dates and times are in UTC;
    dictionaries and enumerations are categories. Of nested and binary columns nothing is taken over: they are text without
    values, and a notice says so. Integers beyond 2**53 are text. A column whose kind is given as another than its type's is text.
    """
    schema = frame.collect_schema()
    _check_times(frame, schema)
    large = _large(frame, schema, kinds)
    columns: list[pl.Expr] = []
    quoted, given, left_out = set(), {}, []
    for name, dtype in schema.items():
        values = _values(pl.col(name), dtype)
        if values is None:
            left_out.append(f"{shown(name)} holds {_said(dtype)}")
            given[name] = Kind.TEXT
            values = pl.lit(None, pl.String).alias(name)
        elif name in large or not _fits(values, frame, kinds.get(name)):
            values = pl.col(name).cast(pl.String)
        if name in large or (name not in kinds and dtype == pl.String):
            quoted.add(name)
        if dtype in (pl.Categorical, pl.Enum) and name not in kinds:
            given[name] = Kind.CATEGORICAL
        columns.append(values)
    found = [*notices]
    if left_out:
        message = f"{listed(left_out)}: nothing of that can be trained on, so it is left out."
        found.append(Notice(code="unusable_column", message=message))
    if large:
        found.append(large_integers(large))
    return Source(
        frame.select(columns), n_rows, tuple(schema.names()), frozenset(quoted), targets, given, notices=tuple(found)
    )


def _values(column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """Give a column in one of the types of a source; None if it cannot be."""
    if dtype in (pl.Boolean, pl.Null, pl.String):
        return column
    if dtype.is_integer() or dtype.is_decimal():
        return column.cast(pl.Float64)
    if dtype.is_float():
        return column.cast(pl.Float64).fill_nan(None)
    if dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    if isinstance(dtype, pl.Datetime):
        zoned = column if dtype.time_zone is None else column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return zoned.dt.cast_time_unit("us")
    if dtype == pl.Time:
        return column.cast(pl.Int64) / 1e9
    if isinstance(dtype, pl.Duration):
        return column.dt.total_nanoseconds() / 1e9 if dtype.time_unit == "ns" else column.dt.total_microseconds() / 1e6
    return None


def _fits(values: pl.Expr, frame: pl.LazyFrame, wanted: Kind | None) -> bool:
    """Tell whether the values can have the kind that is wanted for them as they are."""
    if wanted is None:
        return True
    dtype = next(iter(frame.select(values).collect_schema().dtypes()))
    return isinstance(dtype, KINDS_OF_TYPES.get(wanted, (pl.String,)))


def _large(frame: pl.LazyFrame, schema: pl.Schema, kinds: Mapping[str, Kind]) -> list[str]:
    """Name the columns of integers beyond 2**53, unless their kind is given."""
    wide = (pl.Int64, pl.UInt64, pl.Int128, pl.UInt128)
    names = [name for name, dtype in schema.items() if dtype in wide and name not in kinds]
    if not names:
        return []
    beyond = aggregated(frame, [(pl.col(name).max() > EXACT) | (pl.col(name).min() < -EXACT) for name in names])
    return [name for name, is_large in zip(names, beyond, strict=True) if is_large]


def _check_times(frame: pl.LazyFrame, schema: pl.Schema) -> None:
    """Refuse times beyond the years 1 to 9999, which no calendar of ours has."""
    names = [name for name, dtype in schema.items() if dtype == pl.Date or isinstance(dtype, pl.Datetime)]
    if not names:
        return
    numbers = [pl.col(name).to_physical().cast(pl.Int64) for name in names]
    lows, highs = aggregated(frame, [n.min() for n in numbers]), aggregated(frame, [n.max() for n in numbers])
    faults = []
    for name, low, high in zip(names, lows, highs, strict=True):
        dtype = schema[name]
        per_day = PER_DAY[dtype.time_unit] if isinstance(dtype, pl.Datetime) else 1
        if low is not None and not FIRST_DAY * per_day <= low <= high < (LAST_DAY + 1) * per_day:
            message = f"column {shown(name)} holds times beyond the years 1 to 9999"
            faults.append(Fault("", message, "time_out_of_range"))
    if faults:
        raise UnreadableTable(faults[0].message, faults[:MAX_FAULTS])


def _said(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List | pl.Array):
        return "lists"
    if isinstance(dtype, pl.Struct):
        return "objects"
    return "bytes" if dtype == pl.Binary else f"values of type {str(dtype)[:60]}"
