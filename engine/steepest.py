"""Gradient descent with a constant step, and with a velocity."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.equations import descend
from engine.parameters import Parameter
from engine.rule import DECAY, MOMENTUM, Optimizer, Rates


def _constant_rates(step: int, learning_rate: float, parameters: Mapping[str, Any]) -> Rates:
    del step, parameters
    return (learning_rate,)


def _constant_step(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    slots: Sequence[Array],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
    spare: Float[Array, " n"],
) -> None:
    del slots, spare
    descend(theta, gradient, rates[0], scratch=scratch)


def _momentum_rates(step: int, learning_rate: float, parameters: Mapping[str, Any]) -> Rates:
    undamped = 1.0 if step == 1 else 1.0 - parameters["dampening"]
    return learning_rate, parameters["momentum"], undamped


def _momentum(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    slots: Sequence[Array],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
    spare: Float[Array, " n"],
) -> None:
    """``v <- momentum v + (1 - dampening) g``, and a step of ``learning_rate v``. The first step is not dampened."""
    del spare
    (v,) = slots
    learning_rate, momentum, undamped = rates
    np.multiply(gradient, undamped, scratch)
    np.multiply(v, momentum, v)
    np.add(v, scratch, v)
    descend(theta, v, learning_rate, scratch=scratch)


def _nesterov_rates(step: int, learning_rate: float, parameters: Mapping[str, Any]) -> Rates:
    del step
    return learning_rate, parameters["momentum"]


def _nesterov(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    slots: Sequence[Array],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
    spare: Float[Array, " n"],
) -> None:
    """``v <- momentum v + g``, and a step of ``learning_rate (g + momentum v)``."""
    del spare
    (v,) = slots
    learning_rate, momentum = rates
    np.multiply(v, momentum, v)
    np.add(v, gradient, v)
    np.multiply(v, momentum, scratch)
    np.add(scratch, gradient, scratch)
    descend(theta, scratch, learning_rate, scratch=scratch)


STEEPEST = (
    Optimizer(
        name="gradient_descent",
        doc="The paper's constant step, eqs. (1) and (2).",
        default_learning_rate=1e-3,
        parameters=(DECAY,),
        slots=(),
        rates=_constant_rates,
        update=_constant_step,
    ),
    Optimizer(
        name="momentum",
        doc="Gradient descent with a velocity; PyTorch's SGD with momentum.",
        default_learning_rate=1e-3,
        parameters=(
            MOMENTUM,
            Parameter("dampening", 0.0, "Share of the gradient that the velocity ignores.", 0.0, 1.0),
            DECAY,
        ),
        slots=("velocity",),
        rates=_momentum_rates,
        update=_momentum,
    ),
    Optimizer(
        name="nesterov",
        doc="Momentum that looks ahead; PyTorch's SGD with nesterov.",
        default_learning_rate=1e-3,
        parameters=(MOMENTUM, DECAY),
        slots=("velocity",),
        rates=_nesterov_rates,
        update=_nesterov,
    ),
)
