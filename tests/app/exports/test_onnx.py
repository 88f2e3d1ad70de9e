"""ONNX says what `/predict` says, whatever the columns, the network and the classes are."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.contract.datasets import Kind
from app.contract.models import WeightsFormat
from app.exports.files import write
from app.exports.samples import feeds, sample_rows
from app.tables.fitted import FittedInput, FittedPreprocessing
from engine.activations import ACTIVATIONS
from engine.predict import predict
from engine.spec import NetworkSpec
from engine.weights import flat_parameters
from tests.app.exports.cases import COLUMNS, network, preprocessing, weights

HIDDEN = [name for name, activation in ACTIVATIONS.items() if activation.elementwise]


def run(content: bytes, columns: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = json.loads(session.get_modelmeta().custom_metadata_map["outputs"])
    return dict(zip(names, session.run(list(names.values()), columns), strict=True))


def compare(
    spec: NetworkSpec,
    arrays: dict[str, Any],
    fitted: FittedPreprocessing,
    rows: list[dict[str, Any]],
    within: float = 1e-5,
) -> dict[str, Any]:
    """Compare with the way that `/predict` goes; give what ONNX says."""
    dtype = arrays["layers.0.weight"].dtype.name
    outputs = predict(spec, flat_parameters(spec, arrays, dtype), fitted.encode_rows(rows, dtype))
    probabilities = fitted.task == "classification" and spec.layers[-1].activation in {"softmax", "sigmoid"}
    expected = fitted.decode(outputs, probabilities=probabilities)
    found = run(write(WeightsFormat.ONNX, spec, arrays, fitted), feeds(fitted, rows))
    values = [one["value"] for one in expected]
    if fitted.task == "regression":
        scale = max(one.scale for one in fitted.targets)
        np.testing.assert_allclose(found["value"], np.array(values), rtol=within, atol=within * scale)
        return found
    ranked = np.sort(np.column_stack([1 - outputs, outputs]) if fitted.one_output else outputs, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 2 * within
    for is_clear, label, value in zip(clear, found["value"].tolist(), values, strict=True):
        assert label == value or not is_clear
    if probabilities:
        rows_of = [list(one["probabilities"].values()) for one in expected]
        np.testing.assert_allclose(found["probabilities"], rows_of, rtol=0, atol=within)
    else:
        np.testing.assert_allclose(found["scores"], outputs, rtol=within, atol=within)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation_agrees_hidden_and_as_output(activation: str, dtype: str) -> None:
    within = 1e-5 if dtype == "float32" else 1e-12
    fitted = preprocessing()
    spec = network(fitted, [(9, activation, True), (5, activation, False)])
    compare(spec, weights(spec, dtype), fitted, sample_rows(fitted, None), within)
    fitted = preprocessing(None, targets=2)
    spec = network(fitted, [(6, activation, False)], activation, bias=False)
    compare(spec, weights(spec, dtype), fitted, sample_rows(fitted, None), within)


@pytest.mark.parametrize("activation", HIDDEN)
def test_activations_agree_far_from_zero(activation: str) -> None:
    column = FittedInput("x", Kind.NUMERIC, "none")
    fitted = preprocessing(None, columns=[column])
    spec = network(fitted, [(1, activation, False)], "linear", bias=False)
    one = {"layers.0.weight": np.ones((1, 1), np.float32), "layers.1.weight": np.ones((1, 1), np.float32)}
    points = [-1e4, -100.0, -30.0, -5.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 5.0, 30.0, 100.0, 1e4]
    compare(spec, one, fitted, [{"x": x} for x in points])


@pytest.mark.parametrize(
    ("classes", "output", "one_output"),
    [
        (("a", "b"), "sigmoid", True),
        ((False, True), "sigmoid", True),
        ((3, 7), "softmax", False),
        ((0.5, 1, 2), "sigmoid", False),
        ((-1, 0, 2**52), "linear", False),
        (("true", "a", "A", " "), "tanh", False),
    ],
)
def test_every_kind_of_class_comes_out_as_itself(classes: tuple[Any, ...], output: str, one_output: bool) -> None:
    fitted = preprocessing(classes, one_output=one_output)
    spec = network(fitted, [(7, "tanh", False)], output, bias=False)
    arrays = {name: 3 * array for name, array in weights(spec, seed=1).items()}
    found = compare(spec, arrays, fitted, sample_rows(fitted, None))
    kinds = {str: "O", bool: "b", int: "i"}
    assert found["value"].dtype.kind == ("f" if 0.5 in classes else kinds[type(classes[0])])
    assert len(set(found["value"].tolist())) > 1, "a label that never changes shows nothing"


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
numbers = st.floats(-1e12, 1e12).map(lambda x: round(x, 3))


@st.composite
def columns(draw: st.DrawFn) -> list[FittedInput]:
    made = []
    for name in draw(
        st.lists(names | st.sampled_from(["value", "probabilities", "gemm"]), min_size=1, max_size=6, unique=True)
    ):
        kind = draw(st.sampled_from(list(Kind)))
        if kind in {Kind.CATEGORICAL, Kind.TEXT}:
            categories = tuple(sorted(draw(st.sets(names, min_size=1, max_size=5))))
            made.append(FittedInput(name, kind, draw(st.sampled_from(["one_hot", "ordinal"])), categories=categories))
            continue
        encoding = draw(st.sampled_from(["standardize", "minmax", "none"]))
        offset, scale = (draw(numbers), draw(st.floats(1e-3, 1e6))) if encoding != "none" else (0.0, 1.0)
        made.append(FittedInput(name, kind, encoding, offset, scale, draw(st.none() | st.just(offset))))
    return made


@pytest.mark.slow
@given(
    made=columns(),
    hidden=st.lists(st.tuples(st.integers(1, 8), st.sampled_from(HIDDEN), st.booleans()), max_size=3),
    classes=st.none() | st.lists(names, min_size=2, max_size=4, unique=True),
    bias=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_any_table_and_network_agrees(made: Any, hidden: Any, classes: Any, bias: bool, dtype: str, seed: int) -> None:
    fitted = preprocessing(classes, columns=made)
    spec = network(fitted, hidden, "linear" if classes is None else "softmax", bias=bias)
    rows = [
        row
        for row in sample_rows(fitted, None)
        # Times and numbers that are not scaled are far from 0, where a network in single precision rounds coarsely.
        if np.abs(fitted.encode_rows([row], "float64")).max() < 100
    ]
    if rows:
        compare(spec, weights(spec, dtype, seed), fitted, rows)


def test_a_thousand_columns_are_a_few_nodes_and_agree() -> None:
    made = [FittedInput(f"c{i}", Kind.NUMERIC, "standardize", float(i), 1.0 + i, float(i)) for i in range(1000)]
    fitted = preprocessing(None, columns=made)
    spec = network(fitted, [(4, "tanh", False)], "linear")
    arrays = weights(spec)
    compare(spec, arrays, fitted, sample_rows(fitted, None))
    model = onnx.load_from_string(write(WeightsFormat.ONNX, spec, arrays, fitted))
    assert len(model.graph.node) < 20
    assert [one.name for one in model.graph.input] == [one.name for one in made]


def test_one_row_and_many_rows_and_one_column_agree() -> None:
    fitted = preprocessing(columns=COLUMNS[:1])
    spec = network(fitted)
    arrays = weights(spec)
    compare(spec, arrays, fitted, [{"far": 1e9 + 1}])
    compare(spec, arrays, fitted, [{"far": 1e9 + i / 100} for i in range(5000)])


def test_the_file_declares_raw_columns_classes_and_versions() -> None:
    fitted = preprocessing(columns=[*COLUMNS, FittedInput("value", Kind.NUMERIC, "none")])
    spec = network(fitted)
    content = write(WeightsFormat.ONNX, spec, weights(spec), fitted)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    assert {one.domain: one.version for one in model.opset_import} == {"": 17, "ai.onnx.ml": 3}
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert {one.name: (one.type, one.shape) for one in session.get_inputs()} == {
        one.name: ("tensor(string)" if one.categories is not None else "tensor(double)", ["N", 1])
        for one in fitted.inputs
    }
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == list(fitted.classes or ())
    assert json.loads(metadata["outputs"]) == {"value": "value_1", "probabilities": "probabilities"}
    assert [one.name for one in session.get_outputs()] == ["value_1", "probabilities"]
    assert fitted.feature_names == tuple(json.loads(metadata["features"]))


def test_two_equal_outputs_are_the_first_class_as_in_predict() -> None:
    for one_output in (True, False):
        fitted = preprocessing(("a", "b"), columns=COLUMNS[2:3], one_output=one_output)
        spec = network(fitted, [], "sigmoid")
        zero = {name: np.zeros_like(array) for name, array in weights(spec).items()}
        found = run(write(WeightsFormat.ONNX, spec, zero, fitted), {"raw": np.array([[1.0]])})
        assert found["value"].tolist() == ["a"]


@given(seconds=st.lists(st.integers(-62_135_596_800, 253_402_300_799), min_size=1, max_size=20))
@settings(deadline=None)
def test_parts_of_any_time_are_those_of_the_calendar(seconds: list[int]) -> None:
    """The network is the identity, so that what it says are its inputs."""
    column = FittedInput("t", Kind.DATETIME, "none", fill=0.0, parts=("time", "month", "weekday", "hour"))
    fitted = preprocessing(None, columns=[column], targets=7)
    fitted = replace(fitted, targets=tuple(replace(one, offset=0.0, scale=1.0) for one in fitted.targets))
    spec = network(fitted, [], "linear", bias=False)
    content = write(WeightsFormat.ONNX, spec, {"layers.0.weight": np.eye(7)}, fitted)
    found = run(content, {"t": np.array([*seconds, np.nan])[:, None]})["value"]
    for second, (_, *points) in zip(seconds, found[:-1], strict=True):
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
        shares = (time.month - 1) / 12, time.weekday() / 7, time.hour / 24
        wanted = [f(2 * math.pi * share) for share in shares for f in (math.sin, math.cos)]
        np.testing.assert_allclose(points, wanted, rtol=0, atol=1e-15)
    assert (found[-1][1:] == 0.0).all()
