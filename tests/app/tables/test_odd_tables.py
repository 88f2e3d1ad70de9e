"""A thousand odd tables get a dataset or a clear refusal."""

import time
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from app.contract.datasets import Format, Header, Kind
from app.errors import DescentError
from app.tables.reading import preview, read_table
from app.tables.summary import ReadOptions
from tests.app.tables.conftest import LIMITS
from tests.app.tables.odd_tables import odd_tables

EXPECTED = {
    Kind.NUMERIC: pl.Float64,
    Kind.BOOLEAN: (pl.Boolean, pl.UInt8),
    Kind.DATETIME: pl.Datetime,
    Kind.CATEGORICAL: pl.String,
    Kind.TEXT: pl.String,
}


def check(summary, table):
    """What is said of a table is true of the table that is stored."""
    stored = pl.read_ipc(table)
    assert [column.name for column in summary.columns] == stored.columns
    assert stored.height == summary.n_rows > 0
    for column in summary.columns:
        assert isinstance(stored.schema[column.name], EXPECTED[column.kind])
        assert stored[column.name].null_count() == column.n_missing
        assert stored[column.name].drop_nulls().n_unique() == column.n_unique
        assert column.min is None or column.min == column.min
    assert len(preview(table, 5)) == min(summary.n_rows, 5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_odd_tables_get_a_dataset_or_a_clear_refusal(tmp_path):
    source, table = tmp_path / "upload", tmp_path / "table"
    outcomes = Counter()

    @settings(
        max_examples=1200,
        deadline=None,
        phases=[Phase.generate],
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(odd_tables())
    def each(odd):
        content, format, options = odd
        source.write_bytes(content)
        start = time.monotonic()
        try:
            header = Header(options.get("header", "auto"))
            summary = read_table(source, format, {}, table, LIMITS, ReadOptions(**{**options, "header": header}))
        except DescentError as error:
            refused = error
        else:
            refused = None
        if refused is None:
            check(summary, table)
        else:
            assert 400 <= refused.status < 500
            assert refused.faults or refused.status == 413
        outcomes["refused" if refused else summary.format] += 1
        assert time.monotonic() - start < 10
        assert {path.name for path in tmp_path.iterdir()} <= {"upload", "table"}

    each()
    assert outcomes.total() >= 1000
    assert set(outcomes) == {*Format, "refused"}


@pytest.mark.slow
@pytest.mark.parametrize("format", [Format.CSV, Format.NPY, Format.PARQUET])
def test_a_table_of_ten_thousand_columns_is_read(format, tmp_path):
    numbers = np.random.default_rng(0).normal(size=(30, 10_000)).round(3)
    frame = pl.DataFrame(numbers, schema=[f"c{place}" for place in range(10_000)])
    source, table = tmp_path / "upload", tmp_path / "table"
    if format is Format.CSV:
        frame.write_csv(source)
    elif format is Format.PARQUET:
        frame.write_parquet(source)
    else:
        np.save(tmp_path / "array.npy", numbers)
        (tmp_path / "array.npy").rename(source)
    start = time.process_time()
    summary = read_table(source, format, {}, table, LIMITS)
    assert time.process_time() - start < 30
    assert (summary.n_rows, len(summary.columns)) == (30, 10_000)
    assert [column.max for column in summary.columns] == numbers.max(axis=0).tolist()
