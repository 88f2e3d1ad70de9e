"""What kind each column is, decided over all of its rows, and its values in that kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from app.contract.datasets import DateOrder, Kind, Notice
from app.errors import Fault, InvalidRequest, UnreadableTable
from app.tables.batches import aggregated
from app.tables.faults import MAX_FAULTS, listed, pointer, shown, unknown_column
from app.tables.forms import COMMA_NUMBER, FALSES, MISSINGS, NUMBER_MISSINGS, TRUES, Forms, look
from app.tables.moments import day_of, month_or_day, stripped, time_of
from app.tables.source import Source, large_integers
from app.tables.times import Form, form_of

MAX_ROWS_NAMED = 3
ISO_DAY_BYTES = len("2024-01-31")


@dataclass(frozen=True)
class Typed:
    """A column's kind (None: categories or text, which its number of different values tells) and its typed values.

    Args:
        date_order: What comes first in dates of numbers alone.
    """

    kind: Kind | None
    values: pl.Expr
    date_order: DateOrder | None = None


def decide(source: Source, kinds: Mapping[str, Kind]) -> tuple[dict[str, Typed], tuple[Notice, ...]]:
    """Decide the kind of every column, and say what is worth knowing of that.

    `kinds` overrules what the values look like. A column of numbers of which one is not finite (`inf`, or too large for 64 bits,
    as 1e400 is) is refused: as numbers it cannot be trained on, and as text it would silently be no number. Integers beyond
    2**53 would lose digits as numbers, so their column is text.

    Raises:
        InvalidRequest: `kinds` names an unknown column, or a kind that the values do not have.
        UnreadableTable: A number is not finite.
    """
    faults = [unknown_column(pointer("kinds", name), name, source.names) for name in kinds if name not in source.names]
    found = _Found(source, faults)
    schema = source.frame.collect_schema()
    texts = [name for name in source.names if schema[name] == pl.String and name not in source.given]
    seen = look(source, texts, kinds)
    looks = _look_at_numbers(source, schema)
    others = [name for name in source.names if name not in seen]
    typed = {name: _of_values(name, schema[name], found, kinds.get(name), looks) for name in others}
    firsts = {name: seen[name].first for name in texts if name not in kinds and seen[name].may_be_times}
    times = found.whole_times(firsts)
    for name in texts:
        wanted = kinds.get(name)
        typed[name] = _inferred(name, seen, found, times) if wanted is None else _overruled(name, wanted, seen, found)
    if faults:
        raise InvalidRequest("the kinds do not fit the values", faults[:MAX_FAULTS])
    if found.infinite:
        raise UnreadableTable("the table holds numbers that are not finite", found.infinite[:MAX_FAULTS])
    return {name: typed[name] for name in source.names}, found.notices()


def text_of(name: str) -> pl.Expr:
    """Give a text column with missing values as null, and the others as they were written."""
    return pl.when(stripped(name).is_in(MISSINGS)).then(None).otherwise(pl.col(name))


def _is_missing(name: str) -> pl.Expr:
    return stripped(name).is_in(NUMBER_MISSINGS)


def _number(name: str, *, has_comma: bool = False) -> pl.Expr:
    text = stripped(name)
    if has_comma:
        text = pl.when(text.str.contains(COMMA_NUMBER)).then(
            text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        )
    return text.cast(pl.Float64, strict=False).fill_nan(None)


def _truth(name: str) -> pl.Expr:
    word, number = stripped(name), _number(name)
    true, false = word.is_in(TRUES) | (number == 1), word.is_in(FALSES) | (number == 0)
    return pl.when(true).then(True).when(false).then(False).otherwise(None)


@dataclass
class _Found:
    """The source, and the faults that were found in its values."""

    source: Source
    faults: list[Fault]
    infinite: list[Fault] = field(default_factory=list)
    large: list[str] = field(default_factory=list)  # columns of integers that would lose digits as numbers
    orders: dict[str, DateOrder] = field(default_factory=dict)  # of dates of numbers alone
    ambiguous: list[str] = field(default_factory=list)  # columns of dates of which the month cannot be told

    def where(self, name: str, wrong: pl.Expr) -> str:
        """Say which rows hold the wrong values, and the first few of them."""
        index = "row" if name != "row" else "row number"
        rows = (
            self.source.frame.select(pl.col(name)).with_row_index(index, 1).filter(wrong).head(MAX_ROWS_NAMED).collect()
        )
        return ", ".join(f"row {row} holds {shown(value)}" for row, value in rows.select(index, name).rows())

    def refuse_infinite(self, name: str, number: pl.Expr) -> None:
        """Refuse numbers that are not finite."""
        where = self.where(name, number.is_infinite())
        message = f"column {shown(name)}: {where}, which is not a finite number"
        self.infinite.append(Fault("", message, "not_finite"))

    def holds(self, name: str, kind: Kind, values: pl.Expr) -> None:
        """Refuse an override if a value is not of that kind."""
        wrong = self.where(name, values.is_null() & ~_is_missing(name) & pl.col(name).is_not_null())
        if wrong:
            hint = "; whether the day or the month is first cannot be told" if name in self.ambiguous else ""
            self.faults.append(Fault(pointer("kinds", name), f"not {kind}: {wrong}{hint}", "impossible_kind"))

    def notices(self) -> tuple[Notice, ...]:
        """Say what was decided though it might be meant otherwise."""
        found = []
        if self.large:
            found.append(large_integers(self.large))
        if self.ambiguous:
            which = listed(shown(name) for name in self.ambiguous)
            message = (
                f"The dates of {which} are not read as such: whether the day or the month is first cannot be told."
            )
            found.append(Notice(code="ambiguous_dates", message=message))
        return tuple(found)

    def times(self, firsts: Mapping[str, str | None]) -> dict[str, pl.Expr]:
        """Give columns as times, each in the form of its first value; null where the month cannot be told."""
        frame = self.source.frame
        forms = {name: form_of(first or "") or Form.ISO for name, first in firsts.items()}
        iso = [name for name, form in forms.items() if form is Form.ISO]
        longest = aggregated(frame, [stripped(name).str.len_bytes().max() for name in iso])
        short = {name for name, length in zip(iso, longest, strict=True) if (length or 0) <= ISO_DAY_BYTES}
        slashed = [name for name, form in forms.items() if form is Form.DAY_FIRST]
        largest = aggregated(frame, [one for name in slashed for one in month_or_day(name)])
        for name, first, second in zip(slashed, largest[::2], largest[1::2], strict=True):
            if (second or 0) > 12 >= (first or 0):
                forms[name] = Form.MONTH_FIRST
                self.orders[name] = DateOrder.MONTH_FIRST
            elif (first or 0) <= 12:
                self.ambiguous.append(name)
            else:
                self.orders[name] = DateOrder.DAY_FIRST
        return {
            name: pl.lit(None, pl.Datetime("us"))
            if name in self.ambiguous
            else day_of(name)
            if name in short
            else time_of(name, form)
            for name, form in forms.items()
        }

    def whole_times(self, firsts: Mapping[str, str | None]) -> dict[str, pl.Expr]:
        """Give the columns of which every value is a time."""
        times = self.times(firsts)
        wrong = [(time.is_null() & ~_is_missing(name)).sum() for name, time in times.items()]
        n_wrong = dict(zip(times, aggregated(self.source.frame, wrong), strict=True))
        return {name: time for name, time in times.items() if not n_wrong[name]}


def _inferred(name: str, seen: Mapping[str, Forms], found: _Found, times: Mapping[str, pl.Expr]) -> Typed:
    counts = seen[name]
    if not counts.present:
        return Typed(Kind.NUMERIC, pl.lit(None, pl.Float64))
    if name not in found.source.quoted:
        plain = _plain(name, counts, found)
        if plain is not None:
            return plain
    if name in times:
        return Typed(Kind.DATETIME, times[name], found.orders.get(name))
    return Typed(None, text_of(name))


def _plain(name: str, counts: Forms, found: _Found) -> Typed | None:
    """Type a column of truth values or numbers."""
    if counts.zero_or_one == counts.present:
        return Typed(Kind.BOOLEAN, _number(name).cast(pl.UInt8))
    if counts.words == counts.present:
        return Typed(Kind.BOOLEAN, _truth(name))
    if not counts.are_numbers:
        return None
    if counts.large:
        found.large.append(name)
        return Typed(None, text_of(name))
    number = _number(name, has_comma=counts.have_commas)
    if counts.infinite:
        found.refuse_infinite(name, number)
    return Typed(Kind.NUMERIC, number)


def _overruled(name: str, kind: Kind, seen: Mapping[str, Forms], found: _Found) -> Typed:
    counts = seen[name]
    if kind in {Kind.CATEGORICAL, Kind.TEXT}:
        return Typed(kind, text_of(name))
    if kind is Kind.BOOLEAN:
        values = _truth(name)
        if counts.zero_or_one == counts.present:
            values = _number(name).cast(pl.UInt8, strict=False)
        found.holds(name, kind, _truth(name))
        return Typed(kind, values)
    is_number = kind is Kind.NUMERIC
    values = _number(name, has_comma=counts.have_commas) if is_number else found.times({name: counts.first})[name]
    found.holds(name, kind, values)
    if is_number and counts.infinite:
        found.refuse_infinite(name, values)
    return Typed(kind, values, None if is_number else found.orders.get(name))


def _look_at_numbers(source: Source, schema: pl.Schema) -> dict[str, tuple[bool, bool]]:
    """Tell of each column that was sent as numbers whether it holds 0 and 1 only, and whether one is infinite."""
    names = [name for name in source.names if schema[name] == pl.Float64]
    if not names:
        return {}
    bits = [pl.col(name).drop_nulls().is_in([0.0, 1.0]).all() for name in names]
    infinite = [pl.col(name).is_infinite().any() for name in names]
    looks = aggregated(source.frame, bits + infinite)
    return dict(zip(names, zip(looks[: len(names)], looks[len(names) :], strict=True), strict=True))


def _of_values(
    name: str, dtype: pl.DataType, found: _Found, wanted: Kind | None, looks: Mapping[str, tuple[bool, bool]]
) -> Typed:
    """Give the kind of a column that was sent as numbers, times or truth values, or whose kind its type says."""
    column = pl.col(name)
    if name in found.source.given:
        if wanted not in {None, found.source.given[name]}:
            message = f"not {wanted}: the column holds values that are left out"
            found.faults.append(Fault(pointer("kinds", name), message, "impossible_kind"))
        return Typed(found.source.given[name], text_of(name) if dtype == pl.String else pl.lit(None, pl.String))
    if dtype == pl.Boolean:
        return Typed(Kind.BOOLEAN, column)
    if dtype == pl.Null:
        return Typed(Kind.NUMERIC, pl.lit(None, pl.Float64))
    if isinstance(dtype, pl.Datetime):
        return Typed(Kind.DATETIME, column)
    only_bits, is_infinite = looks[name]
    if is_infinite:
        found.refuse_infinite(name, column)
    return Typed(Kind.BOOLEAN, column.cast(pl.UInt8)) if only_bits and wanted is None else Typed(Kind.NUMERIC, column)
