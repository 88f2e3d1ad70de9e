"""Profiles are what NumPy and Python's own counting say of the same values."""

import random
import statistics
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.contract.datasets import Format, Kind
from app.contract.profiles import QUANTILES, ColumnProfile
from app.tables.profile import profile
from app.tables.reading import read_table
from app.tables.summary import Limits

LIMITS = Limits(max_rows=10**6, max_columns=20_000)


def profile_of(folder: Path, text: str, kinds: dict[str, Kind] | None = None) -> list[ColumnProfile]:
    source, table = folder / "source", folder / "table"
    source.write_text(text)
    summary = read_table(source, Format.CSV, kinds or {}, table, LIMITS)
    return profile(table, summary.columns)


def test_numbers_are_profiled_as_numpy_does(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=2000).round(2)
    (column,) = profile_of(tmp_path, "a\n" + "".join(f"{value}\n" for value in values) + "NA\n" * 7)
    assert (column.kind, column.n_missing, column.n_unique) == (Kind.NUMERIC, 7, len(set(values)))
    assert column.quantiles is not None
    assert [one.quantile for one in column.quantiles] == list(QUANTILES)
    np.testing.assert_allclose([one.value for one in column.quantiles], np.quantile(values, QUANTILES), rtol=1e-12)
    assert column.histogram is not None
    counts, edges = np.histogram(values, bins=20)
    np.testing.assert_allclose(column.histogram.edges, edges, rtol=1e-12)
    expected, _ = np.histogram(values, bins=np.array(column.histogram.edges))
    assert column.histogram.counts == expected.tolist()
    assert sum(column.histogram.counts) == sum(counts) == 2000
    assert (column.top, column.lengths) == (None, None)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_any_finite_numbers_have_a_profile_of_finite_numbers(tmp_path: Path, values: list[float]) -> None:
    text = "a\n" + "".join(f"{value!r}\n" for value in values)
    (column,) = profile_of(tmp_path, text, {"a": Kind.NUMERIC})
    assert column.quantiles is not None
    assert column.histogram is not None
    found = [one.value for one in column.quantiles]
    assert np.isfinite(found).all()
    assert found == sorted(found)
    assert min(values) <= found[0]
    assert found[-1] <= max(values)
    edges = column.histogram.edges
    assert np.isfinite(edges).all()
    assert edges == sorted(edges)
    assert (edges[0], edges[-1]) == (min(values), max(values))
    assert 1 <= len(column.histogram.counts) == len(edges) - 1 <= 20
    assert sum(column.histogram.counts) == len(values)


def test_the_largest_numbers_do_not_overflow(tmp_path: Path) -> None:
    (column,) = profile_of(tmp_path, "a\n-1.7e308\n1.7e308\n0\n1e308\n-1e308\n")
    assert column.quantiles is not None
    assert column.quantiles[2].value == 0.0
    assert column.histogram is not None
    assert column.histogram.counts == [1, 1, 1, 1, 1]


def test_one_value_is_one_bin(tmp_path: Path) -> None:
    (column,) = profile_of(tmp_path, "a\n7\n7\n7\n")
    assert column.histogram is not None
    assert (column.histogram.edges, column.histogram.counts) == ([7.0, 7.0], [3])


def test_times_are_profiled_as_times(tmp_path: Path) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = [start + timedelta(days=day) for day in range(101)]
    (column,) = profile_of(tmp_path, "t\n" + "".join(f"{time.isoformat()}\n" for time in times))
    assert column.kind is Kind.DATETIME
    assert column.quantiles is not None
    assert [one.value for one in column.quantiles] == [
        (start + timedelta(days=day)).isoformat().replace("+00:00", "Z") for day in (5, 25, 50, 75, 95)
    ]
    assert column.histogram is not None
    assert (column.histogram.edges[0], column.histogram.edges[-1]) == ("2024-01-01T00:00:00Z", "2024-04-10T00:00:00Z")
    assert column.histogram.counts == [5] * 19 + [6]


def test_times_at_the_ends_of_the_calendar_have_a_profile(tmp_path: Path) -> None:
    (column,) = profile_of(tmp_path, "t\n0001-01-01T00:00:00+12:00\n9999-12-31T23:59:59.999999-12:00\n2000-01-01\n")
    assert column.quantiles is not None
    assert column.quantiles[2].value == "2000-01-01T00:00:00Z"


def test_the_most_frequent_categories_come_first(tmp_path: Path) -> None:
    generator = random.Random(1)
    words = [f"w{min(int(generator.expovariate(0.2)), 99)}" for _ in range(5000)]
    (column,) = profile_of(tmp_path, "a\n" + "\n".join(words) + "\nNA\n")
    assert column.kind is Kind.CATEGORICAL
    assert column.top is not None
    expected = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))[:20]
    assert [(one.value, one.count) for one in column.top] == expected
    assert (column.quantiles, column.histogram, column.lengths) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\ntrue\nfalse\nyes\nNA\n", [("true", 2), ("false", 1)]),
        ("a\n1\n0\n1\n", [("1", 2), ("0", 1)]),
    ],
)
def test_truth_values_are_counted(tmp_path: Path, text: str, expected: list[tuple[str, int]]) -> None:
    (column,) = profile_of(tmp_path, text)
    assert column.kind is Kind.BOOLEAN
    assert [(one.value, one.count) for one in column.top or ()] == expected


def test_text_is_measured_in_characters(tmp_path: Path) -> None:
    words = ["é" * length for length in range(1, 31)]
    (column,) = profile_of(tmp_path, "a\n" + "\n".join(words) + "\n")
    assert column.kind is Kind.TEXT
    assert column.lengths is not None
    assert (column.lengths.min, column.lengths.max) == (1, 30)
    assert column.lengths.mean == pytest.approx(statistics.fmean(map(len, words)))
    assert column.top is None


def test_a_long_category_is_cut(tmp_path: Path) -> None:
    (column,) = profile_of(tmp_path, "a,b\n" + "x" * 100_000 + ",1\n", {"a": Kind.CATEGORICAL})[:1]
    assert column.top is not None
    assert len(column.top[0].value) == 500


def test_a_column_without_values_has_an_empty_profile(tmp_path: Path) -> None:
    kinds = {"a": Kind.CATEGORICAL, "b": Kind.TEXT, "c": Kind.DATETIME, "d": Kind.NUMERIC}
    for column in profile_of(tmp_path, "a,b,c,d\n,,,\n,,,\n", kinds):
        assert (column.n_missing, column.n_unique) == (2, 0)
        assert column.top == ([] if column.name == "a" else None)
        assert (column.quantiles, column.histogram, column.lengths) == (None, None, None)


def test_a_hundred_of_many_columns_are_profiled_in_little_time(tmp_path: Path) -> None:
    source, table = tmp_path / "source", tmp_path / "table"
    names = ",".join(f"c{i}" for i in range(3000))
    source.write_text(
        names + "\n" + "\n".join(",".join(str(i * j % 97) for i in range(3000)) for j in range(20)) + "\n"
    )
    columns = read_table(source, Format.CSV, {}, table, LIMITS).columns
    began_at = time.monotonic()
    assert len(profile(table, columns[-100:])) == 100
    assert time.monotonic() - began_at < 30
