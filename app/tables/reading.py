"""Uploads in: bytes become a typed table, stored as Arrow IPC, and what is known of its columns."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from app.contract.datasets import Column, Format, Kind, RoleHint
from app.errors import Fault, UnreadableTable
from app.settings import MIB
from app.tables.batches import AT_ONCE, aggregated
from app.tables.different import count_different, text_bytes
from app.tables.kinds import Typed, decide
from app.tables.opening import open_upload
from app.tables.scratch import scratch_beside
from app.tables.small import SMALL_BYTES, keep
from app.tables.source import Source
from app.tables.summary import Limits, ReadOptions, TableSummary
from app.tables.words import plain_number

__all__ = ["Limits", "TableSummary", "as_json", "column_groups", "preview", "read_table"]

MAX_CATEGORIES = 1_000
FEW_CATEGORIES = 20
CELLS_AT_ONCE = 4_000_000
TEXT_BYTES_AT_ONCE = 128 * MIB
ROWS_A_BATCH = 65_536


def read_table(
    source: Path,
    format: Format | None,
    kinds: Mapping[str, Kind],
    table: Path,
    limits: Limits,
    options: ReadOptions = ReadOptions(),  # noqa: B008
) -> TableSummary:
    """Read an upload into a typed table: whole, or not at all.

    The table has a column for each of the upload's: numeric as Float64, boolean as Boolean or (written as 0 and 1) UInt8,
    datetime as Datetime in UTC, categorical and text as String.

    Args:
        format: None: it is found by the bytes.
        options: What is said of a text file instead of having it guessed.

    Raises:
        UnreadableTable: The bytes are not a table; the faults say why.
        InvalidRequest: `kinds` does not fit the columns.
        TooLarge: There are more rows or columns than accepted.
    """
    try:
        with scratch_beside(table) as make_path:
            found, opened = open_upload(source, format, kinds, limits, options, make_path)
            typed, notices = decide(opened, kinds)
            small = _write(opened, typed, table, make_path())
            columns = tuple(_columns(table if small is None else small, opened, typed))
        return TableSummary(opened.n_rows, columns, found, opened.read, opened.notices + notices)
    except pl.exceptions.PolarsError as error:
        message = f"the {format or 'file'} could not be read: {str(error).splitlines()[0][:200]}"
        raise UnreadableTable(message, [Fault("", message, "damaged")]) from error


def preview(table: Path, limit: int, offset: int = 0) -> list[dict[str, Any]]:
    """Give some rows as JSON values; times as ISO 8601 text."""
    return as_json(pl.scan_ipc(table, glob=False).slice(offset, limit))


def as_json(frame: pl.LazyFrame) -> list[dict[str, Any]]:
    """Give the rows of a typed table as JSON values; times as ISO 8601 text."""
    times = pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").str.replace(r"\.000000Z$", "Z")
    rows = frame.with_columns(times).collect().to_dicts()
    return [{name: plain_number(v) if isinstance(v, float) else v for name, v in row.items()} for row in rows]


def column_groups(names: Sequence[str], n_rows: int) -> Iterator[Sequence[str]]:
    """Cut the columns into groups that are small enough to be held in memory together; a large column is a group."""
    size = max(CELLS_AT_ONCE // max(n_rows, 1), 1)
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _write(source: Source, typed: Mapping[str, Typed], table: Path, temporary: Path) -> pl.DataFrame | None:
    """Write the table; give it, if it is small."""
    columns = [column.values.alias(name) for name, column in typed.items()]
    # To look for what expressions have in common takes the square of their number.
    planned = pl.QueryOptFlags(comm_subexpr_elim=len(columns) <= AT_ONCE)
    source.frame.select(columns).sink_ipc(
        temporary, record_batch_size=ROWS_A_BATCH, engine="streaming", optimizations=planned
    )
    small = pl.read_ipc(temporary.read_bytes()) if temporary.stat().st_size <= SMALL_BYTES else None
    n_rows = pl.scan_ipc(temporary, glob=False).select(pl.len()).collect().item() if small is None else small.height
    if n_rows != source.n_rows:
        message = f"the file has {source.n_rows:,} rows by its line ends, and {n_rows:,} by its quotes"
        raise UnreadableTable(message, [Fault("", message, "unclear_rows")])
    _sync(temporary)
    temporary.replace(table)
    _sync(table.parent)
    if small is not None:
        keep(table, small)
    return small


def _sync(path: Path) -> None:
    """Have what was written survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _columns(table: Path | pl.DataFrame, source: Source, typed: Mapping[str, Typed]) -> Iterator[Column]:
    """Describe each column. A large one is passed over in batches, so that memory does not grow with the table."""
    stored = table.lazy() if isinstance(table, pl.DataFrame) else pl.scan_ipc(table, glob=False)
    for names in column_groups(list(typed), source.n_rows):
        is_large = len(names) * source.n_rows > CELLS_AT_ONCE or text_bytes(stored, names) > TEXT_BYTES_AT_ONCE
        frame = stored.select(names) if is_large else stored.select(names).collect()
        moments = _moments(frame, [name for name in names if typed[name].kind in {Kind.NUMERIC, Kind.BOOLEAN}])
        n_missing = aggregated(frame, [pl.col(name).null_count() for name in names])
        n_unique = count_different(frame, names, source.n_rows)
        for place, name in enumerate(names):
            kind = typed[name].kind or _kind_of_text(n_unique[place], source.n_rows - n_missing[place])
            yield Column(
                name=name,
                kind=kind,
                n_missing=n_missing[place],
                n_unique=n_unique[place],
                **moments.get(name, {"min": None, "max": None, "mean": None, "std": None}),
                categories=_categories(frame, name, kind),
                date_order=typed[name].date_order,
                role_hint=RoleHint.TARGET if name in source.targets else None,
            )


def _kind_of_text(n_unique: int, n_present: int) -> Kind:
    """Few different strings are categories; many, or nearly as many as there are rows, are text."""
    few = n_unique <= FEW_CATEGORIES or (n_unique <= MAX_CATEGORIES and n_unique <= n_present / 2)
    return Kind.CATEGORICAL if few else Kind.TEXT


def _moments(frame: pl.DataFrame | pl.LazyFrame, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Give minimum, maximum, mean and standard deviation, computed at a scale at which nothing overflows."""
    if not names:
        return {}
    numbers = [pl.col(name).cast(pl.Float64) for name in names]
    ends = aggregated(frame, [one.min() for one in numbers] + [one.max() for one in numbers])
    low, high = ends[: len(names)], ends[len(names) :]
    scales = [_power_of_two(max(abs(a), abs(b))) if a is not None else 1.0 for a, b in zip(low, high, strict=True)]
    scaled = [one / scale for one, scale in zip(numbers, scales, strict=True)]
    spread = aggregated(frame, [one.mean() for one in scaled] + [one.std(ddof=0) for one in scaled])
    means, stds = spread[: len(names)], spread[len(names) :]
    return {
        name: {"min": a, "max": b, "mean": mean and mean * scale, "std": std and std * scale}
        for name, a, b, mean, std, scale in zip(names, low, high, means, stds, scales, strict=True)
    }


def _power_of_two(magnitude: float) -> float:
    return math.ldexp(1.0, max(math.frexp(magnitude)[1] - 100, 0))


def _categories(frame: pl.DataFrame | pl.LazyFrame, name: str, kind: Kind) -> list[str] | None:
    if kind not in {Kind.BOOLEAN, Kind.CATEGORICAL}:
        return None
    found = frame.select(pl.col(name).drop_nulls().unique())
    values = (found.collect(engine="streaming") if isinstance(found, pl.LazyFrame) else found).to_series()
    present = values.sort().head(MAX_CATEGORIES).to_list()
    return [("false", "true")[value] if isinstance(value, bool) else str(value) for value in present]
