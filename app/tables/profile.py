"""How the values of columns are distributed, one column in memory at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from app.contract.datasets import Column, Kind
from app.contract.profiles import (
    MAX_BINS,
    MAX_FREQUENT,
    MAX_SHOWN_LENGTH,
    QUANTILES,
    ColumnProfile,
    Frequency,
    Histogram,
    Lengths,
    Quantile,
)

ISO = "%Y-%m-%dT%H:%M:%S%.6fZ"


def profile(table: Path, columns: Sequence[Column]) -> list[ColumnProfile]:
    """Look at some columns of a table that was read before, which said what kind they are."""
    frame = pl.scan_ipc(table, glob=False)
    return [_profile(frame.select(pl.col(column.name)).collect().to_series(), column) for column in columns]


def _profile(values: pl.Series, column: Column) -> ColumnProfile:
    present = values.drop_nulls()
    is_ordered = column.kind in {Kind.NUMERIC, Kind.DATETIME} and len(present) > 0
    ordered = present.to_physical().sort() if is_ordered else None
    return ColumnProfile(
        name=column.name,
        kind=column.kind,
        n_missing=column.n_missing,
        n_unique=column.n_unique,
        quantiles=None if ordered is None else _quantiles(ordered, column.kind),
        histogram=None if ordered is None else _histogram(ordered, column),
        top=_top(present) if column.kind in {Kind.CATEGORICAL, Kind.BOOLEAN} else None,
        lengths=_lengths(present) if column.kind is Kind.TEXT and len(present) else None,
    )


def _quantiles(ordered: pl.Series, kind: Kind) -> list[Quantile]:
    found = [_at(ordered, quantile) for quantile in QUANTILES]
    return [Quantile(quantile=q, value=v) for q, v in zip(QUANTILES, _shown(found, kind), strict=True)]


def _at(ordered: pl.Series, quantile: float) -> float | int:
    """Give a quantile, between the two values beside it if there is none just there."""
    place = quantile * (len(ordered) - 1)
    below = int(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return _between(low, high, place - below)


def _between(low: float | int, high: float | int, fraction: float) -> float | int:
    """Give what lies at a fraction of the way; the way itself may be longer than any number."""
    if isinstance(low, int) and isinstance(high, int):
        return low + round((high - low) * fraction)
    return low * (1 - fraction) + high * fraction if low < high else low


def _histogram(ordered: pl.Series, column: Column) -> Histogram:
    low, high = ordered[0], ordered[-1]
    n_bins = min(MAX_BINS, column.n_unique)
    inner = {_between(low, high, place / n_bins) for place in range(1, n_bins)} - {low, high}
    edges = [low, *sorted(inner), high]
    starts = np.searchsorted(ordered.to_numpy(), np.array(edges[:-1], ordered.to_numpy().dtype))
    counts = np.diff(starts, append=len(ordered))
    return Histogram(edges=_shown(edges, column.kind), counts=counts.tolist())


def _shown(values: Sequence[float | int], kind: Kind) -> list[float | str]:
    if kind is not Kind.DATETIME:
        return [float(value) for value in values]
    times = pl.Series(values, dtype=pl.Int64).cast(pl.Datetime("us"))
    return times.dt.strftime(ISO).str.replace(r"\.000000Z$", "Z").to_list()


def _top(present: pl.Series) -> list[Frequency]:
    text = present.rename("value").cast(pl.String)
    counts = text.value_counts(name="count").sort(["count", "value"], descending=[True, False]).head(MAX_FREQUENT)
    return [
        Frequency(value=value if len(value) <= MAX_SHOWN_LENGTH else value[: MAX_SHOWN_LENGTH - 1] + "…", count=count)
        for value, count in counts.select("value", "count").rows()
    ]


def _lengths(present: pl.Series) -> Lengths:
    lengths = present.str.len_chars()
    shortest, longest, mean = lengths.min(), lengths.max(), lengths.mean()
    assert isinstance(shortest, int)
    assert isinstance(longest, int)
    assert isinstance(mean, float)
    return Lengths(min=shortest, max=longest, mean=mean)
