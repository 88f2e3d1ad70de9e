"""The layers of a network in ONNX. Activations are made of operators that runtimes have in both precisions."""

from collections.abc import Callable, Mapping
from math import pi, sqrt
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.exports.graph import Graph
from engine.activations import SELU_ALPHA, SELU_SCALE
from engine.normal import COEFFICIENTS
from engine.normalization import EPS
from engine.spec import NetworkSpec

Arrays = Mapping[str, NDArray[Any]]


def feed_forward(graph: Graph, network: NetworkSpec, arrays: Arrays, x: str) -> str:
    """Add every layer; give the network's output, `[N, n_outputs]`."""
    a = x
    for i, layer in enumerate(network.layers):
        at = f"layers.{i}."
        parameters = [
            graph.constant(arrays[at + name], at + name) for name in ("weight", "bias") if at + name in arrays
        ]
        z = graph.add("Gemm", a, *parameters, transB=1)
        if layer.batch_norm:
            z = _normalize(graph, arrays, at + "batch_norm.", z)
        a = NODES[layer.activation](graph, z)
    return a


def _normalize(graph: Graph, arrays: Arrays, at: str, z: str) -> str:
    """Batch normalisation as learned, step by step as the engine does it."""
    slope = arrays[at + "weight"] / np.sqrt(arrays[at + "running_var"] + arrays[at + "running_var"].dtype.type(EPS))
    centred = graph.add("Sub", z, graph.constant(arrays[at + "running_mean"], at + "running_mean"))
    scaled = graph.add("Mul", centred, graph.constant(slope, at + "slope"))
    return graph.add("Add", scaled, graph.constant(arrays[at + "bias"], at + "bias"))


def _plain(operator: str, **attributes: Any) -> Callable[[Graph, str], str]:
    return lambda graph, z: graph.add(operator, z, **attributes)


def _leaky_relu(graph: Graph, z: str) -> str:
    return graph.add("Max", z, graph.add("Mul", z, graph.number(0.01)))


def _below_zero(graph: Graph, z: str) -> str:
    """`exp(min(z, 0)) - 1`."""
    below = graph.add("Min", z, graph.number(0.0))
    return graph.add("Sub", graph.add("Exp", below), graph.number(1.0))


def _elu(graph: Graph, z: str) -> str:
    return graph.add("Add", graph.add("Relu", z), _below_zero(graph, z))


def _selu(graph: Graph, z: str) -> str:
    below = graph.add("Mul", _below_zero(graph, z), graph.number(SELU_SCALE * SELU_ALPHA))
    return graph.add("Add", graph.add("Mul", graph.add("Relu", z), graph.number(SELU_SCALE)), below)


def _gelu(graph: Graph, z: str) -> str:
    """`z (1 + erf(z / sqrt(2))) / 2`; runtimes have no `erf` in double precision, so there it is the engine's polynomial."""
    if graph.dtype == "float64":
        return graph.add("Mul", z, _normal_distribution(graph, z))
    erf = graph.add("Erf", graph.add("Mul", z, graph.number(1.0 / sqrt(2.0))))
    return graph.add("Mul", graph.add("Mul", z, graph.number(0.5)), graph.add("Add", erf, graph.number(1.0)))


def _normal_distribution(graph: Graph, z: str) -> str:
    """`Phi(z)`, as `engine.normal` computes it."""
    magnitude, scale = graph.add("Abs", z), graph.number(2.5 * sqrt(2.0))
    s = graph.add("Div", graph.add("Sub", magnitude, scale), graph.add("Add", magnitude, scale))
    first, *others = reversed(COEFFICIENTS["float64"])
    tail = graph.number(first)
    for coefficient in others:
        tail = graph.add("Add", graph.add("Mul", tail, s), graph.number(coefficient))
    density = graph.add("Exp", graph.add("Mul", graph.add("Mul", z, z), graph.number(-0.5)))
    half = graph.add("Sub", graph.number(0.5), graph.add("Mul", tail, density))
    return graph.add("Add", graph.add("Mul", half, graph.add("Sign", z)), graph.number(0.5))


def _gelu_tanh(graph: Graph, z: str) -> str:
    k = sqrt(2.0 / pi)
    inner = graph.add("Add", graph.add("Mul", graph.add("Mul", z, z), graph.number(0.044715 * k)), graph.number(k))
    tanh = graph.add("Tanh", graph.add("Mul", inner, z))
    return graph.add("Mul", graph.add("Mul", z, graph.number(0.5)), graph.add("Add", tanh, graph.number(1.0)))


def _silu(graph: Graph, z: str) -> str:
    return graph.add("Mul", z, graph.add("Sigmoid", z))


def _softplus(graph: Graph, z: str) -> str:
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", z)))
    return graph.add("Add", graph.add("Relu", z), graph.add("Log", graph.add("Add", small, graph.number(1.0))))


def _softsign(graph: Graph, z: str) -> str:
    return graph.add("Div", z, graph.add("Add", graph.add("Abs", z), graph.number(1.0)))


def _hard_sigmoid(graph: Graph, z: str) -> str:
    above = graph.add("Relu", graph.add("Add", z, graph.number(3.0)))
    return graph.add("Div", graph.add("Min", above, graph.number(6.0)), graph.number(6.0))


NODES: Mapping[str, Callable[[Graph, str], str]] = MappingProxyType(
    {
        "linear": lambda _graph, z: z,
        "sigmoid": _plain("Sigmoid"),
        "tanh": _plain("Tanh"),
        "relu": _plain("Relu"),
        "leaky_relu": _leaky_relu,
        "elu": _elu,
        "selu": _selu,
        "gelu": _gelu,
        "gelu_tanh": _gelu_tanh,
        "silu": _silu,
        "softplus": _softplus,
        "softsign": _softsign,
        "hard_sigmoid": _hard_sigmoid,
        "softmax": _plain("Softmax", axis=1),
    }
)
