"""What was fitted on the training rows, and all that a prediction needs of it. Imports no polars."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from sys import float_info
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from app.contract.datasets import DateOrder, Kind
from app.errors import Fault, InvalidRequest
from app.tables.calendar import TREND, circle, place_in
from app.tables.faults import listed
from app.tables.rows import Field, RowFaults, pick, to_codes, to_numbers
from app.tables.words import Scalar, as_text

Array = NDArray[Any]
Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class FittedInput:
    """A feature column, and how it becomes inputs.

    A number becomes `(number * unit - offset) / scale`; a missing one is first replaced by `fill` (None, in models of old: it is
    refused). `unit` is 1 but for numbers so large that their differences would overflow. A time is the number of its seconds
    since 1970 (`date_order` says how `01/02/2024` is meant), and then, for each of its cyclic `parts`, a sine and a cosine
    (both 0 if it is missing). A category becomes one input a category (`one_hot`; all 0 if it is missing or was not seen) or
    its place (`ordinal`; then -1).
    """

    name: str
    kind: Kind
    encoding: str
    offset: float = 0.0
    scale: float = 1.0
    fill: float | None = None
    categories: tuple[str, ...] | None = None
    unit: float = 1.0
    parts: tuple[str, ...] = ()
    date_order: DateOrder | None = None

    @property
    def cycles(self) -> tuple[str, ...]:
        """The cyclic parts of a time; each is two inputs, after the first."""
        return tuple(part for part in self.parts if part != TREND)

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        if self.encoding == "one_hot" and self.categories is not None:
            return len(self.categories)
        return 1 + 2 * len(self.cycles)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of its inputs: `island=Biscoe`, `when.time`, `when.month_sin`."""
        if self.encoding == "one_hot" and self.categories is not None:
            return tuple(f"{self.name}={category}" for category in self.categories)
        if not self.parts:
            return (self.name,)
        points = (f"{self.name}.{cycle}_{axis}" for cycle in self.cycles for axis in ("sin", "cos"))
        return (f"{self.name}.{TREND}", *points)


@dataclass(frozen=True)
class FittedTarget:
    """A target column: its classes as JSON values in the order of the outputs, or unit, offset and scale of its number."""

    name: str
    kind: Kind
    classes: tuple[Scalar, ...] | None = None
    offset: float = 0.0
    scale: float = 1.0
    unit: float = 1.0


@dataclass(frozen=True)
class FittedPreprocessing:
    """How rows become inputs, and outputs become values.

    Args:
        missing: What stands in for a missing number (`mean`, …); `drop_row` leaves such rows out of the training.
        one_output: Two classes are one output, which is 1 for the second.
        sample_weight: The column that says how much a row counts; only training reads it.
        class_weights: How much a row of each class counts.
    """

    task: Literal["classification", "regression"]
    inputs: tuple[FittedInput, ...]
    targets: tuple[FittedTarget, ...]
    missing: str
    one_output: bool = False
    sample_weight: str | None = None
    class_weights: tuple[float, ...] | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """Name of each input of the network."""
        return tuple(name for one in self.inputs for name in one.input_names)

    @cached_property
    def n_inputs(self) -> int:
        """Width of the network's input."""
        return sum(one.width for one in self.inputs)

    @property
    def n_outputs(self) -> int:
        """Width of the network's output."""
        if self.task == "regression":
            return len(self.targets)
        return 1 if self.one_output else len(self.classes or ())

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes as text, in the order of the outputs; None for a regression."""
        values = self.targets[0].classes
        return None if values is None else tuple(as_text(value) for value in values)

    def to_json(self) -> dict[str, Any]:
        """Give it as a JSON object; floats survive to the bit."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Make it again from what `to_json` gave."""
        inputs = tuple(
            FittedInput(
                **{
                    **one,
                    "kind": Kind(one["kind"]),
                    "categories": _tuple(one["categories"]),
                    "parts": tuple(one.get("parts", ())),
                    "date_order": DateOrder(one["date_order"]) if one.get("date_order") else None,
                }
            )
            for one in data["inputs"]
        )
        targets = tuple(
            FittedTarget(**{**one, "kind": Kind(one["kind"]), "classes": _tuple(one["classes"])})
            for one in data["targets"]
        )
        weights = _tuple(data["class_weights"])
        return cls(**{**data, "inputs": inputs, "targets": targets, "class_weights": weights})

    def encode_rows(self, rows: Sequence[Mapping[str, Any]], dtype: DTypeLike) -> Array:
        """Give the inputs of rows as a client sends them in JSON.

        Raises:
            InvalidRequest: Columns are lacking or unknown, or values are of the wrong type; `/rows/3/bill_length_mm`.
        """
        faults = RowFaults("rows")
        faults.check_names(rows, self.feature_names)
        numbers = to_numbers(pick(rows, [one.name for one in self.numeric]), self._fields, faults)
        codes = [
            to_codes([row.get(one.name) for row in rows], one.name, places, faults)
            for one, places in zip(self.categorical, self._places, strict=True)
        ]
        faults.finish()
        encoded = self.assemble(numbers, codes, dtype)
        faults.check_range(encoded[:, self._number_columns], self._fields)
        return encoded

    def encode_inputs(self, inputs: Sequence[Sequence[float | None]], dtype: DTypeLike = np.float32) -> Array:
        """Give the inputs of a matrix of raw values, its columns being the features in their order.

        Raises:
            InvalidRequest: A feature is neither numeric nor boolean, or the matrix has a fault; `/inputs/3/1`.
        """
        others = [one.name for one in self.inputs if one.kind not in {Kind.NUMERIC, Kind.BOOLEAN}]
        if others:
            message = f"send rows instead: {listed(others)} cannot be sent as plain numbers"
            raise InvalidRequest(message, [Fault("/inputs", message, "not_numeric")])
        faults = RowFaults("inputs")
        faults.check_widths(inputs, len(self.inputs))
        faults.finish()
        fields = [replace(one, name=place) for place, one in enumerate(self._fields)]
        numbers = to_numbers(inputs, fields, faults)
        faults.finish()
        encoded = self.assemble(numbers, [], dtype)
        faults.check_range(encoded, fields)
        return encoded

    def assemble(self, numbers: Numbers, codes: Sequence[Codes], dtype: DTypeLike) -> Array:
        """Give the inputs of raw numbers (NaN: missing) and places of categories (-1: none). Training and prediction share it."""
        encoded = np.zeros((len(numbers), self.n_inputs), dtype)
        if self.numeric:
            offset, scale, fill, unit = self._affine
            with np.errstate(over="ignore", under="ignore"):
                known = np.where(np.isnan(numbers), fill, numbers)
                if unit is not None:
                    known *= unit
                encoded[:, self._number_columns] = (known - offset) / scale
        for column, start, cycle in self._cycle_columns:
            encoded[:, start : start + 2] = circle(cycle)[place_in(cycle, numbers[:, column])]
        for one, start, places in zip(self.categorical, self._code_columns, codes, strict=True):
            if one.encoding == "ordinal":
                encoded[:, start] = places
            else:
                rows = np.flatnonzero(places >= 0)
                encoded[rows, start + places[rows]] = 1
        return encoded

    def decode(self, outputs: Array, *, probabilities: bool) -> list[dict[str, Any]]:
        """Give what the outputs of the network say, in the words and units of the dataset.

        Args:
            probabilities: The outputs are probabilities: a softmax, or one sigmoid.
        """
        if self.task == "regression":
            return self._decode_numbers(outputs)
        values, labels = self.targets[0].classes or (), self.classes or ()
        outputs = np.asarray(outputs, np.float64)
        if self.one_output:
            outputs = np.column_stack([1 - outputs[:, 0], outputs[:, 0]])
        best = outputs.argmax(axis=1).tolist()
        if not probabilities:
            return [{"value": values[place]} for place in best]
        return [
            {"value": values[place], "probabilities": dict(zip(labels, row, strict=True))}
            for place, row in zip(best, outputs.tolist(), strict=True)
        ]

    def _decode_numbers(self, outputs: Array) -> list[dict[str, Any]]:
        offsets = np.array([one.offset for one in self.targets])
        scales = np.array([one.scale for one in self.targets])
        units = np.array([one.unit for one in self.targets])
        with np.errstate(over="ignore"):
            values = (np.asarray(outputs, np.float64) * scales + offsets) / units
        values = np.clip(values, -float_info.max, float_info.max)
        rows = [[value if np.isfinite(value) else None for value in row] for row in values.tolist()]
        return [{"value": row[0] if len(row) == 1 else row} for row in rows]

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns that a row must have."""
        return tuple(one.name for one in self.inputs)

    @cached_property
    def numeric(self) -> tuple[FittedInput, ...]:
        """The features that are numbers."""
        return tuple(one for one in self.inputs if one.categories is None)

    @cached_property
    def categorical(self) -> tuple[FittedInput, ...]:
        """The features that are categories."""
        return tuple(one for one in self.inputs if one.categories is not None)

    @cached_property
    def _fields(self) -> tuple[Field, ...]:
        return tuple(Field(one.name, one.kind, one.fill is not None, one.date_order) for one in self.numeric)

    @cached_property
    def _starts(self) -> dict[str, int]:
        ends = np.cumsum([one.width for one in self.inputs]).tolist()
        return {one.name: end - one.width for one, end in zip(self.inputs, ends, strict=True)}

    @cached_property
    def _number_columns(self) -> Any:
        columns = [self._starts[one.name] for one in self.numeric]
        first = columns[0] if columns else 0
        alone = columns == list(range(first, first + len(columns)))
        return slice(first, first + len(columns)) if alone else np.array(columns, np.intp)

    @cached_property
    def _code_columns(self) -> tuple[int, ...]:
        return tuple(self._starts[one.name] for one in self.categorical)

    @cached_property
    def _places(self) -> tuple[dict[str, int], ...]:
        return tuple({text: place for place, text in enumerate(one.categories or ())} for one in self.categorical)

    @cached_property
    def _cycle_columns(self) -> tuple[tuple[int, int, str], ...]:
        """Of each cycle: the place of its time among the numbers, and of its sine among the inputs."""
        return tuple(
            (column, self._starts[one.name] + 1 + 2 * i, cycle)
            for column, one in enumerate(self.numeric)
            for i, cycle in enumerate(one.cycles)
        )

    @cached_property
    def _affine(self) -> tuple[Numbers, Numbers, Numbers, Numbers | None]:
        units = np.array([one.unit for one in self.numeric])
        return (
            np.array([one.offset for one in self.numeric]),
            np.array([one.scale for one in self.numeric]),
            np.array([np.nan if one.fill is None else one.fill for one in self.numeric]),
            None if (units == 1.0).all() else units,
        )


@dataclass(frozen=True)
class Fitted:
    """What fitting gave: the preprocessing, how many rows are on each side, and warnings as (code, message).

    Args:
        class_counts: Training rows of each class, in the order of the classes; None for a regression.
    """

    preprocessing: FittedPreprocessing
    n_train: int
    n_validation: int
    warnings: tuple[tuple[str, str], ...]
    class_counts: tuple[int, ...] | None = None


def _tuple(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
