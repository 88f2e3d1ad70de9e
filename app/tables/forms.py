"""Which forms the values of a text column have, counted over all rows."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl

from app.tables.source import Source
from app.tables.times import form_of
from app.tables.words import FALSE, MISSING, MISSING_NUMBERS, TRUE

# A number with a comma before its decimals, and perhaps points between its thousands.
COMMA_NUMBER = r"^[+-]?(?:(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?$"
THOUSANDS = r"^[+-]?\d{1,3}(\.\d{3})+$"
EXACT = 2.0**53


def _in_any_case(words: Iterable[str]) -> tuple[str, ...]:
    """Give every spelling: to look these up is ten times as fast as to lower every value."""
    spelled = {"".join(letters) for word in words for letters in product(*({c, c.upper()} for c in word))}
    return tuple(sorted(spelled))


MISSINGS = _in_any_case(MISSING)
NUMBER_MISSINGS = _in_any_case(MISSING_NUMBERS)
TRUES = _in_any_case(TRUE)
FALSES = _in_any_case(FALSE)
WORDS = TRUES + FALSES


@dataclass
class Forms:
    """How many values of a text column, so far, are of which form.

    Args:
        may_have_commas: `1,5` may be a number.
    """

    may_have_commas: bool = False
    present: int = 0
    numbers: int = 0
    infinite: int = 0
    large: int = 0  # integers that would lose digits as numbers
    zero_or_one: int = 0
    commas: int = 0  # what is a number if commas come before decimals, and else is none
    decimals: int = 0  # of these, those with a comma
    points: int = 0  # numbers with a point before their decimals
    words: int = 0
    first: str | None = None  # the first value that is no number

    @property
    def is_text(self) -> bool:
        """Tell whether the column holds strings, whatever follows."""
        return self.first is not None and not self.words and not self.commas and form_of(self.first) is None

    @property
    def have_commas(self) -> bool:
        """Tell whether the decimals follow a comma in this column: in one value they do, and in none a point."""
        return self.decimals > 0 and self.points == 0

    @property
    def are_numbers(self) -> bool:
        """Tell whether every value is a number."""
        return self.present == self.numbers + (self.commas if self.have_commas else 0)

    @property
    def may_be_times(self) -> bool:
        """Tell whether every value may be a time, as the first is one and none is a number."""
        return self.first is not None and not self.numbers and not self.words and form_of(self.first) is not None

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
        large = np.isfinite(numbers) & (np.abs(numbers) > EXACT)
        if large.any():
            self.large += int(text.filter(pl.Series(large)).str.contains(r"^[+-]?\d+$").sum())
        if self.may_have_commas:
            pointed = text.str.contains(".", literal=True) & ~text.str.contains(THOUSANDS)
            self.points += int((pointed & ~pl.Series(others)).sum())
        if n_others:
            self._add_words(text.filter(pl.Series(others)))

    def _add_words(self, text: pl.Series) -> None:
        present = text.filter(~text.is_in(NUMBER_MISSINGS))
        self.present += len(present)
        self.words += int(np.count_nonzero(present.is_in(WORDS).to_numpy()))
        if self.may_have_commas:
            commas = present.filter(present.str.contains(COMMA_NUMBER))
            self.commas += len(commas)
            self.decimals += int(commas.str.contains(",", literal=True).sum())
            plain = commas.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
            self.infinite += int(plain.cast(pl.Float64, strict=False).is_infinite().sum())
        if self.first is None and len(present):
            self.first = present[0]


def look(source: Source, names: Sequence[str], overruled: Collection[str]) -> dict[str, Forms]:
    """Count over all rows which forms the values have, in one pass over the source."""
    forms = {name: Forms(source.may_have_commas) for name in names}
    if names:
        for batch in source.frame.select(names).collect_batches(maintain_order=True):
            for column in batch.iter_columns():
                one = forms[column.name]
                if column.name in overruled or not one.is_text:
                    one.add(column)
    return forms
