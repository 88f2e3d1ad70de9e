"""What is known of a table without reading it again, and how large one may be. Imports no polars: the API uses it."""

from dataclasses import dataclass
from typing import Self

from app.contract.datasets import Column, Format, Header, Notice, ReadAs
from app.errors import TooLarge
from app.settings import GIB, MIB, Settings


@dataclass(frozen=True)
class ReadOptions:
    """What a client says of a text file instead of having it guessed.

    Args:
        separator: One ASCII character between the values of a CSV file.
        encoding: A name that Python knows: `utf-8`, `windows-1252`.
        header: Whether the first line of a CSV file names the columns.
    """

    separator: str | None = None
    encoding: str | None = None
    header: Header = Header.AUTO


@dataclass(frozen=True)
class TableSummary:
    """A table that was read: its number of rows, its columns with their statistics, and how the bytes were understood."""

    n_rows: int
    columns: tuple[Column, ...]
    format: Format
    read: ReadAs
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Limits:
    """How large a table may be.

    Args:
        max_rows: Most rows.
        max_columns: Most columns.
        max_cells: Most rows times columns; a number takes 8 bytes in the stored table.
        max_json_bytes: Largest JSON upload. JSON is parsed in memory as a whole, and takes about ten times its size.
        max_unpacked_bytes: Most bytes that a packed upload (gzip, zstd, npz, Parquet) may become.
        max_ratio: Most times its size that a packed upload may become, once that is more than `free_bytes`.
        free_bytes: What any packed upload may become.
    """

    max_rows: int
    max_columns: int
    max_cells: int = 4_000_000_000
    max_json_bytes: int = 256 * MIB
    max_unpacked_bytes: int = 8 * GIB
    max_ratio: int = 200
    free_bytes: int = 64 * MIB

    def check_unpacked(self, size_bytes: int, packed_bytes: int) -> None:
        """Refuse what would become too large, before it does.

        Raises:
            TooLarge: `size_bytes` is above the limit, or too many times `packed_bytes`.
        """
        if size_bytes > self.max_unpacked_bytes:
            raise TooLarge(f"unpacked, the upload has more than the {self.max_unpacked_bytes:,} bytes accepted here")
        if size_bytes > max(self.free_bytes, self.max_ratio * packed_bytes):
            message = f"unpacked, the upload has more than {self.max_ratio} times its size; send it unpacked"
            raise TooLarge(message, code="too_much_packed")

    def check_shape(self, n_rows: int, n_columns: int) -> None:
        """Refuse a table with too many rows or columns.

        Raises:
            TooLarge: It has.
        """
        if n_columns > self.max_columns:
            raise TooLarge(f"the table has {n_columns:,} columns; at most {self.max_columns:,} are accepted")
        if n_rows > min(self.max_rows, self.max_cells // max(n_columns, 1)):
            raise TooLarge(f"the table has {n_rows:,} rows; this installation accepts fewer")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Give the limits of an installation."""
        return cls(
            max_rows=settings.max_rows,
            max_columns=settings.max_columns,
            max_unpacked_bytes=settings.max_unpacked_bytes,
        )
