"""A look at the values of columns: which are identifiers, copies of the target, or give the target away."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.tables.choice import STRINGS, Choice
from app.tables.reading import column_groups
from app.tables.selection import numbers, open_table
from app.tables.suspects import Suspects, copy_of

MAX_CELLS = 10_000_000
MAX_ROWS = 100_000
MIN_ROWS = 20
SLICES = 16
ROWS_A_VALUE = 5
SURE = 0.999

Numbers = NDArray[np.float64]


def confirm(table: Path, found: Suspects) -> dict[str, str]:
    """Tell which columns are to be left out, and why."""
    frame = open_table(table)
    checks = {name: (pl.col(name) == pl.col(name).floor()).all() for name in found.numbers}
    checks |= {name: pl.col(name).eq_missing(pl.col(target)).all() for name, target in found.copies.items()}
    reasons = found.numbers | {name: copy_of(target) for name, target in found.copies.items()}
    confirmed = dict(found.certain)
    n_rows = frame.select(pl.len()).collect().item()
    for names in column_groups(list(checks), 2 * n_rows):
        answers = frame.select(checks[name].alias(name) for name in names).collect()
        confirmed |= {name: reasons[name] for name in names if answers[name].item()}
    return confirmed


def leaks(table: Path, choice: Choice) -> dict[str, str]:
    """Tell which features alone (nearly) determine the target, in a sample of the rows of bounded cost.

    Classes: the rows of one value of the feature are, all but one in a thousand, of one class; with at least five rows a value, or
    it would mean nothing. Numbers: a correlation beyond 0.999, or, for the values of a categorical feature, as large a share of the
    variance.
    """
    sample = _Sample(table, max(len(choice.features), 1))
    found: dict[str, str] = {}
    for target in choice.targets:
        y = sample.columns([target])[target]
        kept = y.is_not_null()
        if int(kept.sum()) < MIN_ROWS:
            continue
        for name, values in sample.each(choice.features):
            is_class = choice.use(name).kind in STRINGS
            pair = values.filter(kept), y.filter(kept)
            why = _of_classes(*pair) if choice.task == "classification" else _of_numbers(*pair, is_class=is_class)
            if why is not None:
                found[name] = f"{why} of {target}"
    return found


class _Sample:
    """Rows from all over a table: slices at equal distances."""

    def __init__(self, table: Path, n_columns: int) -> None:
        self._frame = open_table(table)
        n_rows = self._frame.select(pl.len()).collect().item()
        wanted = min(MAX_ROWS, max(MAX_CELLS // n_columns, MIN_ROWS * SLICES))
        if n_rows <= wanted:
            self._slices = [(0, n_rows)]
        else:
            self._slices = [(n_rows * i // SLICES, wanted // SLICES) for i in range(SLICES)]
        self.n_rows = sum(length for _, length in self._slices)

    def columns(self, names: list[str]) -> pl.DataFrame:
        """Give some columns."""
        parts = [self._frame.select(names).slice(start, length).collect() for start, length in self._slices]
        return pl.concat(parts)

    def each(self, names: tuple[str, ...]) -> Iterator[tuple[str, pl.Series]]:
        """Give column by column, reading a few at a time."""
        for group in column_groups(names, self.n_rows):
            held = self.columns(list(group))
            for name in group:
                yield name, held[name]


def _of_classes(x: pl.Series, y: pl.Series) -> str | None:
    """Look whether the values of a feature tell the class."""
    pairs = pl.DataFrame({"x": x, "y": y}).drop_nulls("x")
    n_rows = pairs.height
    if n_rows < MIN_ROWS or pairs["y"].n_unique() < 2 or pairs["x"].n_unique() * ROWS_A_VALUE > n_rows:
        return None
    largest = pairs.group_by("x", "y").len().group_by("x").agg(pl.col("len").max())["len"].sum()
    if largest < SURE * n_rows:
        return None
    return f"leaks the target: its values tell the class in {100 * largest / n_rows:.4g} % of the rows looked at,"


def _of_numbers(x: pl.Series, y: pl.Series, *, is_class: bool) -> str | None:
    """Look whether a feature tells the number."""
    there = x.is_not_null()
    x, b = x.filter(there), _unit(numbers(y.filter(there)))
    if len(x) < MIN_ROWS or b is None:
        return None
    if is_class:
        if x.n_unique() * ROWS_A_VALUE > len(x):
            return None
        groups = pl.DataFrame({"x": x, "y": b}).group_by("x").agg(pl.col("y").sum(), pl.len().alias("n"))
        share = float((groups["y"] ** 2 / groups["n"]).sum())
        if share < SURE:
            return None
        return f"leaks the target: its values tell {100 * share:.4g} % of the variance"
    a = _unit(numbers(x))
    correlation = 0.0 if a is None else float(np.sum(a * b))
    return f"leaks the target: a correlation of {correlation:.5f} with the values" if abs(correlation) > SURE else None


def _unit(values: Numbers) -> Numbers | None:
    """Give the values less their mean, at length 1; None if they do not vary."""
    values = values / max(float(np.abs(values).max()), np.finfo(np.float64).tiny)
    centred: Numbers = values - values.mean()
    length = float(np.sqrt(np.sum(centred * centred)))
    return centred / length if length > 0 else None
