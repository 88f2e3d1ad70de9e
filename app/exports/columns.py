"""Raw columns to inputs of the network, in ONNX: one entry of `ENCODERS` for each encoding of a feature."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

import numpy as np

from app.contract.datasets import Kind
from app.exports.graph import ML, TYPES, Graph
from app.tables.fitted import FittedInput

TEXTS = frozenset({Kind.CATEGORICAL, Kind.TEXT})


def kind_of(column: FittedInput) -> str:
    """Give the type of a raw column: strings (missing: "") for categories, float64 (missing: NaN) for all others.

    A truth value is 1 or 0, a time is the seconds since 1970 (UTC).
    """
    return "str" if column.kind in TEXTS else "float64"


def encode(graph: Graph, columns: Sequence[FittedInput]) -> str:
    """Add all columns as inputs of the graph; give the network's input, `[N, n_inputs]`.

    Neighbours that are encoded alike are encoded at once, so that a thousand columns of numbers are a few nodes.
    """
    for one in columns:
        graph.input(one.name, kind_of(one))
    parts: list[str] = []
    for encoder, group in groupby(columns, lambda one: ENCODERS[one.encoding]):
        parts += encoder(graph, list(group))
    if not parts:  # all columns are of categories, and no training row has any
        n_rows = graph.add("Shape", columns[0].name, start=0, end=1)
        shape = graph.add("Concat", n_rows, graph.constant(np.array([0]), "shape"), axis=0)
        return graph.add("Cast", graph.add("ConstantOfShape", shape), to=TYPES[graph.dtype])
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _numbers(graph: Graph, columns: Sequence[FittedInput]) -> list[str]:
    """`(number - offset) / scale` in double precision, a missing number first replaced; then the network's."""
    raw = graph.add("Concat", *(one.name for one in columns), axis=1)
    fills = np.array([np.nan if one.fill is None else one.fill for one in columns])
    if not np.isnan(fills).all():
        raw = graph.add("Where", graph.add("IsNaN", raw), graph.constant(fills, "fill"), raw)
    offsets = graph.constant(np.array([one.offset for one in columns], np.float64), "offset")
    scales = graph.constant(np.array([one.scale for one in columns], np.float64), "scale")
    scaled = graph.add("Div", graph.add("Sub", raw, offsets), scales)
    return [scaled if graph.dtype == "float64" else graph.add("Cast", scaled, to=TYPES[graph.dtype])]


def _one_hot(graph: Graph, columns: Sequence[FittedInput]) -> list[str]:
    """One input a category, all 0 for what is none of them."""
    parts = []
    for one in columns:
        if one.categories:
            categories = [text.encode() for text in one.categories]
            hot = graph.add("OneHotEncoder", one.name, domain=ML, cats_strings=categories, zeros=1)
            flat = graph.add("Reshape", hot, graph.constant(np.array([-1, len(categories)]), "shape"))
            parts.append(flat if graph.dtype == "float32" else graph.add("Cast", flat, to=TYPES[graph.dtype]))
    return parts


def _ordinal(graph: Graph, columns: Sequence[FittedInput]) -> list[str]:
    """The place of the category, -1 for what is none of them."""
    parts = []
    for one in columns:
        # The operator takes no empty table.
        keys = [text.encode() for text in one.categories or ("\x01",)]
        places = list(range(len(keys))) if one.categories else [-1]
        code = graph.add("LabelEncoder", one.name, domain=ML, keys_strings=keys, values_int64s=places, default_int64=-1)
        parts.append(graph.add("Cast", code, to=TYPES[graph.dtype]))
    return parts


ENCODERS: Mapping[str, Callable[[Graph, Sequence[FittedInput]], list[str]]] = MappingProxyType(
    {
        "standardize": _numbers,
        "minmax": _numbers,
        "none": _numbers,
        "one_hot": _one_hot,
        "ordinal": _ordinal,
    }
)
