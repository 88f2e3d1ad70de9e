"""What kind each column is, decided over all of its rows, and its values in that kind."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl

from app.contract.datasets import Kind
from app.errors import Fault, InvalidRequest, UnreadableTable
from app.tables.faults import MAX_FAULTS, pointer, shown, unknown_column
from app.tables.source import Source
from app.tables.words import FALSE, ISO_TIME, MISSING, TRUE

MAX_ROWS_NAMED = 3


def _in_any_case(words: Iterable[str]) -> tuple[str, ...]:
    """Give every spelling: to look these up is ten times as fast as to lower every value."""
    spelled = {"".join(letters) for word in words for letters in product(*({c, c.upper()} for c in word))}
    return tuple(sorted(spelled))


_MISSING = _in_any_case(MISSING)
_TRUE = _in_any_case(TRUE)
_FALSE = _in_any_case(FALSE)
_WORDS = _TRUE + _FALSE


@dataclass(frozen=True)
class Typed:
    """A column's kind (None: categories or text, which its number of different values tells) and its typed values."""

    kind: Kind | None
    values: pl.Expr


def decide(source: Source, kinds: Mapping[str, Kind]) -> dict[str, Typed]:
    """Decide the kind of every column.

    `kinds` overrules what the values look like. A column of numbers of which one is not finite (`inf`, or too large for 64 bits,
    as 1e400 is) is refused: as numbers it cannot be trained on, and as text it would silently be no number.

    Raises:
        InvalidRequest: `kinds` names an unknown column, or a kind that the values do not have.
        UnreadableTable: A number is not finite.
    """
    faults = [unknown_column(pointer("kinds", name), name, source.names) for name in kinds if name not in source.names]
    found = _Found(source, faults)
    schema = source.frame.collect_schema()
    texts = [name for name in source.names if schema[name] == pl.String]
    typed = {name: _of_values(name, schema[name], source) for name in source.names if name not in texts}
    seen = _look(source, texts, kinds)
    for name in texts:
        wanted = kinds.get(name)
        typed[name] = _inferred(name, seen, found) if wanted is None else _overruled(name, wanted, seen, found)
    if faults:
        raise InvalidRequest("the kinds do not fit the values", faults[:MAX_FAULTS])
    if found.infinite:
        raise UnreadableTable("the table holds numbers that are not finite", found.infinite[:MAX_FAULTS])
    return {name: typed[name] for name in source.names}


def text_of(name: str) -> pl.Expr:
    """Give a text column with missing values as null, and the others as they were written."""
    column = pl.col(name)
    return pl.when(_is_missing(name)).then(None).otherwise(column)


def _stripped(name: str) -> pl.Expr:
    return pl.col(name).str.strip_chars()


def _is_missing(name: str) -> pl.Expr:
    return _stripped(name).is_in(_MISSING)


def _number(name: str) -> pl.Expr:
    return _stripped(name).cast(pl.Float64, strict=False).fill_nan(None)


def _truth(name: str) -> pl.Expr:
    word, number = _stripped(name), _number(name)
    true, false = word.is_in(_TRUE) | (number == 1), word.is_in(_FALSE) | (number == 0)
    return pl.when(true).then(True).when(false).then(False).otherwise(None)


def _time(name: str) -> pl.Expr:
    """Give the UTC time that an ISO 8601 date or time names; see `words.seconds` for the same of one text."""
    text = pl.when(_stripped(name).str.contains(ISO_TIME)).then(_stripped(name).str.replace(" ", "T", literal=True))
    zone = text.str.extract(r"T.*([+-]\d{2}:?\d{2})$").str.replace(":", "", literal=True)
    naive = text.str.replace(r"(T[^Z+-]*)(Z|[+-].*)$", "$1")
    length = naive.str.len_bytes()
    full = pl.when(length == 10).then(naive + "T00:00:00").when(length == 16).then(naive + ":00").otherwise(naive)
    minutes = zone.str.slice(1, 2).cast(pl.Int64) * 60 + zone.str.slice(3, 2).cast(pl.Int64)
    offset = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0)
    local = full.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    return local - pl.duration(minutes=offset)


@dataclass
class _Forms:
    """How many values of a text column, so far, are of which form."""

    present: int = 0
    numbers: int = 0
    infinite: int = 0
    zero_or_one: int = 0
    words: int = 0
    first: str | None = None  # the first value that is no number

    @property
    def is_text(self) -> bool:
        """Tell whether the column holds strings, whatever follows."""
        return self.first is not None and self.words == 0 and not self.first[:4].isdigit()

    def add(self, column: pl.Series) -> None:
        """Count the next values."""
        text = column.str.strip_chars()
        numbers = text.cast(pl.Float64, strict=False).to_numpy()
        others = np.isnan(numbers)
        n_others = int(np.count_nonzero(others))
        self.present += len(text) - n_others
        self.numbers += len(text) - n_others
        self.infinite += int(np.count_nonzero(np.isinf(numbers)))
        self.zero_or_one += int(np.count_nonzero((numbers == 0) | (numbers == 1)))
        if n_others:
            self._add_words(text.filter(pl.Series(others)))

    def _add_words(self, text: pl.Series) -> None:
        present = text.filter(~text.is_in(_MISSING))
        self.present += len(present)
        self.words += int(np.count_nonzero(present.is_in(_WORDS).to_numpy()))
        if self.first is None and len(present):
            self.first = present[0]


def _look(source: Source, names: Sequence[str], overruled: Collection[str]) -> dict[str, _Forms]:
    """Count over all rows which forms the values have, in one pass over the source."""
    forms = {name: _Forms() for name in names}
    if names:
        for batch in source.frame.select(names).collect_batches(maintain_order=True):
            for column in batch.iter_columns():
                one = forms[column.name]
                if column.name in overruled or not one.is_text:
                    one.add(column)
    return forms


@dataclass
class _Found:
    """The source, and the faults that were found in its values."""

    source: Source
    faults: list[Fault]

    def __post_init__(self) -> None:
        self.infinite: list[Fault] = []

    def where(self, name: str, wrong: pl.Expr) -> str:
        """Say which rows hold the wrong values, and the first few of them."""
        index = "row" if name != "row" else "row number"
        rows = (
            self.source.frame.select(pl.col(name)).with_row_index(index, 1).filter(wrong).head(MAX_ROWS_NAMED).collect()
        )
        return ", ".join(f"row {row} holds {shown(value)}" for row, value in rows.select(index, name).rows())

    def refuse_infinite(self, name: str) -> None:
        """Refuse numbers that are not finite."""
        where = self.where(name, _number(name).is_infinite())
        message = f"column {shown(name)}: {where}, which is not a finite number"
        self.infinite.append(Fault("", message, "not_finite"))

    def holds(self, name: str, kind: Kind, values: pl.Expr) -> None:
        """Refuse an override if a value is not of that kind."""
        wrong = self.where(name, values.is_null() & ~_is_missing(name) & pl.col(name).is_not_null())
        if wrong:
            self.faults.append(Fault(pointer("kinds", name), f"not {kind}: {wrong}", "impossible_kind"))


def _inferred(name: str, seen: Mapping[str, _Forms], found: _Found) -> Typed:
    counts = seen[name]
    quoted = name in found.source.quoted
    if not counts.present:
        return Typed(Kind.NUMERIC, pl.lit(None, pl.Float64))
    if counts.zero_or_one == counts.present and not quoted:
        return Typed(Kind.BOOLEAN, _number(name).cast(pl.UInt8))
    if counts.words == counts.present and not quoted:
        return Typed(Kind.BOOLEAN, _truth(name))
    if counts.numbers == counts.present and not quoted:
        if counts.infinite:
            found.refuse_infinite(name)
        return Typed(Kind.NUMERIC, _number(name))
    if counts.first is not None and counts.first[:4].isdigit() and not found.where(name, _is_no_time(name)):
        return Typed(Kind.DATETIME, _time(name))
    return Typed(None, text_of(name))


def _is_no_time(name: str) -> pl.Expr:
    return _time(name).is_null() & ~_is_missing(name)


def _overruled(name: str, kind: Kind, seen: Mapping[str, _Forms], found: _Found) -> Typed:
    counts = seen[name]
    if kind in {Kind.CATEGORICAL, Kind.TEXT}:
        return Typed(kind, text_of(name))
    if kind is Kind.BOOLEAN:
        values = _truth(name)
        if counts.zero_or_one == counts.present:
            values = _number(name).cast(pl.UInt8, strict=False)
        found.holds(name, kind, _truth(name))
        return Typed(kind, values)
    values = _number(name) if kind is Kind.NUMERIC else _time(name)
    found.holds(name, kind, values)
    if kind is Kind.NUMERIC and counts.infinite:
        found.refuse_infinite(name)
    return Typed(kind, values)


def _of_values(name: str, dtype: pl.DataType, source: Source) -> Typed:
    """Give the kind of a column that was sent as numbers or truth values."""
    if dtype == pl.Boolean:
        return Typed(Kind.BOOLEAN, pl.col(name))
    if dtype == pl.Null:
        return Typed(Kind.NUMERIC, pl.lit(None, pl.Float64))
    column = pl.col(name)
    only_bits = source.frame.select(column.drop_nulls().is_in([0.0, 1.0]).all()).collect().item()
    return Typed(Kind.BOOLEAN, column.cast(pl.UInt8)) if only_bits else Typed(Kind.NUMERIC, column)
