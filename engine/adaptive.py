"""Optimizers that divide by the size that the gradient has had."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.equations import descend
from engine.parameters import Parameter
from engine.rule import DECAY, EPS, Optimizer, Rates


def _adagrad_rates(step: int, learning_rate: float, parameters: Mapping[str, Any]) -> Rates:
    rate = learning_rate / (1.0 + (step - 1) * parameters["lr_decay"])
    return rate, parameters["initial_accumulator_value"], parameters["eps"]


def _adagrad(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    slots: Sequence[Array],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
    spare: Float[Array, " n"],
) -> None:
    """``s <- s + g^2``, and a step of ``learning_rate g / (sqrt(s) + eps)``; the initial value is added as ``s`` is read."""
    del spare
    (s,) = slots
    learning_rate, initial, eps = rates
    np.multiply(gradient, gradient, scratch)
    np.add(s, scratch, s)
    np.add(s, initial, scratch)
    np.sqrt(scratch, scratch)
    np.add(scratch, eps, scratch)
    np.divide(gradient, scratch, scratch)
    descend(theta, scratch, learning_rate, scratch=scratch)


def _adadelta_rates(step: int, learning_rate: float, parameters: Mapping[str, Any]) -> Rates:
    del step
    return learning_rate, parameters["rho"], 1.0 - parameters["rho"], parameters["eps"]


def _adadelta(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    slots: Sequence[Array],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
    spare: Float[Array, " n"],
) -> None:
    """A step of ``d = g sqrt(D + eps) / sqrt(s + eps)``, with ``s`` and ``D`` the means of the squares of ``g`` and ``d``."""
    s, D = slots
    learning_rate, rho, fresh, eps = rates
    np.multiply(gradient, gradient, scratch)
    np.multiply(scratch, fresh, scratch)
    np.multiply(s, rho, s)
    np.add(s, scratch, s)
    np.add(s, eps, scratch)
    np.add(D, eps, spare)
    np.divide(spare, scratch, scratch)
    np.sqrt(scratch, scratch)
    np.multiply(scratch, gradient, scratch)
    np.multiply(scratch, scratch, spare)
    np.multiply(spare, fresh, spare)
    np.multiply(D, rho, D)
    np.add(D, spare, D)
    descend(theta, scratch, learning_rate, scratch=scratch)


def _rmsprop_rates(step: int, learning_rate: float, parameters: Mapping[str, Any]) -> Rates:
    del step
    alpha, eps, momentum = parameters["alpha"], parameters["eps"], parameters["momentum"]
    return learning_rate, alpha, 1.0 - alpha, eps, momentum, float(parameters["centered"])


def _rmsprop(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    slots: Sequence[Array],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
    spare: Float[Array, " n"],
) -> None:
    """A step of ``g / (sqrt(s) + eps)`` with momentum; where it is centered, ``s`` less the square of the mean ``m``."""
    s, m, v = slots
    learning_rate, alpha, fresh, eps, momentum, centered = rates
    np.multiply(gradient, gradient, scratch)
    np.multiply(scratch, fresh, scratch)
    np.multiply(s, alpha, s)
    np.add(s, scratch, s)
    if centered:
        np.multiply(gradient, fresh, scratch)
        np.multiply(m, alpha, m)
        np.add(m, scratch, m)
        np.multiply(m, m, scratch)
        np.subtract(s, scratch, spare)
        np.sqrt(spare, spare)
    else:
        np.sqrt(s, spare)
    np.add(spare, eps, spare)
    np.divide(gradient, spare, scratch)
    if momentum:
        np.multiply(v, momentum, v)
        np.add(v, scratch, v)
        scratch[:] = v
    descend(theta, scratch, learning_rate, scratch=scratch)


ADAPTIVE = (
    Optimizer(
        name="adagrad",
        doc="Adagrad (Duchi, Hazan, Singer 2011).",
        default_learning_rate=1e-2,
        parameters=(
            Parameter("lr_decay", 0.0, "How fast the learning rate falls with the steps.", 0.0),
            Parameter("initial_accumulator_value", 0.0, "Where the sum of squares starts.", 0.0),
            Parameter("eps", 1e-10, "Added to the root of the sum of squares.", 0.0),
            DECAY,
        ),
        slots=("sum_of_squares",),
        rates=_adagrad_rates,
        update=_adagrad,
    ),
    Optimizer(
        name="adadelta",
        doc="Adadelta (Zeiler 2012).",
        default_learning_rate=1.0,
        parameters=(
            Parameter("rho", 0.9, "Decay of the means of the squares.", 0.0, 1.0),
            Parameter("eps", 1e-6, "Added within the roots.", 0.0, exclusive_minimum=True),
            DECAY,
        ),
        slots=("square_average", "step_average"),
        rates=_adadelta_rates,
        update=_adadelta,
    ),
    Optimizer(
        name="rmsprop",
        doc="RMSprop (Hinton 2012), centered (Graves 2013) on request.",
        default_learning_rate=1e-2,
        parameters=(
            Parameter("alpha", 0.99, "Decay of the mean of the squares.", 0.0, 1.0),
            EPS,
            Parameter("momentum", 0.0, "Share of the velocity that is kept.", 0.0, 1.0),
            Parameter("centered", False, "Take the variance of the gradient, not its square."),
            DECAY,
        ),
        slots=("square_average", "gradient_average", "velocity"),
        rates=_rmsprop_rates,
        update=_rmsprop,
    ),
)
