import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.datasets import Format, Kind
from app.contract.preprocessing import Preprocessing, Task, Validation
from app.errors import InvalidRequest
from app.tables import preparation
from app.tables.choice import choose
from app.tables.fitted import FittedInput, FittedPreprocessing, FittedTarget
from app.tables.preparation import fit, prepare
from app.tables.reading import preview
from app.tables.selection import select

HALF = Validation(fraction=0.5)
finite = st.floats(allow_nan=False, allow_infinity=False)
PENGUINS = "bill,island,day,wild,mass,species\n" + "".join(
    f"{'' if i % 7 == 3 else 30 + i / 3},{'ABC'[i % 3] if i % 11 else '?'},2024-01-{i % 28 + 1:02},{'yes' if i % 4 else 'no'},"
    f"{3000 + 7 * i},{['Adelie', 'Gentoo', 'Chinstrap'][i % 3]}\n"
    for i in range(60)
)


@pytest.fixture
def learn(read, table, tmp_path):
    """Read a CSV, choose, fit and prepare."""

    def learn(content, target, *, validation=HALF, seed=0, task=Task.AUTO, features=None, dtype=np.float64, **options):
        flags = {name: options.pop(name, False) for name in ("one_output", "scale_targets")}
        columns = read(content).columns
        preprocessing = Preprocessing(**options)
        choice = choose(
            columns, target=target, features=features, task=task, preprocessing=preprocessing, max_classes=100
        )
        split = {"validation": validation, "seed": seed}
        fitted = fit(table, choice, preprocessing, **split, **flags, dtype=dtype)
        return fitted, prepare(table, fitted.preprocessing, **split, dtype=dtype, scratch=tmp_path)

    return learn


def column(name, values):
    return "".join([f"{name},y\n", *(f"{value},{i % 5 + 2}\n" for i, value in enumerate(values))])


@pytest.mark.parametrize(("numeric", "missing"), [("standardize", "mean"), ("minmax", "median"), ("none", "constant")])
@pytest.mark.parametrize("categorical", ["one_hot", "ordinal"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_a_client_become_the_same_bits_as_rows_of_the_table(numeric, missing, categorical, dtype, learn, table):
    fitted, prepared = learn(
        PENGUINS, "species", numeric=numeric, missing=missing, categorical=categorical, dtype=dtype
    )
    fitted = fitted.preprocessing
    rows = [{name: row[name] for name in fitted.feature_names} for row in preview(table, 100)]
    together = fitted.encode_rows(rows, dtype)
    alone = np.concatenate([fitted.encode_rows([row], dtype) for row in rows])
    both = np.concatenate([prepared.x_train, prepared.x_validation])
    assert together.dtype == dtype
    assert together.tobytes() == alone.tobytes()
    assert sorted(map(bytes, together)) == sorted(map(bytes, both))


def test_only_training_rows_are_looked_at_in_fitting(read, learn, table):
    rows = PENGUINS.splitlines()
    fitted, _ = learn(PENGUINS, "mass", scale_targets=True)
    held_out = select(table, fitted.preprocessing, validation=HALF, seed=0).held_out
    for row in held_out.tolist():
        rows[row + 1] = "1e9,other,1999-01-01,no,-1e9,Emperor"
    other, _ = learn("\n".join(rows) + "\n", "mass", scale_targets=True)
    assert other.preprocessing == fitted.preprocessing


def test_fitted_numbers_are_those_of_the_training_rows(learn):
    content = column("a", [1, 2, "", 4, 5, 60, 7, "", 9, 10])
    fitted, prepared = learn(content, "y", validation=None)
    (one,) = fitted.preprocessing.inputs
    present = np.array([1, 2, 4, 5, 60, 7, 9, 10.0])
    assert (one.offset, one.fill) == (present.mean(), present.mean())
    assert one.scale == pytest.approx(present.std(), rel=1e-15)
    assert prepared.x_train[2] == 0
    assert prepared.x_validation is None
    assert learn(content, "y", validation=None, missing="median")[0].preprocessing.inputs[0].fill == np.median(present)


def test_fitted_preprocessing_survives_json_to_the_bit(learn):
    for target in ("species", "mass", ["mass", "bill"], "wild"):
        fitted = learn(PENGUINS, target, scale_targets=True, one_output=True)[0].preprocessing
        assert FittedPreprocessing.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(5e-324, 1e300),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_float_survives_json(offset, scale, fill):
    inputs = (FittedInput("a", Kind.NUMERIC, "standardize", offset, scale, fill),)
    fitted = FittedPreprocessing("regression", inputs, (FittedTarget("y", Kind.NUMERIC, None, offset, scale),), "mean")
    assert FittedPreprocessing.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted


def test_mapped_arrays_have_the_same_bits_as_those_in_memory(learn, monkeypatch):
    _, inside = learn(PENGUINS, "species", dtype=np.float32)
    monkeypatch.setattr(preparation, "MAX_IN_MEMORY_BYTES", 100)
    monkeypatch.setattr(preparation, "CHUNK_BYTES", 500)
    _, mapped = learn(PENGUINS, "species", dtype=np.float32)
    for name in ("x_train", "y_train", "x_validation", "y_validation"):
        a, b = getattr(inside, name), getattr(mapped, name)
        assert isinstance(b, np.memmap)
        assert (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
        assert a.flags.c_contiguous
        assert b.flags.c_contiguous


def test_preparing_twice_gives_the_same_bits_and_another_seed_others(learn):
    first, second, other = (learn(PENGUINS, "species", seed=seed)[1] for seed in (5, 5, 6))
    assert first.x_train.tobytes() == second.x_train.tobytes()
    assert first.x_train.tobytes() != other.x_train.tobytes()


def test_split_is_stratified_by_class(learn):
    fitted, prepared = learn(PENGUINS, "species", validation=Validation(fraction=0.3))
    assert (fitted.n_train, fitted.n_validation) == (42, 18)
    assert prepared.y_validation.sum(axis=0).tolist() == [6, 6, 6]


def test_unseen_category_and_missing_one_are_all_zeros_or_minus_one(learn):
    for categorical, expected in (("one_hot", [0, 0, 0]), ("ordinal", [-1])):
        fitted = learn(PENGUINS, "mass", features=["island"], categorical=categorical)[0].preprocessing
        for island in ("Z", None, "NA", 3, True):
            assert fitted.encode_rows([{"island": island}], np.float64).tolist() == [expected]


def test_numbers_as_categories_may_be_sent_as_numbers(read, table, learn):
    content = "code,y\n" + "".join(f"{c},{i}\n" for i, c in enumerate(["7", "x", "2.5"] * 4))
    fitted = learn(content, "y", validation=None)[0].preprocessing
    assert fitted.input_names == ("code=2.5", "code=7", "code=x")
    codes = [{"code": 7}, {"code": 7.0}, {"code": 2.5}, {"code": "x"}]
    assert fitted.encode_rows(codes, np.float32).argmax(axis=1).tolist() == [1, 1, 0, 2]


def test_rows_without_a_target_are_left_out_with_a_warning(learn):
    fitted, prepared = learn("a,y\n" + "".join(f"{i},{i if i % 4 else 'NA'}\n" for i in range(20)), "y")
    assert (len(prepared.x_train) + len(prepared.x_validation), fitted.n_train + fitted.n_validation) == (15, 15)
    assert [code for code, _ in fitted.warnings] == ["missing_target"]


@pytest.mark.parametrize("missing", ["drop_row", "error"])
def test_a_prediction_goes_on_with_the_mean_where_training_takes_no_gaps(missing, learn):
    cells = [1, 2, "" if missing == "drop_row" else 3, 4, 5, 6]
    fitted, prepared = learn(column("a", cells), "y", missing=missing, validation=None)
    assert len(prepared.x_train) == fitted.n_train == (5 if missing == "drop_row" else 6)
    assert fitted.preprocessing.encode_rows([{"a": None}], np.float64).tolist() == [[0.0]]


def test_column_that_is_constant_in_the_training_rows_gets_scale_one_and_a_warning(learn):
    content = column("a", [0.1] * 19 + [5])
    for seed in range(6):
        fitted, prepared = learn(content, "y", seed=seed)
        if fitted.warnings:
            break
    assert fitted.warnings[0][0] == "constant_in_training"
    assert (fitted.preprocessing.inputs[0].offset, fitted.preprocessing.inputs[0].scale) == (0.1, 1.0)
    assert not prepared.x_train.any()


def test_class_without_a_training_row_is_left_out_of_validation(learn):
    content = "a,y\n" + "".join(f"{i},{'xy'[i % 2] if i else 'rare'}\n" for i in range(20))
    seen = set()
    for seed in range(8):
        fitted, prepared = learn(content, "y", seed=seed, validation=Validation(fraction=0.5, stratify=False))
        assert len(prepared.x_validation) == fitted.n_validation
        assert (prepared.y_validation.sum(axis=1) == 1).all()
        seen |= {code for code, _ in fitted.warnings}
    assert seen == {"unseen_class"}


def test_two_classes_may_be_one_output_and_three_never(learn):
    fitted, prepared = learn(PENGUINS, "wild", one_output=True)
    assert fitted.preprocessing.n_outputs == prepared.y_train.shape[1] == 1
    assert set(prepared.y_train.ravel()) == {0, 1}
    assert learn(PENGUINS, "species", one_output=True)[0].preprocessing.n_outputs == 3


def test_scaled_targets_are_decoded_to_the_units_of_the_dataset(learn):
    fitted, prepared = learn(PENGUINS, ["mass", "bill"], scale_targets=True, validation=None)
    assert prepared.y_train.std(axis=0) == pytest.approx([1, 1])
    values = [answer["value"] for answer in fitted.preprocessing.decode(prepared.y_train, probabilities=False)]
    assert values[0] == pytest.approx([3000, 30])
    alone, prepared = learn(PENGUINS, "mass", validation=None)
    assert alone.preprocessing.decode(prepared.y_train[:1], probabilities=False) == [{"value": 3000.0}]


@pytest.mark.parametrize(
    ("written", "values", "labels"),
    [(["3", "12"], [3, 12], ["3", "12"]), (["0.5", "2"], [0.5, 2], ["0.5", "2"]), (["no", "yes"], [False, True], ["false", "true"]),
     (["0", "1"], [0, 1], ["0", "1"]), (["a", "b"], ["a", "b"], ["a", "b"])],
)  # fmt: skip
@pytest.mark.parametrize("one_output", [False, True])
def test_classes_are_decoded_as_json_values(written, values, labels, one_output, learn):
    content = "a,y\n" + "".join(f"{i},{written[i % 2]}\n" for i in range(20))
    fitted = learn(content, "y", task=Task.CLASSIFICATION, one_output=one_output)[0].preprocessing
    outputs = np.array([[0.25], [0.75]] if one_output else [[0.75, 0.25], [0.25, 0.75]])
    answers = fitted.decode(outputs, probabilities=True)
    assert [answer["value"] for answer in answers] == values
    assert [type(answer["value"]) for answer in answers] == [type(value) for value in values]
    assert answers[0]["probabilities"] == dict(zip(labels, [0.75, 0.25], strict=True))
    assert fitted.classes == tuple(labels)
    assert fitted.decode(outputs, probabilities=False) == [{"value": value} for value in values]
    assert json.loads(json.dumps(answers)) == answers


def test_all_faults_of_rows_come_at_once_and_at_most_a_hundred(learn):
    fitted = learn(PENGUINS, "species")[0].preprocessing
    good = {"bill": 1, "island": "A", "day": "2024-01-01", "wild": True, "mass": 1.5}
    bad = [
        {**good, "bill": "1", "wild": 2, "day": "soon"},
        {**good, "extra": 1, "mass": True},
        {name: good[name] for name in ("bill", "island", "day", "wild")},
        {**good, "bill": 10**400, "island": ["A"], "mass": float("inf")},
        good,
    ]
    with pytest.raises(InvalidRequest) as caught:
        fitted.encode_rows(bad, np.float32)
    assert {(fault.pointer, fault.code) for fault in caught.value.faults} == {
        ("/rows/0/bill", "wrong_type"), ("/rows/0/wild", "wrong_type"), ("/rows/0/day", "wrong_type"),
        ("/rows/1/extra", "unknown_column"), ("/rows/1/mass", "wrong_type"), ("/rows/2/mass", "lacking_column"),
        ("/rows/3/bill", "wrong_type"), ("/rows/3/island", "wrong_type"), ("/rows/3/mass", "wrong_type"),
    }  # fmt: skip
    with pytest.raises(InvalidRequest) as caught:
        fitted.encode_rows([{}] * 1000, np.float32)
    assert len(caught.value.faults) == 100


def test_value_that_overflows_after_scaling_is_a_fault(learn):
    fitted = learn(column("a", [1, 2, 3, 4]), "y", validation=None)[0].preprocessing
    with pytest.raises(InvalidRequest) as caught:
        fitted.encode_rows([{"a": 1}, {"a": 1e300}], np.float32)
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/rows/1/a", "out_of_range")]


def test_matrix_of_numbers_is_encoded_as_rows_are(learn):
    fitted = learn(PENGUINS, "species", features=["mass", "bill", "wild"])[0].preprocessing
    rows = [{"mass": 3000, "bill": 30.5, "wild": True}, {"mass": None, "bill": 2, "wild": 0}]
    matrix = [[3000, 30.5, True], [None, 2, 0]]
    assert fitted.encode_inputs(matrix, np.float32).tobytes() == fitted.encode_rows(rows, np.float32).tobytes()


def test_matrix_with_faults_points_at_them(learn):
    fitted = learn(PENGUINS, "species", features=["mass", "bill"])[0].preprocessing
    for inputs, at in (
        ([[1, 2], [1]], "/inputs/1"),
        ([[1, 2], [1, "x"]], "/inputs/1/1"),
        ([[1e308, 2]], "/inputs/0/0"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            fitted.encode_inputs(inputs, np.float32)
        assert [fault.pointer for fault in caught.value.faults] == [at]
    with pytest.raises(InvalidRequest) as caught:
        learn(PENGUINS, "species")[0].preprocessing.encode_inputs([[1, 2]], np.float32)
    assert caught.value.faults[0].pointer == "/inputs"


@pytest.mark.parametrize("numeric", ["standardize", "minmax"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "values",
    [
        [1.7e308, -1.7e308, 1],
        [5e-324, 0, 1e-323],
        [1e308, 1e308, 9e307],
        [-1.7976931348623157e308, 1.7976931348623157e308, 0],
    ],
)
def test_numbers_of_any_size_are_trained_on_and_predicted(numeric, dtype, values, learn):
    fitted, prepared = learn(column("a", values), "y", validation=None, numeric=numeric, dtype=dtype)
    assert np.isfinite(prepared.x_train).all()
    rows = [{"a": float(value)} for value in values] + [{"a": None}]
    encoded = fitted.preprocessing.encode_rows(rows, dtype)
    assert np.isfinite(encoded).all()
    assert encoded[:3].tobytes() == prepared.x_train.tobytes()
    if numeric == "minmax" and max(values) - min(values) > 1e-300:
        assert (encoded[:3].min(), encoded[:3].max()) == (0, 1)


def test_a_target_of_any_size_is_learned_and_answered_with_a_finite_number(learn):
    content = "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate([1.7e308, -1.7e308, 1e308, 0] * 3))
    fitted, prepared = learn(content, "y", scale_targets=True, validation=None)
    assert np.isfinite(prepared.y_train).all()
    answers = fitted.preprocessing.decode(np.vstack([prepared.y_train[:2], [[100.0]]]), probabilities=False)
    assert [one["value"] for one in answers[:2]] == pytest.approx([1.7e308, -1.7e308])
    assert answers[2]["value"] == 1.7976931348623157e308
    assert FittedPreprocessing.from_json(json.loads(json.dumps(fitted.preprocessing.to_json()))) == fitted.preprocessing


def test_numbers_that_do_not_fit_the_precision_are_refused_before_training(learn):
    for options, at in (
        ({"features": ["a"], "target": "y"}, "/features"),
        ({"features": ["y"], "target": "a"}, "/target"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            learn(column("a", [1e308, 1, 2]), validation=None, numeric="none", dtype=np.float32, **options)
        assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [(at, "out_of_range")]


def test_too_few_rows_are_a_fault(learn):
    with pytest.raises(InvalidRequest) as caught:
        learn("a,y\n1,NA\n2,3\n4,NA\n,4\n", "y", missing="drop_row", features=["a"], task=Task.REGRESSION)
    assert caught.value.faults[0].code == "too_few_rows"


def test_exclusive_or_sent_as_json_is_prepared_as_it_is(read, table, tmp_path):
    columns = read('{"inputs": [[0, 0], [0, 1], [1, 0], [1, 1]], "targets": [0, 1, 1, 0]}', Format.JSON).columns
    plain = Preprocessing(numeric="none")
    choice = choose(columns, target="y0", features=None, task=Task.REGRESSION, preprocessing=plain, max_classes=9)
    fitted = fit(table, choice, plain, validation=None, seed=0, one_output=True, scale_targets=False)
    prepared = prepare(table, fitted.preprocessing, validation=None, seed=0, dtype=np.float64, scratch=tmp_path)
    assert prepared.x_train.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert prepared.y_train.tolist() == [[0], [1], [1], [0]]
    assert pl.read_ipc(table).schema["x0"] == pl.UInt8
