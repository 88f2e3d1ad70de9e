"""Raw columns to inputs of the network, in ONNX: one entry of `ENCODERS` for each encoding of a feature."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

import numpy as np

from app.contract.datasets import Kind
from app.exports.graph import ML, TYPES, Graph
from app.tables.calendar import DAY_S, circle
from app.tables.fitted import FittedInput

HOUR_S = 3600.0
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
    for encoder, group in groupby(columns, lambda one: _times if one.cycles else ENCODERS[one.encoding]):
        parts += encoder(graph, list(group))
    if not parts:  # all columns are of categories, and no training row has any
        n_rows = graph.add("Shape", columns[0].name, start=0, end=1)
        shape = graph.add("Concat", n_rows, graph.constant(np.array([0]), "shape"), axis=0)
        return graph.add("Cast", graph.add("ConstantOfShape", shape), to=TYPES[graph.dtype])
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _numbers(graph: Graph, columns: Sequence[FittedInput]) -> list[str]:
    """`(number * unit - offset) / scale` in double precision, a missing number first replaced; then the network's."""
    raw = graph.add("Concat", *(one.name for one in columns), axis=1)
    fills = np.array([np.nan if one.fill is None else one.fill for one in columns])
    if not np.isnan(fills).all():
        raw = graph.add("Where", graph.add("IsNaN", raw), graph.constant(fills, "fill"), raw)
    units = np.array([one.unit for one in columns])
    if (units != 1.0).any():
        raw = graph.add("Mul", raw, graph.constant(units, "unit"))
    offsets = graph.constant(np.array([one.offset for one in columns], np.float64), "offset")
    scales = graph.constant(np.array([one.scale for one in columns], np.float64), "scale")
    scaled = graph.add("Div", graph.add("Sub", raw, offsets), scales)
    return [scaled if graph.dtype == "float64" else graph.add("Cast", scaled, to=TYPES[graph.dtype])]


def _times(graph: Graph, columns: Sequence[FittedInput]) -> list[str]:
    """The seconds since 1970 as a number, then a point on a circle for each cyclic part: `app.tables.calendar` in integers."""
    parts = []
    for one in columns:
        parts += _numbers(graph, [one])
        missing = graph.add("IsNaN", one.name)
        seconds = graph.add("Where", missing, graph.constant(np.array(0.0), "epoch"), one.name)
        day_s = graph.constant(np.array(DAY_S), "day")
        day = graph.add("Floor", graph.add("Div", seconds, day_s))
        for cycle in one.cycles:
            if cycle == "hour":
                rest = graph.add("Sub", seconds, graph.add("Mul", day, day_s))
                hour = graph.add("Floor", graph.add("Div", rest, graph.constant(np.array(HOUR_S), "hour")))
                place = graph.add("Cast", hour, to=TYPES["int64"])
            else:
                place = _PLACES[cycle](_Whole(graph), graph.add("Cast", day, to=TYPES["int64"]))
            points = circle(cycle)
            last = graph.constant(np.array(len(points) - 1), "missing")
            point = graph.add("Gather", graph.constant(points, cycle), graph.add("Where", missing, last, place))
            flat = graph.add("Reshape", point, graph.constant(np.array([-1, 2]), "shape"))
            parts.append(flat if graph.dtype == "float64" else graph.add("Cast", flat, to=TYPES[graph.dtype]))
    return parts


class _Whole:
    """Arithmetic of whole numbers that are at least 0, each operation a node."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def _number(self, value: int) -> str:
        return self._graph.constant(np.array(value), "whole")

    def plus(self, x: str, y: str | int) -> str:
        return self._graph.add("Add", x, y if isinstance(y, str) else self._number(y))

    def minus(self, x: str, y: str) -> str:
        return self._graph.add("Sub", x, y)

    def times(self, x: str, factor: int) -> str:
        return self._graph.add("Mul", x, self._number(factor))

    def by(self, x: str, divisor: int) -> str:
        """The quotient without its remainder."""
        return self._graph.add("Div", x, self._number(divisor))

    def modulo(self, x: str, divisor: int) -> str:
        return self._graph.add("Mod", x, self._number(divisor))


def _weekday(whole: _Whole, day: str) -> str:
    return whole.modulo(whole.plus(day, 3), 7)  # 1970 began on a Thursday


def _month(whole: _Whole, day: str) -> str:
    """The month of a day since 1970, in years that begin in March, so that the leap day is the last of its year.

    400 years have 146,097 days, 100 of them 36,524 and 4 of them 1,461; from March on, 153 days are five months.
    """
    since_march = whole.plus(day, 719_468)  # from the first of March of the year 0
    of_era = whole.modulo(since_march, 146_097)
    leap_days = whole.minus(
        whole.plus(whole.minus(of_era, whole.by(of_era, 1_460)), whole.by(of_era, 36_524)), whole.by(of_era, 146_096)
    )
    year = whole.by(leap_days, 365)
    before = whole.minus(whole.plus(whole.times(year, 365), whole.by(year, 4)), whole.by(year, 100))
    month = whole.by(whole.plus(whole.times(whole.minus(of_era, before), 5), 2), 153)
    return whole.modulo(whole.plus(month, 2), 12)


_PLACES: Mapping[str, Callable[[_Whole, str], str]] = MappingProxyType({"weekday": _weekday, "month": _month})


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
