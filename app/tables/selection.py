"""Which rows of a table are used, and on which side; and its columns as NumPy arrays."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.contract.preprocessing import (
    AnyValidation,
    ColumnValidation,
    GroupValidation,
    Missing,
    TimeValidation,
    Validation,
)
from app.tables.fitted import Codes, FittedPreprocessing, Numbers
from app.tables.held_out import spellings
from app.tables.reading import column_groups
from app.tables.small import small_table
from app.tables.split import IntArray, sides, split_groups, split_rows, split_times
from app.tables.words import Scalar, as_text, plain_number

Mask = NDArray[np.bool_]
# What marks a row as one for validation where nobody says so.
HELD_OUT = frozenset({"true", "1", "validation", "valid", "val", "test"})


@dataclass(frozen=True)
class Selection:
    """The rows of a training: row numbers of the table, sorted."""

    n_rows: int
    n_without_target: int
    n_with_gaps: int
    n_without_side: int
    train: IntArray
    held_out: IntArray
    stratified: bool

    @property
    def n_train(self) -> int:
        """Rows to learn from."""
        return len(self.train)

    @property
    def n_validation(self) -> int:
        """Rows that are held out."""
        return len(self.held_out)

    @property
    def n_kept(self) -> int:
        """Rows that are used."""
        return self.n_train + self.n_validation

    def warnings(self) -> list[tuple[str, str]]:
        """Say which rows are left out."""
        found = []
        if self.n_without_target:
            found.append(("missing_target", f"{self.n_without_target:,} rows without a target are left out"))
        if self.n_with_gaps:
            found.append(("dropped_rows", f"{self.n_with_gaps:,} rows with missing numbers are left out"))
        if self.n_without_side:
            message = f"{self.n_without_side:,} rows without a value in the column that divides them are left out"
            found.append(("missing_side", message))
        return found

    def roles(self, *, unseen: Mask | None) -> NDArray[np.uint8]:
        """Give 1 for each training row, 2 for each validation row, 0 for the others."""
        roles = np.zeros(self.n_rows, np.uint8)
        roles[self.train] = 1
        roles[self.held_out] = 2
        if unseen is not None:
            roles[unseen & (roles == 2)] = 0
        return roles


def select(table: Path, fitted: FittedPreprocessing, *, validation: AnyValidation | None, seed: int) -> Selection:
    """Choose the rows: those that have every target and, with `drop_row`, every number; then divide them.

    With another dataset for validation no row is held out: see `select_held_out`.
    """
    usable, n_without_target, n_with_gaps = _usable(table, fitted)
    kept, n_without_side = np.flatnonzero(usable), 0
    first, second = np.arange(len(kept)), kept[:0]
    stratified = False
    match validation:
        case Validation(fraction=fraction, stratify=stratify):
            labels = _labels(table, fitted, kept) if stratify and fitted.task == "classification" else None
            stratified = labels is not None
            first, second = split_rows(len(kept), fraction=fraction, seed=seed, labels=labels)
        case GroupValidation(group_column=name) | TimeValidation(time_column=name) | ColumnValidation(column=name):
            values = read_columns(table, [name])[name].gather(kept)
            there = values.is_not_null().to_numpy()
            n_without_side = int(np.count_nonzero(~there))
            kept = kept[there]
            first, second = _divide(values.drop_nulls(), validation, seed)
    counts = n_without_target, n_with_gaps, n_without_side
    return Selection(len(usable), *counts, kept[first], kept[second], stratified)


def select_held_out(table: Path, fitted: FittedPreprocessing) -> Selection:
    """Choose the rows of another table, all of them for validation: those that could be trained on, if they were here."""
    usable, n_without_target, n_with_gaps = _usable(table, fitted)
    kept = np.flatnonzero(usable)
    return Selection(len(usable), n_without_target, n_with_gaps, 0, kept[:0], kept, stratified=False)


def _usable(table: Path, fitted: FittedPreprocessing) -> tuple[Mask, int, int]:
    """Tell which rows can be used, how many have no target, and how many of the others have gaps that leave them out."""
    targets = read_columns(table, [one.name for one in fitted.targets])
    without_target = _gaps(targets)
    gaps = np.zeros(targets.height, bool)
    if fitted.missing == Missing.DROP_ROW:
        for names in column_groups([one.name for one in fitted.numeric], targets.height):
            gaps |= _gaps(read_columns(table, names))
        gaps &= ~without_target
    return ~(without_target | gaps), int(np.count_nonzero(without_target)), int(np.count_nonzero(gaps))


def _labels(table: Path, fitted: FittedPreprocessing, kept: IntArray) -> Codes:
    name = fitted.targets[0].name
    values = read_columns(table, [name])[name].gather(kept)
    return places(values, class_values(values))


def _divide(
    values: pl.Series, validation: GroupValidation | TimeValidation | ColumnValidation, seed: int
) -> tuple[IntArray, IntArray]:
    """Divide rows by their values in a column, all of which are there."""
    match validation:
        case GroupValidation(fraction=fraction):
            return split_groups(values.rank("dense").to_numpy().astype(np.int64) - 1, fraction=fraction, seed=seed)
        case TimeValidation(fraction=fraction):
            return split_times(numbers(values), fraction=fraction)
        case ColumnValidation(values=wanted):
            marks = HELD_OUT if wanted is None else set().union(*map(spellings, wanted))
            found = [value for value in class_values(values) if _marks(value, marks, in_any_case=wanted is None)]
            return sides(places(values, found) >= 0)


def _plain(value: Scalar) -> Scalar:
    return plain_number(value) if isinstance(value, float) else value


def _marks(value: Scalar, marks: Container[str], *, in_any_case: bool) -> bool:
    text = as_text(value)
    return (text.strip().lower() if in_any_case else text) in marks


def open_table(table: Path) -> pl.LazyFrame:
    """Open a typed table; columns are read when they are asked for."""
    small = small_table(table)
    return pl.scan_ipc(table, glob=False) if small is None else small.lazy()


def read_columns(table: Path, names: Sequence[str]) -> pl.DataFrame:
    """Read some columns of a typed table."""
    small = small_table(table)
    return pl.scan_ipc(table, glob=False).select(names).collect() if small is None else small[names]


def numbers(values: pl.Series) -> Numbers:
    """Give a column as numbers, NaN where a value is missing; times as seconds since 1970."""
    if values.dtype == pl.Datetime:
        return values.dt.epoch("us").cast(pl.Float64).to_numpy() / 1e6
    return values.cast(pl.Float64).to_numpy()


def class_values(values: pl.Series) -> tuple[Scalar, ...]:
    """Give the different values of a target, sorted, as JSON values."""
    found = values.drop_nulls().unique().sort().to_list()
    return tuple(plain_number(value) if isinstance(value, float) else value for value in found)


def places(values: pl.Series, among: Sequence[Scalar]) -> Codes:
    """Give the place of each value among some, -1 if it is missing or not one of them.

    Numbers may be looked for among strings: they are then the text that stands for them.
    """
    if all(isinstance(one, str) for one in among):
        found = texts(values).cast(pl.Enum([str(one) for one in among]), strict=False).to_physical()
        return found.cast(pl.Int64).fill_null(-1).to_numpy()
    known, looked_for = np.array([float(one) for one in among]), values.cast(pl.Float64).to_numpy()
    order = np.argsort(known)
    nearest = order[np.minimum(np.searchsorted(known, looked_for, sorter=order), len(known) - 1)]
    return np.where(known[nearest] == looked_for, nearest, -1)


def texts(values: pl.Series) -> pl.Series:
    """Give values as text: `3`, `0.5`, `true`."""
    if values.dtype == pl.String:
        return values
    different = values.drop_nulls().unique()
    spelled = [as_text(_plain(value)) for value in different.to_list()]
    return values.replace_strict(different, pl.Series(spelled, dtype=pl.String), default=None)


def _gaps(frame: pl.DataFrame) -> Mask:
    if not frame.width:
        return np.zeros(frame.height, bool)
    return frame.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy()
