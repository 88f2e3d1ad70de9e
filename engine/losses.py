"""The costs: what is reported, and its gradient at the output.

A loss is one entry of `LOSSES`. The number that is reported is the number that is descended: ``C`` of a batch is the
mean over its rows of the cost of a row, and a row's cost is ``share(n_outputs)`` times a sum over its outputs. Where
rows have weights ``w``, the mean is ``sum(w C) / sum(w)``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import log
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.parameters import Parameter, Value, complete


@dataclass(frozen=True, slots=True)
class Loss:
    """One cost.

    Attributes:
        name: what a specification calls it.
        doc: the cost of one row, for people.
        each: ``each(z, a, y, out, scratch, values)`` writes the cost of each output of each row, without ``share``.
            All are ``(rows, n_outputs)``; ``z`` is what the output activation left of it (softmax leaves ``log a``).
        gradient: ``gradient(a, y, out, scratch, values)`` writes ``grad_a C`` of each row, without ``share``. Where the
            pair with the output activation collapses, it writes ``delta^L`` itself.
        share: ``share(n_outputs)``: the factor before the sum over outputs.
        collapses_with: the output activation with which ``delta^L = a - y``, or None.
        outputs: the output activations that the cost is defined for; None: all.
        tasks: the tasks that it is meant for.
        smooths: whether its targets may be smoothed.
        threshold: a single output that is at least this says the class 1.
        parameters: what it takes besides its name.
        values: every parameter, as given to `with_parameters`.
    """

    name: str
    doc: str
    each: Callable[[Array, Array, Array, Array, Array, Mapping[str, Any]], None]
    gradient: Callable[[Array, Array, Array, Array, Mapping[str, Any]], None]
    share: Callable[[int], float]
    tasks: tuple[str, ...]
    collapses_with: str | None = None
    outputs: tuple[str, ...] | None = None
    smooths: bool = False
    threshold: float = 0.5
    parameters: tuple[Parameter, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def with_parameters(self, given: Mapping[str, Value]) -> "Loss":
        """The same loss with its parameters as given, and their defaults where nothing is."""
        return replace(self, values=complete(self.parameters, given))

    def smoothing_classes(self, n_outputs: int) -> int:
        """Between how many classes a smoothed target is mixed: each sigmoid output decides between two."""
        return n_outputs if self.collapses_with == "softmax" else 2


def _difference(
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    del scratch, values
    np.subtract(a, y, out)


def _half_square(
    z: Float[Array, "rows n_outputs"],
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    del z, scratch, values
    np.subtract(a, y, out)
    np.multiply(out, out, out)
    np.multiply(out, 0.5, out)


def _absolute(
    z: Float[Array, "rows n_outputs"],
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    del z, scratch, values
    np.subtract(a, y, out)
    np.abs(out, out)


def _sign(
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    del scratch, values
    np.subtract(a, y, out)
    np.sign(out, out)


def _huber(
    z: Float[Array, "rows n_outputs"],
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    """``c (|r| - c / 2)`` with ``c = min(|r|, delta)``: both branches in one."""
    del z
    np.subtract(a, y, out)
    np.abs(out, out)
    np.minimum(out, values["delta"], out=scratch)
    np.multiply(scratch, -0.5, scratch)
    np.add(out, scratch, out)
    np.multiply(scratch, -2.0, scratch)
    np.multiply(out, scratch, out)


def _huber_gradient(
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    del scratch
    np.subtract(a, y, out)
    np.clip(out, -values["delta"], values["delta"], out)


def _log_cosh(
    z: Float[Array, "rows n_outputs"],
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    """``|r| + log(1 + exp(-2 |r|)) - log 2``, which does not overflow."""
    del z, values
    np.subtract(a, y, out)
    np.abs(out, out)
    np.multiply(out, -2.0, scratch)
    np.exp(scratch, scratch)
    np.log1p(scratch, scratch)
    np.add(out, scratch, out)
    np.subtract(out, log(2.0), out)


def _log_cosh_gradient(
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    del scratch, values
    np.subtract(a, y, out)
    np.tanh(out, out)


def _quantile(
    z: Float[Array, "rows n_outputs"],
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    del z
    np.subtract(y, a, out)
    np.multiply(out, values["quantile"] - 1.0, scratch)
    np.multiply(out, values["quantile"], out)
    np.maximum(out, scratch, out=out)


def _quantile_gradient(
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    """``-q`` below the target, ``1 - q`` above, and their mean on it."""
    del scratch
    np.subtract(a, y, out)
    np.sign(out, out)
    np.multiply(out, 0.5, out)
    np.add(out, 0.5 - values["quantile"], out)


def _poisson(
    z: Float[Array, "rows n_outputs"],
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    del z
    np.add(a, values["eps"], scratch)
    np.log(scratch, scratch)
    np.multiply(scratch, y, scratch)
    np.subtract(a, scratch, out)


def _poisson_gradient(
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    np.add(a, values["eps"], scratch)
    np.divide(y, scratch, out)
    np.subtract(1.0, out, out)


def _hinge(
    z: Float[Array, "rows n_outputs"],
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    del z
    np.multiply(y, -2.0, scratch)
    np.add(scratch, 1.0, scratch)
    np.multiply(scratch, a, out)
    np.add(out, values["margin"], out)
    np.maximum(out, 0.0, out=out)


def _hinge_gradient(
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    """``1 - 2 y`` within the margin, 0 beyond."""
    np.multiply(y, -2.0, scratch)
    np.add(scratch, 1.0, scratch)
    np.multiply(scratch, a, out)
    np.greater(out, -values["margin"], out)
    np.multiply(out, scratch, out)


def _binary_cross_entropy(
    z: Float[Array, "rows n_outputs"],
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    """``log(1 + exp(-|z|)) + z ([z > 0] - y)``: the same number as from ``a``, and finite where ``a`` is 0 or 1.

    Both terms are at least 0, so nothing cancels.
    """
    del a, values
    np.abs(z, out)
    np.negative(out, out)
    np.exp(out, out)
    np.log1p(out, out)
    np.greater(z, 0.0, scratch)
    np.subtract(scratch, y, scratch)
    np.multiply(scratch, z, scratch)
    np.add(out, scratch, out)


def _cross_entropy(
    z: Float[Array, "rows n_outputs"],
    a: Float[Array, "rows n_outputs"],
    y: Float[Array, "rows n_outputs"],
    out: Float[Array, "rows n_outputs"],
    scratch: Float[Array, "rows n_outputs"],
    values: Mapping[str, Any],
) -> None:
    """``-y log a``, with the ``log a`` that softmax left in ``z``: finite where ``a`` underflows to 0."""
    del a, scratch, values
    np.multiply(y, z, out)
    np.negative(out, out)


def _one(n_outputs: int) -> float:
    del n_outputs
    return 1.0


def _mean(n_outputs: int) -> float:
    return 1.0 / n_outputs


def _twice_the_mean(n_outputs: int) -> float:
    return 2.0 / n_outputs


_BOTH = ("classification", "regression")
_CLASSES = ("classification",)
_NUMBERS = ("regression",)
_DELTA = Parameter("delta", 1.0, "Where the square turns into a line.", 0.0, exclusive_minimum=True)
_QUANTILE = Parameter("quantile", 0.5, "Which quantile is learned.", 0.0, 1.0, True, True)
_EPS = Parameter("eps", 1e-8, "Added to the rate in the logarithm.", 0.0, exclusive_minimum=True)
_MARGIN = Parameter("margin", 1.0, "How far beyond 0 an answer is right.", 0.0)

LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        loss.name: loss.with_parameters({})
        for loss in (
            Loss("quadratic", "1/2 sum (a - y)^2", _half_square, _difference, _one, _BOTH),
            Loss("mean_squared_error", "mean (a - y)^2", _half_square, _difference, _twice_the_mean, _BOTH),
            Loss("mean_absolute_error", "mean |a - y|", _absolute, _sign, _mean, _BOTH),
            Loss(
                name="huber",
                doc="mean (a - y)^2 / 2 where |a - y| <= delta, delta (|a - y| - delta / 2) beyond",
                each=_huber,
                gradient=_huber_gradient,
                share=_mean,
                tasks=_BOTH,
                parameters=(_DELTA,),
            ),
            Loss("log_cosh", "mean log cosh(a - y)", _log_cosh, _log_cosh_gradient, _mean, _BOTH),
            Loss(
                name="quantile",
                doc="mean max(q (y - a), (q - 1) (y - a))",
                each=_quantile,
                gradient=_quantile_gradient,
                share=_mean,
                tasks=_NUMBERS,
                parameters=(_QUANTILE,),
            ),
            Loss(
                name="poisson",
                doc="mean a - y log(a + eps), a being the rate",
                each=_poisson,
                gradient=_poisson_gradient,
                share=_mean,
                tasks=_NUMBERS,
                outputs=("softplus", "relu", "sigmoid"),
                parameters=(_EPS,),
            ),
            Loss(
                name="binary_cross_entropy",
                doc="-mean (y log a + (1 - y) log(1 - a))",
                each=_binary_cross_entropy,
                gradient=_difference,
                share=_mean,
                tasks=_CLASSES,
                collapses_with="sigmoid",
                outputs=("sigmoid",),
                smooths=True,
            ),
            Loss(
                name="cross_entropy",
                doc="-sum y log a",
                each=_cross_entropy,
                gradient=_difference,
                share=_one,
                tasks=_CLASSES,
                collapses_with="softmax",
                outputs=("softmax",),
                smooths=True,
            ),
            Loss(
                name="hinge",
                doc="mean max(0, margin - (2 y - 1) a): one class against the others",
                each=_hinge,
                gradient=_hinge_gradient,
                share=_mean,
                tasks=_CLASSES,
                outputs=("linear", "tanh", "softsign"),
                threshold=0.0,
                parameters=(_MARGIN,),
            ),
        )
    }
)
