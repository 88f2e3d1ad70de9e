"""What is known of a table without reading it again, and how large one may be. Imports no polars: the API uses it."""

from dataclasses import dataclass
from typing import Self

from app.contract.datasets import Column
from app.settings import MIB, Settings


@dataclass(frozen=True)
class TableSummary:
    """A table that was read: its number of rows, and its columns with their statistics."""

    n_rows: int
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Limits:
    """How large a table may be.

    Args:
        max_rows: Most rows.
        max_columns: Most columns.
        max_cells: Most rows times columns; a number takes 8 bytes in the stored table.
        max_json_bytes: Largest JSON upload. JSON is parsed in memory as a whole, and takes about ten times its size.
    """

    max_rows: int
    max_columns: int
    max_cells: int = 4_000_000_000
    max_json_bytes: int = 256 * MIB

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Give the limits of an installation."""
        return cls(max_rows=settings.max_rows, max_columns=settings.max_columns)
