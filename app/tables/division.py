"""The tables of a training, and which of their rows are on which side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.contract.preprocessing import AnyValidation
from app.errors import Fault, InvalidRequest
from app.tables.fitted import FittedPreprocessing
from app.tables.selection import Selection, places, read_columns, select, select_held_out


@dataclass(frozen=True)
class Part:
    """A table, and which of its rows are on which side."""

    table: Path
    selection: Selection

    def unseen(self, fitted: FittedPreprocessing) -> NDArray[np.bool_] | None:
        """Tell which rows are of a class that no training row has; None if there can be none."""
        if fitted.task == "regression" or self.selection.stratified or not self.selection.n_validation:
            return None
        target = fitted.targets[0]
        values = read_columns(self.table, [target.name])[target.name]
        return places(values, target.classes or ()) < 0

    def n_unseen(self, fitted: FittedPreprocessing) -> int:
        """Count the validation rows of such a class, which are left out."""
        unseen = self.unseen(fitted)
        return 0 if unseen is None else int(np.count_nonzero(unseen[self.selection.held_out]))


@dataclass(frozen=True)
class Division:
    """The rows of a training: those of one table, or of one to learn from and another for validation."""

    parts: tuple[Part, ...]

    @classmethod
    def choose(
        cls,
        table: Path,
        validation_table: Path | None,
        fitted: FittedPreprocessing,
        validation: AnyValidation | None,
        seed: int,
    ) -> Self:
        """Choose them: the same for the same seed."""
        first = Part(table, select(table, fitted, validation=validation, seed=seed))
        if validation_table is None:
            return cls((first,))
        return cls((first, Part(validation_table, select_held_out(validation_table, fitted))))

    @property
    def selection(self) -> Selection:
        """The rows of the table to learn from."""
        return self.parts[0].selection

    @property
    def n_validation(self) -> int:
        """Rows that are held out."""
        return sum(one.selection.n_validation for one in self.parts)

    def warnings(self) -> list[tuple[str, str]]:
        """Say which rows are left out."""
        found = self.selection.warnings()
        for one in self.parts[1:]:
            found += [(code, f"validation dataset: {message}") for code, message in one.selection.warnings()]
        return found

    def check(self, validation: AnyValidation | None) -> None:
        """See that there is a row on each side."""
        selection, wanted = self.selection, 1 if validation is None else 2
        n_kept = selection.n_train + self.n_validation
        if n_kept < wanted:
            message = f"{n_kept} of {selection.n_rows:,} rows can be used; at least {wanted} are needed"
            raise InvalidRequest(message, [Fault("/dataset_id", message, "too_few_rows")])
        for side, n in (("training", selection.n_train), ("validation", self.n_validation)):
            if not n and (side == "training" or validation is not None):
                message = f"no row is left for {side} by this division of the rows"
                raise InvalidRequest(message, [Fault(_place(validation), message, f"no_{side}_rows")])


def _place(validation: AnyValidation | None) -> str:
    fields: Mapping[str, str] = {
        "GroupValidation": "/group_column",
        "TimeValidation": "/time_column",
        "ColumnValidation": "/column",
        "DatasetValidation": "/dataset_id",
    }
    return "/validation" + fields.get(type(validation).__name__, "")
