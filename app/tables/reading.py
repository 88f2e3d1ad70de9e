"""Uploads in: bytes become a typed table, stored as Arrow IPC, and what is known of its columns."""

import math
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from app.contract.datasets import Column, Format, Kind, RoleHint
from app.errors import TooLarge, UnreadableTable, UnsupportedFormat
from app.tables.kinds import Typed, decide
from app.tables.source import Source, csv_source, json_source
from app.tables.summary import Limits, TableSummary
from app.tables.words import plain_number

__all__ = ["Limits", "TableSummary", "as_json", "column_groups", "preview", "read_table"]

MAX_CATEGORIES = 1_000
FEW_CATEGORIES = 20
CELLS_AT_ONCE = 4_000_000
ROWS_A_BATCH = 65_536


def read_table(source: Path, format: Format, kinds: Mapping[str, Kind], table: Path, limits: Limits) -> TableSummary:
    """Read an upload into a typed table: whole, or not at all.

    The table has a column for each of the upload's: numeric as Float64, boolean as Boolean or (written as 0 and 1) UInt8,
    datetime as Datetime in UTC, categorical and text as String.

    Raises:
        UnreadableTable: The bytes are not a table; the faults say why.
        InvalidRequest: `kinds` does not fit the columns.
        TooLarge: There are more rows or columns than accepted.
    """
    try:
        opened = _open(source, format, kinds, limits)
        typed = decide(opened, kinds)
        _write(opened, typed, table)
        return TableSummary(opened.n_rows, tuple(_columns(table, opened, typed)))
    except pl.exceptions.PolarsError as error:
        raise UnreadableTable(f"the {format} could not be read: {str(error).splitlines()[0][:200]}") from error


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


def _open(source: Path, format: Format, kinds: Mapping[str, Kind], limits: Limits) -> Source:
    match format:
        case Format.CSV:
            return csv_source(source, limits)
        case Format.JSON:
            return json_source(source, kinds, limits)
        case _:
            raise UnsupportedFormat(f"the format {format} is not read")


def _write(source: Source, typed: Mapping[str, Typed], table: Path) -> None:
    temporary = table.with_name(f".{table.name}.{secrets.token_hex(8)}")
    try:
        columns = [column.values.alias(name) for name, column in typed.items()]
        source.frame.select(columns).sink_ipc(temporary, record_batch_size=ROWS_A_BATCH, engine="streaming")
        n_rows = pl.scan_ipc(temporary, glob=False).select(pl.len()).collect().item()
        if n_rows != source.n_rows:
            raise UnreadableTable(f"the file has {source.n_rows:,} rows by its line ends, and {n_rows:,} by its quotes")
        _sync(temporary)
        temporary.replace(table)
        _sync(table.parent)
    except OSError as error:
        raise TooLarge(f"the table could not be stored: {os.strerror(error.errno or 0)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have what was written survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _columns(table: Path, source: Source, typed: Mapping[str, Typed]) -> Iterator[Column]:
    frame = pl.scan_ipc(table, glob=False)
    for names in column_groups(list(typed), source.n_rows):
        held = frame.select(names).collect()
        numbers = held.select(
            pl.col(name).cast(pl.Float64) for name in names if typed[name].kind in {Kind.NUMERIC, Kind.BOOLEAN}
        )
        moments = _moments(numbers)
        counts = zip(held.null_count().row(0), held.select(pl.all().drop_nulls().n_unique()).row(0), names, strict=True)
        for n_missing, n_unique, name in counts:
            kind = typed[name].kind or _kind_of_text(n_unique, source.n_rows - n_missing)
            yield Column(
                name=name,
                kind=kind,
                n_missing=n_missing,
                n_unique=n_unique,
                **moments.get(name, {"min": None, "max": None, "mean": None, "std": None}),
                categories=_categories(held[name], kind),
                role_hint=RoleHint.TARGET if name in source.targets else None,
            )


def _kind_of_text(n_unique: int, n_present: int) -> Kind:
    """Few different strings are categories; many, or nearly as many as there are rows, are text."""
    few = n_unique <= FEW_CATEGORIES or (n_unique <= MAX_CATEGORIES and n_unique <= n_present / 2)
    return Kind.CATEGORICAL if few else Kind.TEXT


def _moments(numbers: pl.DataFrame) -> dict[str, dict[str, float | None]]:
    """Give minimum, maximum, mean and standard deviation, computed at a scale at which nothing overflows."""
    names = numbers.columns
    if not names:
        return {}
    low, high = numbers.select(pl.all().min()).row(0), numbers.select(pl.all().max()).row(0)
    scales = [_power_of_two(max(abs(a), abs(b))) if a is not None else 1.0 for a, b in zip(low, high, strict=True)]
    scaled = numbers.select(pl.col(name) / scale for name, scale in zip(names, scales, strict=True))
    means, stds = scaled.select(pl.all().mean()).row(0), scaled.select(pl.all().std(ddof=0)).row(0)
    return {
        name: {"min": a, "max": b, "mean": mean and mean * scale, "std": std and std * scale}
        for name, a, b, mean, std, scale in zip(names, low, high, means, stds, scales, strict=True)
    }


def _power_of_two(magnitude: float) -> float:
    return math.ldexp(1.0, max(math.frexp(magnitude)[1] - 100, 0))


def _categories(values: pl.Series, kind: Kind) -> list[str] | None:
    if kind is Kind.BOOLEAN:
        present = values.drop_nulls().unique().sort().to_list()
        return [("false", "true")[value] if isinstance(value, bool) else str(value) for value in present]
    if kind is Kind.CATEGORICAL:
        found: list[str] = values.drop_nulls().unique().sort().head(MAX_CATEGORIES).to_list()
        return found
    return None
