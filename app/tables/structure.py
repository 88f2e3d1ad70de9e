"""The structure of a CSV file, checked in one pass over its bytes before anything is parsed.

Separators and line ends inside quotes do not count. A quote is inside or outside by the parity of the quotes before it, which
holds for every file that RFC 4180 allows; files that it does not allow are refused with the line.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, TooLarge, UnreadableTable
from app.settings import MIB
from app.tables.faults import shown
from app.tables.summary import Limits

CHUNK_BYTES = 2 * MIB
MAX_LINE_BYTES = 16 * MIB
MAX_NAME_LENGTH = 500
MAX_LINES_NAMED = 5
DELIMITERS = (",", ";", "\t", "|")
BOM = b"\xef\xbb\xbf"
NEWLINE, RETURN, QUOTE = ord("\n"), ord("\r"), ord('"')
OTHER_FORMATS = {
    b"PK\x03\x04": "a ZIP archive (or an .xlsx or .npz file)",
    b"\x1f\x8b": "compressed by gzip",
    b"(\xb5/\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x93NUMPY": "a NumPy array",
    b"%PDF": "a PDF document",
    b"\xff\xfe": "encoded as UTF-16",
    b"\xfe\xff": "encoded as UTF-16",
    b"<!": "an HTML or XML document",
    b"<html": "an HTML document",
    b"<?xml": "an XML document",
}

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Structure:
    """How a CSV file is laid out."""

    delimiter: str
    names: tuple[str, ...]
    n_rows: int


def examine(source: Path, limits: Limits) -> Structure:
    """Check a CSV file from end to end.

    Raises:
        UnreadableTable: It is no CSV file; the faults name the first few lines of each kind.
        TooLarge: It has too many rows or columns.
    """
    with source.open("rb") as file:
        head = file.read(MAX_LINE_BYTES)
        _refuse_other_formats(head)
        head = head.removeprefix(BOM)
        delimiter = _guess_delimiter(head[:CHUNK_BYTES])
        names, faults = _header(head, delimiter)
        if len(names) > limits.max_columns:
            raise TooLarge(f"the table has {len(names):,} columns; at most {limits.max_columns:,} are accepted")
        file.seek(0)
        scan = _Scan(delimiter, len(names), faults)
        for chunk in _whole_lines(file):
            scan.add(chunk)
            if scan.n_rows > min(limits.max_rows, limits.max_cells // len(names)):
                raise TooLarge(f"the table has more than {scan.n_rows - 1:,} rows; this installation accepts no more")
    scan.finish()
    return Structure(delimiter, names, scan.n_rows)


def _refuse_other_formats(head: bytes) -> None:
    if not head.removeprefix(BOM).strip():
        raise _unreadable("empty_file", "the file is empty")
    start = head.removeprefix(BOM).lstrip().lower()
    for magic, name in OTHER_FORMATS.items():
        if head.startswith(magic) or (magic.startswith(b"<") and start.startswith(magic)):
            raise _unreadable("not_a_csv", f"the file is {name}; CSV as UTF-8 text is expected")
    if b"\0" in head:
        raise _unreadable("not_a_csv", "the file holds NUL bytes: it is not text")


def _unreadable(code: str, message: str) -> UnreadableTable:
    return UnreadableTable(message, [Fault("", message, code)])


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Cut the file after line ends, so that no chunk ends within a character or a line. The last line gets its end."""
    rest = file.read(len(BOM)).removeprefix(BOM)
    while block := file.read(CHUNK_BYTES):
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block
        if len(rest) > MAX_LINE_BYTES:
            raise _unreadable("not_a_csv", f"a line is longer than {MAX_LINE_BYTES // MIB} MiB: this is no table")
    if rest:
        yield rest + b"\n"


def _records(head: bytes) -> Iterator[bytes]:
    """Cut text at the line ends outside quotes."""
    start = line = n_quotes = 0
    while (end := head.find(b"\n", line)) >= 0:
        n_quotes += head.count(b'"', line, end)
        line = end + 1
        if n_quotes % 2 == 0:
            yield head[start:end]
            start = line
    if start < len(head):
        yield head[start:]


def _guess_delimiter(head: bytes) -> str:
    """Choose the separator by which the first records have the same number of fields as the header, and the most."""
    sample = []
    for record in _records(head):
        sample.append(Counter(record if b'"' not in record else b"".join(record.split(b'"')[::2])))
        if len(sample) == 100:
            break
    header, rows = sample[0], [counts for counts in sample[1:] if counts]

    def score(delimiter: str) -> tuple[float, int]:
        n = header[ord(delimiter)]
        alike = sum(counts[ord(delimiter)] == n for counts in rows)
        return (alike / len(rows) if rows else 1.0, n)

    there = [delimiter for delimiter in DELIMITERS if header[ord(delimiter)]]
    return max(there, key=score, default=",")


def _header(head: bytes, delimiter: str) -> tuple[tuple[str, ...], list[Fault]]:
    """Read the names of the columns, and what is wrong with them."""
    line = next(_records(head))
    if len(line) >= MAX_LINE_BYTES - len(BOM):
        raise _unreadable("not_a_csv", "the file has no line structure: no header line was found")
    try:
        text = line.removesuffix(b"\r").decode()
        names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except UnicodeDecodeError:
        raise _unreadable("not_a_csv", "the header line is not UTF-8 text") from None
    except csv.Error as error:
        raise _unreadable("not_a_csv", f"the header line is not CSV: {error}") from None
    names = [name.strip() for name in names] or [""]
    faults = [
        Fault("", f"column {place} has no name; the first line must name every column", "empty_column_name")
        for place, name in enumerate(names, 1)
        if not name
    ]
    faults += [
        Fault("", f"{count} columns are named {shown(name)}", "duplicate_column")
        for name, count in Counter(names).items()
        if name and count > 1
    ]
    faults += [
        Fault("", f"the name {shown(name)} is longer than {MAX_NAME_LENGTH} characters", "long_column_name")
        for name in names
        if len(name) > MAX_NAME_LENGTH
    ]
    return tuple(names), faults[:100]


@dataclass
class _Scan:
    """What was seen of the file so far; every chunk ends with a line."""

    delimiter: str
    n_columns: int
    faults: list[Fault]
    in_quotes: bool = False
    n_lines: int = 0
    record_line: int = 1  # where the record that is being read began
    n_separators: int = 0  # of that record
    n_records: int = 0
    n_blank: int = 0  # blank lines at the end so far
    n_ragged: int = 0
    table: Bytes = field(init=False)

    def __post_init__(self) -> None:
        self.table = np.zeros(256, np.uint8)
        self.table[[0, NEWLINE, RETURN, QUOTE, ord(self.delimiter)]] = 1

    @property
    def n_rows(self) -> int:
        """Rows so far: neither the header nor blank lines at the end."""
        return max(self.n_records - self.n_blank - 1, 0)

    def add(self, chunk: bytes) -> None:
        """Check the next lines."""
        self._refuse_what_is_no_text(chunk)
        text = np.frombuffer(chunk, np.uint8)
        at = np.flatnonzero(self.table[text])
        marks = text[at]
        quotes = marks == QUOTE
        inside = ((np.cumsum(quotes) + self.in_quotes) & 1).astype(bool)
        if self.in_quotes or quotes.any():
            self._check_quotes(text, at, quotes, inside)
        self._check_returns(text, at[(marks == RETURN) & ~inside], chunk)
        self._check_widths(text, at, marks, inside)
        self.in_quotes = bool(inside[-1])
        self.n_lines += int(np.count_nonzero(marks == NEWLINE))

    def finish(self) -> None:
        """Say what is wrong, if anything is."""
        if self.in_quotes:
            message = f"line {self.record_line}: a quote is opened and never closed"
            self.faults.append(Fault("", message, "unclosed_quote"))
        elif not self.n_rows:
            self.faults.append(Fault("", "the file has a header line and no rows", "no_rows"))
        if self.n_ragged > MAX_LINES_NAMED:
            message = f"{self.n_ragged - MAX_LINES_NAMED:,} more lines have another number of values than the header"
            self.faults.append(Fault("", message, "ragged_rows"))
        if self.faults:
            raise UnreadableTable("the file is not a well-formed CSV table", self.faults)

    def _refuse_what_is_no_text(self, chunk: bytes) -> None:
        try:
            chunk.decode()
        except UnicodeDecodeError as error:
            line = self.n_lines + chunk.count(b"\n", 0, error.start) + 1
            raise _unreadable("not_utf8", f"line {line}: the text is not UTF-8") from None
        if b"\0" in chunk:
            line = self.n_lines + chunk.count(b"\n", 0, chunk.index(b"\0")) + 1
            raise _unreadable("not_a_csv", f"line {line} holds a NUL byte: the file is not text")

    def _check_quotes(self, text: Bytes, at: NDArray[np.intp], quotes: Mask, inside: Mask) -> None:
        """A quote opens right after a separator, and closes right before one; within, it is doubled."""
        allowed = np.zeros(256, bool)
        allowed[[ord(self.delimiter), NEWLINE, RETURN, QUOTE]] = True
        opening, closing = at[quotes & inside], at[quotes & ~inside]
        wrong_opening = opening[(opening > 0) & ~(allowed[text[opening - 1]] & (text[opening - 1] != RETURN))]
        wrong_closing = closing[~allowed[text[closing + 1]]]
        wrong = np.concatenate([wrong_opening, wrong_closing])
        if len(wrong):
            line = self.n_lines + int(np.count_nonzero(text[: wrong.min()] == NEWLINE)) + 1
            message = f'line {line}: a value that holds a quote must be quoted, and the quote doubled: "5"" pipe"'
            self.faults.append(Fault("", message, "stray_quote"))
            raise UnreadableTable("the file is not a well-formed CSV table", self.faults)

    def _check_returns(self, text: Bytes, returns: NDArray[np.intp], chunk: bytes) -> None:
        """A carriage return outside quotes belongs to a line end."""
        alone = returns[text[returns + 1] != NEWLINE]
        if len(alone):
            line = self.n_lines + chunk.count(b"\n", 0, int(alone[0])) + 1
            raise _unreadable("bad_line_end", f"line {line}: lines must end with LF or CR LF, not with CR alone")

    def _check_widths(self, text: Bytes, at: NDArray[np.intp], marks: Bytes, inside: Mask) -> None:
        """Every record has as many values as the header; blank lines may only follow the last one."""
        ends = np.flatnonzero((marks == NEWLINE) & ~inside)
        separators = np.cumsum((marks == ord(self.delimiter)) & ~inside)
        if not len(ends):
            self.n_separators += int(separators[-1])
            return
        n_fields = np.diff(separators[ends], prepend=-self.n_separators) + 1
        lines = self.n_lines + np.cumsum(marks == NEWLINE)[ends]
        starts = np.concatenate([[self.record_line], lines[:-1] + 1])
        blank = self._blank(text, at[ends])
        wrong = (n_fields != self.n_columns) & ~blank
        filled = np.flatnonzero(~blank)
        if len(filled):
            if self.n_columns > 1:
                wrong[: filled[-1]] |= blank[: filled[-1]]
                self._name_ragged([self.record_line - self.n_blank + place for place in range(self.n_blank)], [])
            self.n_blank = 0
        self._name_ragged(starts[wrong].tolist(), n_fields[wrong].tolist())
        self.n_blank += len(ends) - (int(filled[-1]) + 1 if len(filled) else 0)
        self.n_records += len(ends)
        self.record_line = int(lines[-1]) + 1
        self.n_separators = int(separators[-1] - separators[ends[-1]])

    def _blank(self, text: Bytes, ends: NDArray[np.intp]) -> Mask:
        before = np.concatenate([[-9 if self.in_quotes else -1], ends[:-1]])
        length = ends - before - 1
        blank: Mask = (length == 0) | ((length == 1) & (text[ends - 1] == RETURN))
        return blank

    def _name_ragged(self, lines: list[int], n_fields: list[int]) -> None:
        named = max(MAX_LINES_NAMED - self.n_ragged, 0)
        self.n_ragged += len(lines)
        for place, line in enumerate(lines[:named]):
            found = n_fields[place] if n_fields else 1
            message = f"line {line} has {found} value{'s' * (found != 1)}, the header has {self.n_columns}"
            self.faults.append(Fault("", message, "ragged_row"))
