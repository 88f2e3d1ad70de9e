"""The structure of a CSV file, checked in one pass over its bytes before anything is parsed.

Separators and line ends inside quotes do not count. A quote is inside or outside by the parity of the quotes before it, which
holds for every file that RFC 4180 allows; files that it does not allow are refused with the line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.contract.datasets import Notice
from app.errors import Fault, TooLarge, UnreadableTable
from app.settings import MIB
from app.tables.detection import refuse_foreign
from app.tables.header import read_first_line
from app.tables.summary import Limits, ReadOptions

CHUNK_BYTES = 2 * MIB
MAX_LINE_BYTES = 16 * MIB
MAX_LINES_NAMED = 5
BOM = b"\xef\xbb\xbf"
NEWLINE, RETURN, QUOTE = ord("\n"), ord("\r"), ord('"')
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Structure:
    """How a CSV file is laid out, and what its sender should know of that."""

    delimiter: str
    names: tuple[str, ...]
    n_rows: int
    has_header: bool = True
    notices: tuple[Notice, ...] = ()


def examine(source: Path, limits: Limits, options: ReadOptions = ReadOptions()) -> Structure:  # noqa: B008
    """Check a CSV file of UTF-8 text from end to end.

    Raises:
        UnreadableTable: It is no CSV file; the faults name the first few lines of each kind.
        TooLarge: It has too many rows or columns.
    """
    with source.open("rb") as file:
        head = file.read(MAX_LINE_BYTES).removeprefix(BOM)
        _refuse_what_is_no_table(head)
        first = read_first_line(head, options, limits)
        file.seek(0)
        scan = _Scan(first.delimiter, len(first.names), first.faults, n_header=int(first.has_header))
        del head
        for chunk in _whole_lines(file):
            scan.add(chunk)
            if scan.n_rows > min(limits.max_rows, limits.max_cells // len(first.names)):
                raise TooLarge(f"the table has more than {scan.n_rows - 1:,} rows; this installation accepts no more")
    scan.finish()
    return Structure(first.delimiter, first.names, scan.n_rows, first.has_header, first.notices)


def _refuse_what_is_no_table(head: bytes) -> None:
    if not head.strip():
        raise _unreadable("empty_file", "the file is empty")
    refuse_foreign(head)
    if b"\0" in head:
        line = head.count(b"\n", 0, head.index(b"\0")) + 1
        raise _unreadable("not_a_csv", f"line {line} holds a NUL byte: the file is not text")
    if head.startswith((b"\n", b"\r\n")):
        raise _unreadable(
            "blank_first_line", "the first line is blank; begin with the names of the columns, or with values"
        )
    if b"\n" not in head and len(head) >= MAX_LINE_BYTES - len(BOM):
        raise _unreadable("not_a_csv", "the file has no line structure: no first line was found")


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


@dataclass
class _Scan:
    """What was seen of the file so far; every chunk ends with a line."""

    delimiter: str
    n_columns: int
    faults: list[Fault]
    n_header: int = 1
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
        return max(self.n_records - self.n_blank - self.n_header, 0)

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
