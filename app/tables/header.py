"""The first lines of a CSV file: which character separates, and whether the first line names the columns."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.contract.datasets import Header, Notice
from app.errors import Fault, TooLarge, UnreadableTable
from app.tables.names import place_name, usable_names
from app.tables.summary import Limits, ReadOptions
from app.tables.words import MISSING_NUMBERS, seconds

SAMPLE_BYTES = 2**20
SAMPLE_RECORDS = 100
DELIMITERS = (",", ";", "\t", "|")
RARE_DELIMITERS = ("\x01", "\x1f", "^", "~")  # looked for where none of the others is
NO_DELIMITERS = frozenset('"\r\n\0')
DECIMAL_COMMA = re.compile(rb"(?<=\d),(?=\d)")
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class FirstLine:
    """What the first line says."""

    delimiter: str
    names: tuple[str, ...]
    has_header: bool
    faults: list[Fault]
    notices: tuple[Notice, ...]


def read_first_line(head: bytes, options: ReadOptions, limits: Limits) -> FirstLine:
    """Find the separator and the names of the columns.

    Args:
        head: The beginning of the file, which is not blank; the first line is whole.

    Raises:
        UnreadableTable: The first line is not CSV.
        TooLarge: It has too many columns.
    """
    sample = list(_records(head[:SAMPLE_BYTES], SAMPLE_RECORDS))
    first = next(_records(head, 1))
    delimiter = _guess_delimiter(sample) if options.separator is None else options.separator
    n_columns = 1 + (first if b'"' not in first else b"".join(first.split(b'"')[::2])).count(delimiter.encode())
    if n_columns > limits.max_columns:
        raise TooLarge(f"the table has {n_columns:,} columns; at most {limits.max_columns:,} are accepted")
    cells = _cells([first], delimiter)[0]
    has_header = options.header is Header.TRUE or (
        options.header is Header.AUTO and _is_header(cells, _cells(sample[1:], delimiter, is_sample=True))
    )
    faults: list[Fault] = []
    if has_header:
        names, notices = usable_names(cells, faults)
    else:
        names = tuple(place_name(place) for place in range(len(cells)))
        message = (
            "The first line was read as values, as it looks like the others; say `header=true` if it names the columns."
        )
        notices = (Notice(code="no_header", message=message),) if options.header is Header.AUTO else ()
    return FirstLine(delimiter, names, has_header, faults, notices)


def _records(head: bytes, most: int) -> Iterator[bytes]:
    """Cut text at the line ends outside quotes."""
    start = line = n_quotes = n_records = 0
    while n_records < most and (end := head.find(b"\n", line)) >= 0:
        n_quotes += head.count(b'"', line, end)
        line = end + 1
        if n_quotes % 2 == 0:
            yield head[start:end]
            n_records += 1
            start = line
    if n_records < most and start < len(head):
        yield head[start:]


def _guess_delimiter(sample: Sequence[bytes]) -> str:
    """Choose the separator by which the first records have the same number of fields as the first, and the most.

    Commas within numbers only (`1,5;2,5`) are no separators where another character is one in every record.
    """
    unquoted = [record if b'"' not in record else b"".join(record.split(b'"')[::2]) for record in sample]
    counted = [Counter(record) for record in unquoted]
    first, rows = counted[0], [counts for counts in counted[1:] if counts]

    def score(delimiter: str) -> tuple[float, int]:
        n = first[ord(delimiter)]
        alike = sum(counts[ord(delimiter)] == n for counts in rows)
        return (alike / len(rows) if rows else 1.0, n)

    there = [one for one in DELIMITERS if first[ord(one)]] or [one for one in RARE_DELIMITERS if first[ord(one)]]
    others = [one for one in there if one != "," and score(one)[0] == 1]
    if others and all(record.count(b",") == len(DECIMAL_COMMA.findall(record)) for record in unquoted):
        there = others
    return max(there, key=score, default=",")


def _cells(records: Sequence[bytes], delimiter: str, *, is_sample: bool = False) -> list[list[str]]:
    """Cut records into cells; of a sample, which may end within a record, what cannot be cut is left out."""
    found = []
    for record in records:
        try:
            text = record.removesuffix(b"\r").decode(errors="replace" if is_sample else "strict")
            found.append(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []))
        except UnicodeDecodeError:
            raise _no_csv("the header line is not UTF-8 text") from None
        except csv.Error as error:
            if not is_sample:
                raise _no_csv(f"the header line is not CSV: {error}") from None
    return [[cell.strip() for cell in cells] or [""] for cells in found]


def _no_csv(message: str) -> UnreadableTable:
    return UnreadableTable(message, [Fault("", message, "not_a_csv")])


def _is_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first record names the columns.

    It does if a column holds numbers (or times) below a first cell that is none. It does not if a column holds numbers below a
    number, unless the numbers of the first record count up as years in a header do (`country, 1990, 1991`; `0, 1, 2`), or if
    every one of its cells comes again below it. Else it does.
    """
    rows = [row for row in rows if len(row) == len(first)]
    if not rows:
        return not all(_is_value(cell) for cell in first)
    are_numbers = False
    for place, cell in enumerate(first):
        below = [row[place] for row in rows if row[place].lower() not in MISSING_NUMBERS]
        if not below or cell.lower() in MISSING_NUMBERS or not all(map(_is_value, below)):
            continue
        if not _is_value(cell):
            return True
        are_numbers = True
    if are_numbers:
        return _counts_up(first)
    return len(first) == 1 or not all(any(cell == row[place] for row in rows) for place, cell in enumerate(first))


def _is_value(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None or seconds(text) is not None


def _counts_up(cells: Sequence[str]) -> bool:
    numbers = [int(cell) for cell in cells if cell.isascii() and cell.isdigit() and len(cell) < 10]
    alone = len(numbers) == len(cells)
    counts = len(numbers) > 1 + alone and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return counts and (not alone or numbers[0] == 0)
