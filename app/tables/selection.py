"""Which rows of a table are used, and on which side; and its columns as NumPy arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.contract.preprocessing import Missing, Validation
from app.tables.fitted import Codes, FittedPreprocessing, Numbers
from app.tables.reading import column_groups
from app.tables.split import IntArray, split_rows
from app.tables.words import Scalar, plain_number

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Selection:
    """The rows of a training: row numbers of the table, sorted."""

    n_rows: int
    n_without_target: int
    n_with_gaps: int
    train: IntArray
    held_out: IntArray
    validation: Validation | None
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
        return found

    def roles(self, *, unseen: Mask | None) -> NDArray[np.uint8]:
        """Give 1 for each training row, 2 for each validation row, 0 for the others."""
        roles = np.zeros(self.n_rows, np.uint8)
        roles[self.train] = 1
        roles[self.held_out] = 2
        if unseen is not None:
            roles[unseen & (roles == 2)] = 0
        return roles


def select(table: Path, fitted: FittedPreprocessing, *, validation: Validation | None, seed: int) -> Selection:
    """Choose the rows: those that have every target and, with `drop_row`, every number; then split them."""
    frame = open_table(table)
    targets = frame.select(one.name for one in fitted.targets).collect()
    without_target = _gaps(targets)
    gaps = np.zeros(targets.height, bool)
    if fitted.missing == Missing.DROP_ROW:
        for names in column_groups([one.name for one in fitted.numeric], targets.height):
            gaps |= _gaps(frame.select(names).collect())
        gaps &= ~without_target
    kept = np.flatnonzero(~(without_target | gaps))
    labels = None
    if validation is not None and validation.stratify and fitted.task == "classification":
        values = targets.to_series().gather(kept)
        labels = places(values, class_values(values))
    train, held_out = kept, kept[:0]
    if validation is not None:
        first, second = split_rows(len(kept), fraction=validation.fraction, seed=seed, labels=labels)
        train, held_out = kept[first], kept[second]
    counts = int(np.count_nonzero(without_target)), int(np.count_nonzero(gaps))
    return Selection(targets.height, *counts, train, held_out, validation, labels is not None)


def open_table(table: Path) -> pl.LazyFrame:
    """Open a typed table; columns are read when they are asked for."""
    return pl.scan_ipc(table, glob=False)


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
    """Give the place of each value among some, -1 if it is missing or not one of them."""
    if values.dtype == pl.String:
        found = values.cast(pl.Enum([str(one) for one in among]), strict=False).to_physical()
    else:
        known = pl.Series(among, dtype=values.dtype)
        found = values.replace_strict(known, pl.Series(range(len(among)), dtype=pl.Int64), default=None)
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def _gaps(frame: pl.DataFrame) -> Mask:
    if not frame.width:
        return np.zeros(frame.height, bool)
    return frame.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy()
