"""How many different values columns have, in memory that does not grow with what they hold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.tables.batches import aggregated

VALUES_AT_ONCE = 16_000_000  # 8 bytes each, and as much again to sort them
SEEDS = (0, 1)


def text_bytes(frame: pl.LazyFrame, names: Sequence[str]) -> int:
    """Give how many bytes the strings of some columns have together."""
    schema = frame.collect_schema()
    texts = [name for name in names if schema[name] == pl.String]
    return sum(aggregated(frame, [pl.col(name).str.len_bytes().sum() for name in texts]))


def count_different(frame: pl.DataFrame | pl.LazyFrame, names: Sequence[str], n_rows: int) -> list[int]:
    """Count the different values of each column, missing ones aside.

    What is in memory is compared as it is. Of a streamed frame numbers and times are kept, and of strings a hash of 64 bits; they
    are counted by two different hashes. The count is too low only if different strings are alike in the first hash and others
    are in the second: a chance of 1 in 10**11 for ten million different strings.
    """
    if isinstance(frame, pl.DataFrame):
        return aggregated(frame, [pl.col(name).drop_nulls().n_unique() for name in names])
    schema = frame.collect_schema()
    texts = [name for name in names if schema[name] == pl.String]
    first = _counted(frame, names, n_rows, SEEDS[0])
    second = _counted(frame, texts, n_rows, SEEDS[1]) if texts else {}
    return [max(count, second.get(name, 0)) for name, count in first.items()]


def _counted(frame: pl.LazyFrame, names: Sequence[str], n_rows: int, seed: int) -> dict[str, int]:
    """Count the different numbers and hashes; of very many rows only those of a part of the hashes at a time."""
    counts = dict.fromkeys(names, 0)
    n_parts = -(-n_rows // VALUES_AT_ONCE)
    for part in range(n_parts):
        keys: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        for batch in frame.select(names).collect_batches(maintain_order=False):
            for column in batch.iter_columns():
                keys[column.name].append(_keys(column.drop_nulls(), seed, n_parts, part))
        for name in names:
            counts[name] += _n_different(keys.pop(name))
    return counts


def _keys(values: pl.Series, seed: int, n_parts: int, part: int) -> NDArray[Any]:
    """Give a number for each value of a part: equal values have equal ones."""
    if n_parts > 1:
        values = values.filter(values.hash(SEEDS[-1] + 1) % n_parts == part)
    return (values.hash(seed) if values.dtype == pl.String else values.to_physical()).to_numpy()


def _n_different(pieces: list[NDArray[Any]]) -> int:
    if not pieces:
        return 0
    numbers = np.concatenate(pieces)
    pieces.clear()
    numbers.sort()
    return int(np.count_nonzero(numbers[1:] != numbers[:-1])) + bool(len(numbers))
