"""Columns that are left out by default, and columns that give the target away."""

import time

import numpy as np
import polars as pl
import pytest

from app.contract.preprocessing import Preprocessing, Task
from app.tables import looking
from app.tables.choice import choose
from app.tables.looking import confirm, leaks
from app.tables.suspects import suspects


@pytest.fixture
def look(read, table):
    """Read columns, and give what is to be left out, the choice, and what leaks."""

    def look(columns, target="y", features=None, task=Task.AUTO):
        lines = zip(*columns.values(), strict=True)
        content = ",".join(columns) + "\n" + "".join(",".join(map(str, line)) + "\n" for line in lines)
        summary = read(content)
        found = confirm(table, suspects(summary.columns, {target}, summary.n_rows))
        choice = choose(
            summary.columns, target=target, features=features, task=task, preprocessing=Preprocessing(),
            max_classes=100, set_aside=found if features is None else None,
        )  # fmt: skip
        return found, choice, leaks(table, choice)

    return look


G = np.random.default_rng(0)
N = 200
FREE = G.normal(size=N)
LABELS = [f"c{i % 3}" for i in range(N)]


@pytest.mark.parametrize(
    "name_and_values",
    [
        ("n", range(N)),
        ("n", range(5, 5 + N)),
        ("n", G.permutation(N) + 7_000),
        ("n", np.sort(G.choice(3 * N, N, replace=False))),
        ("customer_id", G.choice(10**9, N, replace=False)),
        ("orderID", G.choice(10**9, N, replace=False)),
        ("word", [f"w{i:05}" for i in range(N)]),
    ],
)
def test_a_column_of_its_own_value_for_each_row_is_left_out_unless_it_is_asked_for(name_and_values, look):
    name, values = name_and_values
    columns = {name: values, "x": FREE, "y": LABELS}
    found, choice, _ = look(columns)
    assert set(found) == {name}
    assert choice.features == ("x",)
    assert "name it among the features to use it" in choice.use(name).why
    if name != "word":
        assert look(columns, features=[name, "x"])[1].features == (name, "x")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("income", G.choice(10**6, N, replace=False)),
        ("age", G.integers(18, 90, N)),
        ("share", np.arange(N) + 0.5),
        ("idea", G.choice(10**9, N, replace=False)),
        ("id", FREE * 3),
        ("gaps", ["" if i == 3 else i for i in range(N)]),
    ],
)
def test_numbers_that_are_no_identifier_are_features(name, values, look):
    found, choice, _ = look({name: values, "x": FREE, "y": LABELS})
    assert not found
    assert choice.features == (name, "x")


def test_an_identifier_is_a_feature_if_nothing_else_is_left(look):
    found, choice, _ = look({"n": range(N), "y": FREE})
    assert set(found) == {"n"}
    assert choice.features == ("n",)


def test_few_rows_are_no_reason_to_suspect_a_column(look):
    found, choice, _ = look({"n": range(8), "x": FREE[:8], "y": LABELS[:8]})
    assert not found
    assert choice.features == ("n", "x")


@pytest.mark.parametrize("values", [FREE, LABELS, [True, False] * (N // 2)])
def test_a_copy_of_the_target_is_left_out(values, look):
    found, choice, _ = look({"same": values, "x": FREE + 1, "y": values})
    assert set(found) == {"same"}
    assert choice.features == ("x",)
    assert choice.use("same").why == "leaks the target: the same values as 'y' in every row"


def test_a_column_with_the_same_values_in_another_order_is_no_copy(look):
    found, choice, _ = look({"other": FREE[::-1], "x": FREE + 1, "y": FREE})
    assert not found
    assert choice.features == ("other", "x")


def test_a_feature_that_tells_the_class_is_named(look):
    codes = [(7, 9, 4)[i % 3] for i in range(N)]
    nearly = [label.upper() for label in LABELS]
    nearly[0] = "C1"
    _, choice, found = look({"code": codes, "letters": [label[::-1] for label in LABELS], "x": FREE, "y": LABELS})
    assert set(found) == {"code", "letters"}
    assert {"code", "letters"} <= set(choice.features), "they are kept: whether they will be known is not in the table"
    assert not look({"half": [i % 2 for i in range(N)], "nearly": nearly, "x": FREE, "y": LABELS})[2]


def test_a_feature_that_tells_the_number_is_named(look):
    columns = {
        "fahrenheit": 32 + 1.8 * FREE,
        "noisy": FREE + G.normal(size=N) * 0.2,
        "large": FREE * -1e300,
        "x": G.normal(size=N),
        "y": FREE,
    }
    assert set(look(columns)[2]) == {"fahrenheit", "large"}
    groups = [f"g{i % 4}" for i in range(N)]
    assert set(look({"group": groups, "x": FREE, "y": [i % 4 + 0.001 * FREE[i] for i in range(N)]})[2]) == {"group"}


def test_the_correlation_is_the_usual_one():
    x, y = G.normal(size=50), G.normal(size=50)
    a, b = looking._unit(x), looking._unit(y)
    assert np.sum(a * b) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert looking._unit(np.full(5, 3.0)) is None


@pytest.mark.slow
@pytest.mark.parametrize(("n_rows", "n_columns"), [(300, 10_000), (1_000_000, 12)])
def test_looking_at_a_large_table_takes_seconds(n_rows, n_columns, table, tmp_path):
    values = G.normal(size=n_rows)
    frame = pl.DataFrame(
        {f"x{i}": G.permutation(values) if i else values for i in range(n_columns)} | {"y": values * 2}
    )
    frame.write_csv(tmp_path / "large.csv")
    from app.contract.datasets import Format
    from app.tables.reading import read_table
    from tests.app.tables.conftest import LIMITS

    summary = read_table(tmp_path / "large.csv", Format.CSV, {}, table, LIMITS)
    began_at = time.perf_counter()
    found = confirm(table, suspects(summary.columns, {"y"}, summary.n_rows))
    choice = choose(
        summary.columns, target="y", features=None, task=Task.AUTO, preprocessing=Preprocessing(), max_classes=100,
        set_aside=found,
    )  # fmt: skip
    assert set(leaks(table, choice)) == {"x0"}
    assert time.perf_counter() - began_at < 20
