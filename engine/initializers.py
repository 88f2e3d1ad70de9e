"""How the first weights are drawn. Biases start at 0.

An initializer is one entry of `INITIALIZERS`. ``fan_in`` and ``fan_out`` are the widths that a weight matrix joins.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.parameters import Parameter


@dataclass(frozen=True, slots=True)
class Initializer:
    """One way of drawing a weight matrix.

    Attributes:
        name: what a specification calls it.
        doc: the distribution and its source, for people.
        draw: ``draw(generator, fan_in, fan_out, values)`` gives a float64 matrix ``(fan_out, fan_in)``.
        parameters: what it takes besides its name.
    """

    name: str
    doc: str
    draw: Callable[[np.random.Generator, int, int, Mapping[str, Any]], Array]
    parameters: tuple[Parameter, ...] = ()


def _glorot_uniform(
    generator: np.random.Generator, fan_in: int, fan_out: int, values: Mapping[str, Any]
) -> Float[Array, "{fan_out} {fan_in}"]:
    del values
    limit = sqrt(6.0 / (fan_in + fan_out))
    return generator.uniform(-limit, limit, (fan_out, fan_in))


def _glorot_normal(
    generator: np.random.Generator, fan_in: int, fan_out: int, values: Mapping[str, Any]
) -> Float[Array, "{fan_out} {fan_in}"]:
    del values
    return generator.normal(0.0, sqrt(2.0 / (fan_in + fan_out)), (fan_out, fan_in))


def _he_uniform(
    generator: np.random.Generator, fan_in: int, fan_out: int, values: Mapping[str, Any]
) -> Float[Array, "{fan_out} {fan_in}"]:
    del values
    limit = sqrt(6.0 / fan_in)
    return generator.uniform(-limit, limit, (fan_out, fan_in))


def _he_normal(
    generator: np.random.Generator, fan_in: int, fan_out: int, values: Mapping[str, Any]
) -> Float[Array, "{fan_out} {fan_in}"]:
    del values
    return generator.normal(0.0, sqrt(2.0 / fan_in), (fan_out, fan_in))


def _lecun_uniform(
    generator: np.random.Generator, fan_in: int, fan_out: int, values: Mapping[str, Any]
) -> Float[Array, "{fan_out} {fan_in}"]:
    del values
    limit = sqrt(3.0 / fan_in)
    return generator.uniform(-limit, limit, (fan_out, fan_in))


def _lecun_normal(
    generator: np.random.Generator, fan_in: int, fan_out: int, values: Mapping[str, Any]
) -> Float[Array, "{fan_out} {fan_in}"]:
    del values
    return generator.normal(0.0, sqrt(1.0 / fan_in), (fan_out, fan_in))


def _orthogonal(
    generator: np.random.Generator, fan_in: int, fan_out: int, values: Mapping[str, Any]
) -> Float[Array, "{fan_out} {fan_in}"]:
    """The signs of R's diagonal make the draw uniform over all such matrices."""
    tall = generator.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    Q, R = np.linalg.qr(tall)
    Q *= values["gain"] * np.copysign(1.0, np.diag(R))
    return np.ascontiguousarray(Q if fan_out >= fan_in else Q.T)


def _constant(
    generator: np.random.Generator, fan_in: int, fan_out: int, values: Mapping[str, Any]
) -> Float[Array, "{fan_out} {fan_in}"]:
    del generator
    return np.full((fan_out, fan_in), values["value"], np.float64)


def _zeros(
    generator: np.random.Generator, fan_in: int, fan_out: int, values: Mapping[str, Any]
) -> Float[Array, "{fan_out} {fan_in}"]:
    del generator, values
    return np.zeros((fan_out, fan_in))


_GAIN = Parameter("gain", 1.0, "Factor of the orthonormal matrix.", 0.0)
_VALUE = Parameter("value", 0.0, "What every weight is.")

INITIALIZERS: Mapping[str, Initializer] = MappingProxyType(
    {
        initializer.name: initializer
        for initializer in (
            Initializer("glorot_uniform", "U(-x, x), x = sqrt(6 / (fan_in + fan_out)); Glorot 2010", _glorot_uniform),
            Initializer("glorot_normal", "N(0, 2 / (fan_in + fan_out)); Glorot 2010", _glorot_normal),
            Initializer("he_uniform", "U(-x, x), x = sqrt(6 / fan_in); He 2015", _he_uniform),
            Initializer("he_normal", "N(0, 2 / fan_in); He 2015", _he_normal),
            Initializer("lecun_uniform", "U(-x, x), x = sqrt(3 / fan_in); LeCun 1998", _lecun_uniform),
            Initializer("lecun_normal", "N(0, 1 / fan_in); LeCun 1998, Klambauer 2017", _lecun_normal),
            Initializer("orthogonal", "orthonormal rows or columns, times gain; Saxe 2014", _orthogonal, (_GAIN,)),
            Initializer("constant", "value; hidden units then stay equal", _constant, (_VALUE,)),
            Initializer("zeros", "0; hidden units then stay equal", _zeros),
        )
    }
)
"""What can be asked for by name; ``"auto"`` stands for the one that each layer's activation names."""
