"""The whole model as ONNX: raw columns in, and out what `/predict` says."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.exports.columns import encode
from app.exports.graph import TYPES, Graph
from app.exports.layers import feed_forward
from app.tables.fitted import FittedPreprocessing
from app.tables.words import Scalar
from engine.spec import NetworkSpec

PROBABILITIES = frozenset({"sigmoid", "softmax"})


def to_onnx(network: NetworkSpec, arrays: Mapping[str, NDArray[Any]], preprocessing: FittedPreprocessing) -> bytes:
    """Write a model as ONNX (opset 17, ai.onnx.ml 3).

    Inputs: one a feature, under its name, `[N, 1]`: strings (missing: "") or float64 (missing: NaN; a truth value is 1 or 0, a
    time is the seconds since 1970). Outputs: `value`, the class or the number (`[N]`; `[N, n_targets]` for several), and of a
    classification `probabilities` `[N, n_classes]`, or `scores` where the network's outputs are none. The metadata have
    `classes`, `features` and `outputs` as JSON; an output whose name is a column's gets another one.
    """
    dtype = arrays["layers.0.weight"].dtype.name
    graph = Graph(dtype, preprocessing.feature_names)
    a = feed_forward(graph, network, arrays, encode(graph, preprocessing.inputs))
    if dtype != "float64":
        a = graph.add("Cast", a, to=TYPES["float64"])
    if preprocessing.task == "regression":
        outputs = _numbers(graph, a, preprocessing)
    else:
        outputs = _classes(graph, a, preprocessing, network.layers[-1].activation in PROBABILITIES)
    metadata = {
        "task": preprocessing.task,
        "features": json.dumps(preprocessing.feature_names, ensure_ascii=False),
        "outputs": json.dumps(outputs, ensure_ascii=False),
    }
    if preprocessing.classes is not None:
        metadata["classes"] = json.dumps(preprocessing.classes, ensure_ascii=False)
    content: bytes = graph.model(metadata).SerializeToString(deterministic=True)
    return content


def _numbers(graph: Graph, a: str, preprocessing: FittedPreprocessing) -> dict[str, str]:
    """The numbers in the units of the dataset, in double precision."""
    targets = preprocessing.targets
    scales = graph.constant(np.array([one.scale for one in targets], np.float64), "target_scale")
    offsets = graph.constant(np.array([one.offset for one in targets], np.float64), "target_offset")
    values = graph.add("Add", graph.add("Mul", a, scales), offsets)
    units = np.array([one.unit for one in targets])
    if (units != 1.0).any():
        values = graph.add("Div", values, graph.constant(units, "target_unit"))
    if len(targets) > 1:
        return {"value": graph.output("value", values, "float64", ["N", len(targets)])}
    flat = graph.add("Reshape", values, graph.constant(np.array([-1]), "shape"))
    return {"value": graph.output("value", flat, "float64", ["N"])}


def _classes(graph: Graph, a: str, preprocessing: FittedPreprocessing, probabilities: bool) -> dict[str, str]:
    """The class with the largest output, the first one of equals; two classes may be one output, 1 for the second."""
    values = preprocessing.targets[0].classes or ()
    if preprocessing.one_output:
        one = graph.constant(np.array(1.0), "one")
        a = graph.add("Concat", graph.add("Sub", one, a), a, axis=1)
    best = graph.add("ArgMax", a, axis=1, keepdims=0)
    array, kind = _labels(values)
    value = graph.output("value", graph.add("Gather", graph.constant(array, "classes"), best), kind, ["N"])
    name = "probabilities" if probabilities else "scores"
    return {"value": value, name: graph.output(name, a, "float64", ["N", len(values)])}


def _labels(values: tuple[Scalar, ...]) -> tuple[NDArray[Any], str]:
    """The classes as an array, and its type: strings, truth values, whole numbers or numbers."""
    if all(isinstance(value, str) for value in values):
        return np.array(values, object), "str"
    for types, kind in ((bool, "bool"), (int, "int64")):
        if all(isinstance(value, types) for value in values):
            return np.array(values, kind), kind
    return np.array(values, np.float64), "float64"
