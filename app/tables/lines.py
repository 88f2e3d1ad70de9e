"""JSON lines: an object a line, of which the names are columns. Read line by line, so that memory does not grow with the file."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from app.contract.datasets import Kind, Notice
from app.errors import Fault, TooLarge, UnreadableTable
from app.settings import MIB
from app.tables.batches import streamed
from app.tables.encodings import Text
from app.tables.faults import MAX_FAULTS, listed, shown
from app.tables.names import usable_names
from app.tables.scratch import MakePath
from app.tables.source import (
    EXACT,
    NOT_TEXT,
    RepeatedKeyError,
    Source,
    is_finite,
    is_text,
    large_integers,
    no_such_number,
    unique,
)
from app.tables.summary import Limits
from app.tables.words import as_text

MAX_LINE_BYTES = 16 * MIB
CELLS_AT_ONCE = 200_000
BOM = b"\xef\xbb\xbf"
NESTED = frozenset({list, dict})

Object = dict[str, Any]


def lines_source(text: Text, kinds: Mapping[str, Kind], limits: Limits, make_path: MakePath) -> Source:
    """Read JSON lines: once to learn what the columns are, once to write them down.

    A name that a line lacks is missing there. Columns whose kind is given come as text. A column in which lists or objects occur
    is text without values, and a notice says so.

    Raises:
        UnreadableTable: A line is no JSON object, or a number is not finite.
        TooLarge: There are too many rows or columns.
    """
    seen, n_rows, faults = _look(text.path, limits)
    names, notices = usable_names(tuple(seen), faults)
    if faults:
        raise UnreadableTable("the JSON lines are not a table", faults[:MAX_FAULTS])
    columns = [_Column(old, new, _type(one, new in kinds)) for (old, one), new in zip(seen.items(), names, strict=True)]
    quoted = frozenset(one.name for one in columns if one.dtype == pl.String and one.name not in kinds)
    given = {one.name: Kind.TEXT for one in columns if one.dtype is None}
    found = [*notices]
    if given:
        message = (
            f"{listed(map(shown, given))} holds lists or objects: nothing of that can be trained on, so it is left out."
        )
        found.append(Notice(code="unusable_column", message=message))
    large = [new for one, new in zip(seen.values(), names, strict=True) if one.are_large and new not in kinds]
    if large:
        found.append(large_integers(large))
    table = make_path()
    _frame(text.path, columns).sink_ipc(table, engine="streaming")
    read = NOT_TEXT.model_copy(update={"encoding": text.encoding})
    frame = pl.scan_ipc(table, glob=False)
    return Source(frame, n_rows, names, quoted, given=given, read=read, notices=tuple(found))


@dataclass
class _Seen:
    """What values a name has had so far."""

    types: set[type] = field(default_factory=set)
    has_large: bool = False

    @property
    def are_large(self) -> bool:
        """Tell whether they are numbers of which an integer would lose digits."""
        return self.has_large and self.types - {type(None)} <= {int, float}


@dataclass(frozen=True)
class _Column:
    """A column: its name in the lines, its name in the table, and its type there (None: it is left out)."""

    key: str
    name: str
    dtype: type[pl.DataType] | None


def _bad(line: int, message: str, code: str) -> UnreadableTable:
    message = f"line {line}: {message}"
    return UnreadableTable(message, [Fault("", message, code)])


def _objects(path: Path) -> Iterator[tuple[int, Object]]:
    """Give each line's number and object; blank lines are passed over."""
    decode = json.JSONDecoder(object_pairs_hook=unique, parse_constant=no_such_number).decode
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise _bad(number, f"the line is longer than {MAX_LINE_BYTES // MIB} MiB", "not_json")
            line = line.removeprefix(BOM).strip() if number == 1 else line.strip()
            if not line:
                continue
            try:
                found = decode(line.decode())
            except RecursionError:
                raise _bad(number, "the JSON is nested too deeply", "nested_value") from None
            except RepeatedKeyError as error:
                raise _bad(number, f"the name {shown(error)} is given twice", "duplicate_column") from None
            except json.JSONDecodeError as error:
                raise _bad(number, f"column {error.colno}: the text is not JSON: {error.msg}", "not_json") from None
            except ValueError as error:  # NaN, Infinity, or thousands of digits
                raise _bad(number, str(error).split(";")[0], "not_finite") from None
            if not isinstance(found, dict):
                raise _bad(number, "an object is expected on each line", "wrong_shape")
            yield number, found


def _look(path: Path, limits: Limits) -> tuple[dict[str, _Seen], int, list[Fault]]:
    """Learn which columns there are, and what is wrong with their values."""
    seen: dict[str, _Seen] = {}
    faults: dict[str, Fault] = {}
    n_rows = 0
    for number, found in _objects(path):
        n_rows += 1
        for name, value in found.items():
            one = seen.get(name)
            if one is None:
                one = seen[name] = _Seen()
                limits.check_shape(n_rows, len(seen))
                if not is_text(name):
                    faults[name] = _fault(number, "a name holds half of a surrogate pair", "not_utf8")
            one.types.add(type(value))
            if value.__class__ is float:
                if not math.isfinite(value):
                    faults[name] = _fault(number, "a number is too large for 64-bit floating point", "not_finite")
            elif value.__class__ is int:
                if not -EXACT <= value <= EXACT:
                    one.has_large = True
                    if not is_finite(value):
                        faults[name] = _fault(number, "a number is too large for 64-bit floating point", "not_finite")
            elif value.__class__ is str and not value.isascii() and not is_text(value):
                faults[name] = _fault(number, "a string holds half of a surrogate pair", "not_utf8")
        if n_rows > limits.max_rows or n_rows * len(seen) > limits.max_cells:
            raise TooLarge(f"the table has more than {n_rows - 1:,} rows; this installation accepts no more")
    if not n_rows or not seen:
        message = "there are no rows" if not n_rows else "the objects are all empty"
        faults[""] = Fault("", message, "no_rows")
    return seen, n_rows, list(faults.values())


def _fault(line: int, message: str, code: str) -> Fault:
    return Fault("", f"line {line}: {message}", code)


def _type(seen: _Seen, is_given: bool) -> type[pl.DataType] | None:
    types = seen.types - {type(None)}
    if types & NESTED:
        return None
    if not types:
        return pl.Null
    if not is_given and types <= {int, float} and not seen.has_large:
        return pl.Float64
    return pl.Boolean if not is_given and types == {bool} else pl.String


def _frame(path: Path, columns: Sequence[_Column]) -> pl.LazyFrame:
    step = max(CELLS_AT_ONCE // len(columns), 1)

    def batches() -> Iterator[pl.DataFrame]:
        objects = (found for _, found in _objects(path))
        while rows := list(islice(objects, step)):
            yield pl.DataFrame([_series(column, rows) for column in columns])

    return streamed(batches, pl.Schema({one.name: pl.String if one.dtype is None else one.dtype for one in columns}))


def _series(column: _Column, rows: Sequence[Object]) -> pl.Series:
    if column.dtype is None:
        return pl.Series(column.name, [None] * len(rows), pl.String)
    values = [row.get(column.key) for row in rows]
    if column.dtype is pl.String:
        values = [None if value is None else as_text(value) for value in values]
    elif column.dtype is pl.Float64:
        values = [None if value is None else float(value) for value in values]
    return pl.Series(column.name, values, column.dtype)
