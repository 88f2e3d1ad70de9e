"""An upload as columns of text, numbers or truth values, before the kinds of its columns are known."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from app.contract.datasets import Kind, Notice, ReadAs
from app.errors import Fault, TooLarge, UnreadableTable
from app.settings import MIB
from app.tables.encodings import Text
from app.tables.faults import MAX_FAULTS, listed, pointer, shown
from app.tables.names import MAX_NAME_LENGTH
from app.tables.structure import examine
from app.tables.summary import Limits, ReadOptions
from app.tables.words import as_text

SMALL_BYTES = 32 * MIB
EXACT = 2**53
NOT_TEXT = ReadAs(encoding=None, separator=None, has_header=None, compression=None)


@dataclass(frozen=True)
class Source:
    """Columns as they were sent.

    Args:
        frame: Each column as String, Float64, Boolean, Datetime in UTC, or Null (no values at all).
        n_rows: Rows that the frame must turn out to have.
        quoted: String columns whose values are never numbers, as they were sent as strings where numbers could be.
        targets: Columns that the upload calls targets.
        given: Kinds that the types of columns say.
        may_have_commas: In text `1,5` may be a number.
        read: How the bytes were understood.
        notices: What the sender should know of that.
    """

    frame: pl.LazyFrame
    n_rows: int
    names: tuple[str, ...]
    quoted: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    given: Mapping[str, Kind] = field(default_factory=dict)
    may_have_commas: bool = False
    read: ReadAs = NOT_TEXT
    notices: tuple[Notice, ...] = ()


def csv_source(text: Text, limits: Limits, options: ReadOptions = ReadOptions()) -> Source:  # noqa: B008
    """Open a CSV file: every column as text. A small one is parsed once and kept in memory, a large one is streamed."""
    path = text.path
    structure = examine(path, limits, options)
    frame = pl.scan_csv(
        path,
        has_header=structure.has_header,
        separator=structure.delimiter,
        new_columns=structure.names,
        n_rows=structure.n_rows,
        infer_schema=False,
        empty_string_is_null=False,
        truncate_ragged_lines=False,
        glob=False,
    )
    if path.stat().st_size <= SMALL_BYTES:
        frame = frame.collect().lazy()
    read = ReadAs(
        encoding=text.encoding, separator=structure.delimiter, has_header=structure.has_header, compression=None
    )
    may_have_commas = structure.delimiter != ","
    return Source(
        frame, structure.n_rows, structure.names, may_have_commas=may_have_commas, read=read, notices=structure.notices
    )


def json_source(text: Text, kinds: Mapping[str, Kind], limits: Limits) -> Source:
    """Read `{"columns": {…}}`, `{"inputs": …, "targets": …}` or `[{…}, …]`. Columns whose kind is given come as text."""
    if text.path.stat().st_size > limits.max_json_bytes:
        raise TooLarge(f"JSON may have up to {limits.max_json_bytes:,} bytes; send a larger table as CSV or JSON lines")
    columns = _columns(_parse(text.path.read_bytes()), limits)
    _check_sizes(columns, limits)
    faults: list[Fault] = []
    series = [_series(columns, name, name in kinds, faults) for name in columns]
    _refuse(faults)
    frame = pl.DataFrame(series)
    quoted = frozenset(one.name for one in series if one.dtype == pl.String and one.name not in kinds)
    targets = frozenset(name for name in columns if isinstance(columns, _Split) and name.startswith("y"))
    large = [name for name in columns if name not in kinds and has_large_integers(columns[name])]
    notices = (large_integers(large),) if large else ()
    read = NOT_TEXT.model_copy(update={"encoding": text.encoding})
    return Source(frame.lazy(), frame.height, tuple(columns), quoted, targets, read=read, notices=notices)


def has_large_integers(values: Sequence[Any]) -> bool:
    """Tell whether some integer would lose digits as a number."""
    return any(type(value) is int and not -EXACT <= value <= EXACT for value in values)


def large_integers(names: Sequence[str]) -> Notice:
    """Say that columns of integers are text, because some are too large."""
    which = listed(shown(name) for name in names)
    message = f"The integers of {which} are text, as they are beyond 2**53 and would lose digits as numbers."
    return Notice(code="large_integers", message=message)


def _refuse(faults: Sequence[Fault]) -> None:
    """Refuse the document, if there are any faults in it."""
    if faults:
        raise UnreadableTable("the JSON is not a table", faults[:MAX_FAULTS])


class _Split(dict[str, list[Any]]):
    """Columns of a table that was sent as inputs and targets."""


class _Rows(dict[str, list[Any]]):
    """Columns of a table that was sent as a list of objects."""


def _at(columns: Mapping[str, Any], name: str, place: int | None = None) -> str:
    """Point at a column, or at a value in it."""
    row = () if place is None else (place,)
    if isinstance(columns, _Rows):
        return pointer(*row, name)
    if not isinstance(columns, _Split):
        return pointer("columns", name, *row)
    field = "targets" if name.startswith("y") else "inputs"
    return pointer(field) if place is None else pointer(field, place, name[1:])


class RepeatedKeyError(ValueError):
    """An object gives a name twice."""


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Make the pairs of a JSON object a dictionary; a name that comes twice is an error."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise RepeatedKeyError(next(name for name in names if names.count(name) > 1))
    return found


def no_such_number(word: str) -> float:
    """Refuse `NaN` and `Infinity`."""
    raise ValueError(f"{word} is not a number that JSON has")


def _bad(message: str, code: str, at: str = "") -> UnreadableTable:
    return UnreadableTable(message, [Fault(at, message, code)])


def _parse(content: bytes) -> dict[str, Any] | list[Any]:
    if not content.strip():
        raise _bad("the file is empty", "empty_file")
    try:
        document = json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique, parse_constant=no_such_number)
    except UnicodeDecodeError:
        raise _bad("the text is not UTF-8", "not_utf8") from None
    except RecursionError:
        raise _bad("the JSON is nested too deeply", "nested_value") from None
    except RepeatedKeyError as error:
        raise _bad(f"the name {shown(error)} is given twice", "duplicate_column") from None
    except json.JSONDecodeError as error:
        message = f"line {error.lineno}, column {error.colno}: the text is not JSON: {error.msg}"
        raise _bad(message, "not_json") from None
    except ValueError as error:  # NaN, Infinity, or thousands of digits
        raise _bad(str(error).split(";")[0], "not_finite") from None
    if not isinstance(document, dict | list):
        message = 'one of these is expected: {"columns": {…}}, {"inputs": […], "targets": […]}, [{…}, …]'
        raise _bad(message, "wrong_shape")
    return document


def _columns(document: dict[str, Any] | list[Any], limits: Limits) -> dict[str, list[Any]]:
    if isinstance(document, list):
        return _rows(document, limits)
    if set(document) == {"columns"}:
        return _named_columns(document["columns"])
    if set(document) == {"inputs", "targets"}:
        inputs = _matrix(document["inputs"], "inputs", "x", limits)
        targets = document["targets"]
        if isinstance(targets, list) and not any(isinstance(value, list) for value in targets):
            targets = [[value] for value in targets]
        split = _Split(inputs)
        split.update(_matrix(targets, "targets", "y", limits))
        return split
    unknown = sorted(set(document) - {"columns", "inputs", "targets"})
    faults = [
        Fault(pointer(name), "unknown field", "unknown_field", ("columns", "inputs", "targets"))
        for name in unknown[:MAX_FAULTS]
    ]
    message = 'either "columns", or "inputs" and "targets", and nothing else is expected'
    raise UnreadableTable(message, faults or [Fault("", message, "wrong_shape")])


def _named_columns(columns: object) -> dict[str, list[Any]]:
    if not isinstance(columns, dict) or not columns:
        raise _bad("an object with a list for each column is expected", "wrong_shape", "/columns")
    faults = []
    for name, values in columns.items():
        at = pointer("columns", name)
        if not isinstance(values, list):
            faults.append(Fault(at, "a list is expected", "wrong_type"))
        faults += _name_faults(name, at, "/columns")
    _refuse(faults)
    return columns


def _rows(rows: list[Any], limits: Limits) -> _Rows:
    """Give the columns of a list of objects; a name that an object lacks is missing there."""
    message = "an object is expected, with a value for each column"
    faults = [
        Fault(pointer(place), message, "wrong_shape") for place, row in enumerate(rows) if not isinstance(row, dict)
    ]
    _refuse(faults)
    first: dict[str, int] = {}  # in which row a name comes first
    for place, row in enumerate(rows):
        for name in row:
            first.setdefault(name, place)
    if not first:
        raise _bad("the objects are all empty" if rows else "there are no rows", "no_rows")
    limits.check_shape(len(rows), len(first))
    faults = [
        fault for name, place in first.items() for fault in _name_faults(name, pointer(place, name), pointer(place))
    ]
    _refuse(faults)
    return _Rows({name: [row.get(name) for row in rows] for name in first})


def _name_faults(name: str, at: str, around: str) -> Iterator[Fault]:
    """Say what is wrong with a column's name; `around` points at the object that has it."""
    if not name.strip():
        yield Fault(at, "a column needs a name", "empty_column_name")
    if len(name) > MAX_NAME_LENGTH:
        yield Fault(at, f"a name has at most {MAX_NAME_LENGTH} characters", "long_column_name")
    if not is_text(name):
        yield Fault(around, "a name holds half of a surrogate pair", "not_utf8")


def _matrix(rows: object, field: str, letter: str, limits: Limits) -> dict[str, list[Any]]:
    """Give the columns of a list of rows, named `x0`, `x1` and so on."""
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], list) or not rows[0]:
        raise _bad("a list of rows, each a list of values, is expected", "wrong_shape", pointer(field))
    width = len(rows[0])
    faults = [
        Fault(
            pointer(field, place),
            f"{len(row)} values, the first row has {width}" if isinstance(row, list) else "a list is expected",
            "ragged_row",
        )
        for place, row in enumerate(rows)
        if not isinstance(row, list) or len(row) != width
    ]
    if faults:
        raise UnreadableTable("the rows are not all of one length", faults[:MAX_FAULTS])
    if width > limits.max_columns:
        raise TooLarge(f"the rows have {width:,} values; at most {limits.max_columns:,} columns are accepted")
    return {f"{letter}{place}": list(values) for place, values in enumerate(zip(*rows, strict=True))}


def _check_sizes(columns: dict[str, list[Any]], limits: Limits) -> None:
    heights = {name: len(values) for name, values in columns.items()}
    n_rows = next(iter(heights.values()))
    faults = {
        _at(columns, name): f"{height} values, where the first column has {n_rows}"
        for name, height in heights.items()
        if height != n_rows
    }
    if faults:
        found = [Fault(at, message, "unequal_lengths") for at, message in faults.items()]
        raise UnreadableTable("the columns are not all of one length", found[:MAX_FAULTS])
    if not n_rows:
        raise _bad("the table has no rows", "no_rows")
    if len(columns) > limits.max_columns:
        raise TooLarge(f"the table has {len(columns):,} columns; at most {limits.max_columns:,} are accepted")
    if n_rows > min(limits.max_rows, limits.max_cells // len(columns)):
        raise TooLarge(f"the table has {n_rows:,} rows; this installation accepts fewer")


def _series(columns: Mapping[str, list[Any]], name: str, as_strings: bool, faults: list[Fault]) -> pl.Series:
    """Give the column, and add what is wrong with it."""
    values = columns[name]
    types = set(map(type, values)) - {type(None)}
    if not types <= {str, bool, int, float}:
        place = next(i for i, value in enumerate(values) if isinstance(value, list | dict))
        message = "a value may not be a list or an object"
        faults.append(Fault(_at(columns, name, place), message, "nested_value"))
        return pl.Series(name, [])
    if not types:
        return pl.Series(name, values, pl.Null)
    if types <= {int, float}:
        infinite = next((place for place, value in enumerate(values) if not is_finite(value)), None)
        if infinite is not None:
            message = "the number is too large for 64-bit floating point"
            faults.append(Fault(_at(columns, name, infinite), message, "not_finite"))
            return pl.Series(name, [])
        if not as_strings and not has_large_integers(values):
            return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    if types == {bool} and not as_strings:
        return pl.Series(name, values, pl.Boolean)
    halved = next((place for place, value in enumerate(values) if isinstance(value, str) and not is_text(value)), None)
    if halved is not None:
        faults.append(Fault(_at(columns, name, halved), "the string holds half of a surrogate pair", "not_utf8"))
        return pl.Series(name, [])
    return pl.Series(name, [None if value is None else as_text(value) for value in values], pl.String)


def is_finite(value: int | float | None) -> bool:
    """Tell whether a number fits into 64-bit floating point; null does."""
    try:
        return value is None or math.isfinite(value)
    except OverflowError:
        return False


def is_text(text: str) -> bool:
    """Tell whether a string is text: JSON can write half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
