"""Rows as a client sends them in JSON: their faults, and the raw numbers and categories in them. Imports no polars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.datasets import DateOrder, Kind
from app.errors import Fault, InvalidRequest
from app.tables.faults import MAX_ALLOWED, MAX_FAULTS, pointer, shown
from app.tables.words import as_text, is_missing_number, plain_number, seconds, truth

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]
PLAIN = frozenset({int, float})
NOTHING = frozenset({type(None)})


@dataclass(frozen=True)
class Field:
    """A number that a row must have: its name in the row, what it is, whether it may be null, and how dates are meant."""

    name: str | int
    kind: Kind
    nullable: bool
    date_order: DateOrder | None = None


@dataclass
class RowFaults:
    """The faults of the rows of one request, the first hundred."""

    where: str
    found: list[Fault] = field(default_factory=list)

    def add(self, row: int, name: str | int, message: str, code: str, allowed: tuple[str, ...] | None = None) -> None:
        """Add one."""
        if len(self.found) < MAX_FAULTS:
            self.found.append(Fault(pointer(self.where, row, name), message, code, allowed))

    def finish(self) -> None:
        """Raise them, if there are any."""
        if self.found:
            raise InvalidRequest(f"the {self.where} do not fit the model", self.found)

    def check_names(self, rows: Sequence[Mapping[str, Any]], names: tuple[str, ...]) -> None:
        """Every row has these columns and no others."""
        expected = frozenset(names)
        for place, row in enumerate(rows):
            if row.keys() != expected:
                for name in names:
                    if name not in row:
                        self.add(
                            place, name, "the column is lacking; give null if the value is missing", "lacking_column"
                        )
                for name in row.keys() - expected:
                    self.add(place, name, "the model has no such feature", "unknown_column", names[:MAX_ALLOWED])
            if len(self.found) >= MAX_FAULTS:
                break

    def check_widths(self, rows: Sequence[Sequence[Any]], width: int) -> None:
        """Every row of a matrix has one value for each feature."""
        for place, row in enumerate(rows):
            if len(row) != width and len(self.found) < MAX_FAULTS:
                message = f"{len(row)} values; the model has {width} features"
                self.found.append(Fault(pointer(self.where, place), message, "wrong_width"))

    def check_range(self, numbers: NDArray[Any], fields: Sequence[Field]) -> None:
        """Every number is still one after scaling, in the precision of the network."""
        if not np.isfinite(numbers).all():
            for row, column in np.argwhere(~np.isfinite(numbers))[:MAX_FAULTS].tolist():
                self.add(
                    row, fields[column].name, "the value is too far from those the model was trained on", "out_of_range"
                )
            self.finish()


def pick(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    """Give the values of some columns, row by row; null where a row lacks one."""
    return [[row.get(name) for name in names] for row in rows]


def to_numbers(values: Sequence[Sequence[Any]], fields: Sequence[Field], faults: RowFaults) -> Numbers:
    """Give the raw numbers, NaN where a value is missing; what is no number becomes a fault."""
    shape = (len(values), len(fields))
    types = set(map(type, chain.from_iterable(values)))
    plain = PLAIN | NOTHING if all(one.nullable for one in fields) else PLAIN
    if types <= plain and all(one.kind is Kind.NUMERIC for one in fields):
        try:
            numbers = np.array(values, np.float64).reshape(shape)
        except OverflowError:
            pass
        else:
            if not np.isinf(numbers).any():
                return numbers
    numbers = np.full(shape, np.nan)
    for place, row in enumerate(values):
        for column, (one, value) in enumerate(zip(fields, row, strict=True)):
            if value is not None and not (isinstance(value, str) and is_missing_number(value)):
                numbers[place, column] = _number(value, one, place, faults)
            elif not one.nullable:
                faults.add(
                    place,
                    one.name,
                    "the value is missing; the model was trained without missing values",
                    "missing_value",
                )
    return numbers


def _number(value: object, one: Field, row: int, faults: RowFaults) -> float:
    """Give the number that a value stands for."""
    number: float | None = None
    try:
        if one.kind is Kind.NUMERIC:
            number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        elif one.kind is Kind.DATETIME:
            number = seconds(value, one.date_order) if isinstance(value, str) else None
        elif isinstance(value, str):
            number = truth(value)
        elif isinstance(value, bool | int | float) and value in {0, 1}:
            number = float(value)
    except OverflowError:
        number = None
    if number is None or np.isinf(number):
        wanted = {Kind.NUMERIC: "a finite number", Kind.BOOLEAN: "true, false, 0 or 1"}.get(
            one.kind, "a time, as 2024-01-31 or 2024-01-31T10:00:00Z,"
        )
        faults.add(row, one.name, f"{wanted} is expected, or null", "wrong_type")
        return np.nan
    return number


def to_codes(values: Sequence[Any], name: str, places: Mapping[str, int], faults: RowFaults) -> Codes:
    """Give the place of each category, -1 if the value is missing or no category of the training rows."""
    if not set(map(type, values)) <= {str, type(None)}:
        values = [_category(value, places, row, name, faults) for row, value in enumerate(values)]
    return np.array([places.get(value, -1) for value in values], np.int64)


def _category(value: object, places: Mapping[str, int], row: int, name: str, faults: RowFaults) -> str | None:
    """Give the text of a category: a number may be sent as one."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, bool | int | float):
        faults.add(row, name, f"a string is expected, or null; not {shown(value)}", "wrong_type")
        return None
    text = as_text(value)
    return text if text in places or not isinstance(value, float) else as_text(plain_number(value))
