"""Times become their trend and points on the circles of month, weekday and hour."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.preprocessing import Preprocessing, Task
from app.errors import InvalidRequest
from app.tables.calendar import circle, place_in
from app.tables.choice import choose
from app.tables.fitted import FittedPreprocessing
from app.tables.preparation import fit, prepare
from app.tables.reading import preview


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23), timezones=st.just(UTC)))
def test_a_place_in_a_cycle_is_that_of_the_calendar(time):
    time = time.replace(microsecond=0)
    seconds = np.array([(time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds(), np.nan])
    expected = {"month": time.month - 1, "weekday": time.weekday(), "hour": time.hour}
    for cycle, place in expected.items():
        assert place_in(cycle, seconds).tolist() == [place, -1]


def test_a_circle_closes_and_a_missing_time_is_in_its_middle():
    for cycle, n in (("month", 12), ("weekday", 7), ("hour", 24)):
        points = circle(cycle)
        assert len(points) == n + 1
        distances = np.linalg.norm(points[:n] - np.roll(points[:n], 1, axis=0), axis=1)
        assert distances == pytest.approx(np.full(n, 2 * math.sin(math.pi / n)))
        assert points[-1].tolist() == [0, 0]


@pytest.fixture
def learn(read, table, tmp_path):
    def learn(times, dtype=np.float64, **options):
        columns = read("when,y\n" + "".join(f"{time},{i % 5 + 0.5}\n" for i, time in enumerate(times))).columns
        preprocessing = Preprocessing(**options)
        choice = choose(columns, target="y", features=None, task=Task.AUTO, preprocessing=preprocessing, max_classes=9)
        flags = {"validation": None, "seed": 0}
        fitted = fit(table, choice, preprocessing, **flags, one_output=False, scale_targets=False).preprocessing
        return fitted, prepare(table, fitted, **flags, dtype=dtype, scratch=tmp_path).x_train

    return learn


@pytest.mark.parametrize(
    ("times", "names"),
    [
        (["2024-03-01", "2024-03-08"], ["when.time"]),
        (["2024-03-01", "2024-03-02"], ["when.time", "when.weekday_sin", "when.weekday_cos"]),
        (["2024-03-01T10:15", "2024-03-01T10:45"], ["when.time"]),
        (["2024-03-01T10:15", "2024-03-08T11:15"], ["when.time", "when.hour_sin", "when.hour_cos"]),
        (
            ["2024-01-01T01:00", "2024-03-02T02:00"],
            [
                "when.time",
                *(f"when.{cycle}_{axis}" for cycle in ("month", "weekday", "hour") for axis in ("sin", "cos")),
            ],
        ),
    ],
)
def test_only_cycles_in_which_the_training_rows_vary_become_inputs(times, names, learn):
    fitted, x = learn(times)
    assert list(fitted.input_names) == names
    assert x.shape == (2, len(names))


def test_the_numbers_of_a_time_are_those_of_its_calendar(learn):
    fitted, x = learn(["2024-01-01T00:00", "2024-04-02T06:00", "2024-07-03T12:00"], numeric="minmax")
    angles = [(0, 0, 0), (3 / 12, 1 / 7, 6 / 24), (6 / 12, 2 / 7, 12 / 24)]
    days = [0, 92.25, 184.5]
    expected = [
        [day / 184.5, *(f(2 * math.pi * turn) for turn in turns for f in (math.sin, math.cos))]
        for day, turns in zip(days, angles, strict=True)
    ]
    assert x == pytest.approx(np.array(expected), abs=1e-15)
    assert fitted.n_inputs == 7


@pytest.mark.parametrize(("missing", "trend"), [("mean", 1.0), ("median", 1.0), ("constant", 0.0), ("drop_row", 1.0)])
def test_times_as_they_are_are_days_since_the_earliest_and_a_missing_one_follows_the_rule(missing, trend, learn):
    fitted, x = learn(["2024-03-09", "2024-03-10", "2024-03-11"], numeric="none", missing=missing)
    assert x[:, 0].tolist() == [0, 1, 2]
    assert fitted.encode_rows([{"when": None}], np.float64).tolist() == [[trend, 0, 0]]


@pytest.mark.parametrize("numeric", ["standardize", "minmax", "none"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_time_of_a_client_becomes_the_same_bits_as_in_training(numeric, dtype, learn, table):
    generator = np.random.default_rng(1)
    seconds = generator.integers(-(10**9), 4 * 10**9, 300)
    times = [datetime.fromtimestamp(int(one), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for one in seconds]
    times[7] = ""
    fitted, x = learn(times, dtype, numeric=numeric)
    rows = [{"when": row["when"]} for row in preview(table, 300)]
    alone = np.concatenate([fitted.encode_rows([row], dtype) for row in rows])
    assert alone.tobytes() == fitted.encode_rows(rows, dtype).tobytes() == x.tobytes()


@pytest.mark.parametrize(("last", "meant"), [("31/12/2024", "2024-02-01"), ("12/31/2024", "2024-01-02")])
def test_a_date_is_read_in_a_prediction_as_the_training_table_was_read(last, meant, learn):
    fitted, x = learn(["01/02/2024", "03/04/2024", last])
    again = FittedPreprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    (row,) = again.encode_rows([{"when": "01/02/2024"}], np.float64)
    assert row.tobytes() == x[0].tobytes()
    assert row.tobytes() == again.encode_rows([{"when": meant}], np.float64).tobytes()
    wrong = "31/12/2024" if last == "12/31/2024" else "12/31/2024"
    with pytest.raises(InvalidRequest):
        again.encode_rows([{"when": wrong}], np.float64)
