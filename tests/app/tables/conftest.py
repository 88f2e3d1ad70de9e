from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.contract.datasets import Format, Kind
from app.tables.reading import read_table
from app.tables.summary import Limits, ReadOptions, TableSummary

LIMITS = Limits(max_rows=10**9, max_columns=20_000)
Read = Callable[..., TableSummary]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.arrow"


@pytest.fixture
def read(tmp_path: Path, table: Path) -> Read:
    """Read text as an upload into `table`."""

    def read(
        content: str | bytes,
        format: Format | None = Format.CSV,
        kinds: Mapping[str, Kind] | None = None,
        limits: Limits = LIMITS,
        **options: Any,
    ) -> TableSummary:
        source = tmp_path / "upload"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(source, format, kinds or {}, table, limits, ReadOptions(**options))

    return read
