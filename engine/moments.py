"""Adam and its relatives: the gradient's first moment over the root of its second."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.equations import descend
from engine.parameters import Parameter
from engine.rule import DECAY, DECOUPLED_DECAY, EPS, Optimizer, Rates


def _adam_rates(step: int, learning_rate: float, parameters: Mapping[str, Any]) -> Rates:
    beta_1, beta_2 = parameters["betas"]
    root = sqrt((1.0 - beta_2**step) / (1.0 - beta_2))
    return beta_1, beta_2, parameters["eps"] * root, learning_rate * root * (1.0 - beta_1) / (1.0 - beta_1**step)


def _adam(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    slots: Sequence[Array],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
    spare: Float[Array, " n"],
) -> None:
    """Kingma and Ba 2015, eps outside the root of the unbiased second moment, as in PyTorch.

    The moments are kept without their factors ``1 - beta``, which `_adam_rates` puts into the step and into eps,
    together with the corrections of the bias: ten passes over the vector instead of thirteen.
    """
    del spare
    m, v = slots
    beta_1, beta_2, eps, step = rates
    np.multiply(m, beta_1, m)
    np.add(m, gradient, m)
    np.multiply(gradient, gradient, scratch)
    np.multiply(v, beta_2, v)
    np.add(v, scratch, v)
    np.sqrt(v, scratch)
    np.add(scratch, eps, scratch)
    np.divide(m, scratch, scratch)
    descend(theta, scratch, step, scratch=scratch)


def _move_moments(
    gradient: Float[Array, " n"],
    m: Float[Array, " n"],
    v: Float[Array, " n"],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
) -> None:
    """The moments as `_adam` moves them."""
    beta_1, beta_2 = rates
    np.multiply(m, beta_1, m)
    np.add(m, gradient, m)
    np.multiply(gradient, gradient, scratch)
    np.multiply(v, beta_2, v)
    np.add(v, scratch, v)


def _amsgrad(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    slots: Sequence[Array],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
    spare: Float[Array, " n"],
) -> None:
    """`_adam` with the largest second moment so far (Reddi, Kale, Kumar 2018)."""
    del spare
    m, v, largest = slots
    eps, step = rates[2:]
    _move_moments(gradient, m, v, rates[:2], scratch)
    np.maximum(largest, v, out=largest)
    np.sqrt(largest, scratch)
    np.add(scratch, eps, scratch)
    np.divide(m, scratch, scratch)
    descend(theta, scratch, step, scratch=scratch)


def _nadam_rates(step: int, learning_rate: float, parameters: Mapping[str, Any]) -> Rates:
    beta_1, beta_2 = parameters["betas"]
    decay = parameters["momentum_decay"]
    root = sqrt((1.0 - beta_2**step) / (1.0 - beta_2))
    product = _momentum_product(step // 64, beta_1, decay)
    for number in range(step // 64 * 64 + 1, step + 1):
        product *= _nadam_momentum(number, beta_1, decay)
    now, then = (_nadam_momentum(number, beta_1, decay) for number in (step, step + 1))
    of_gradient = (1.0 - now) / (1.0 - product)
    of_moment = (1.0 - beta_1) * then / (1.0 - product * then)
    return (
        beta_1,
        beta_2,
        parameters["eps"] * root,
        learning_rate * root * of_gradient,
        learning_rate * root * of_moment,
    )


def _nadam_momentum(step: int, beta_1: float, decay: float) -> float:
    return float(beta_1 * (1.0 - 0.5 * 0.96 ** (step * decay)))


@lru_cache(maxsize=64)
def _momentum_product(blocks: int, beta_1: float, decay: float) -> float:
    """The product of the momenta of the first ``64 blocks`` steps, or a smaller number where 1 less it is 1 anyway."""
    product = 1.0
    for step in range(1, 64 * blocks + 1):
        product *= _nadam_momentum(step, beta_1, decay)
        if product < 1e-20:
            break
    return product


def _nadam(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    slots: Sequence[Array],
    rates: Sequence[Array],
    scratch: Float[Array, " n"],
    spare: Float[Array, " n"],
) -> None:
    """Dozat 2016: `_adam` with Nesterov's look ahead, the share of the gradient itself apart."""
    m, v = slots
    eps, of_gradient, of_moment = rates[2:]
    _move_moments(gradient, m, v, rates[:2], scratch)
    np.multiply(gradient, of_gradient, scratch)
    np.multiply(m, of_moment, spare)
    np.add(scratch, spare, scratch)
    np.sqrt(v, spare)
    np.add(spare, eps, spare)
    np.divide(scratch, spare, scratch)
    np.subtract(theta, scratch, theta)


_BETAS = Parameter("betas", (0.9, 0.999), "Decay of the first and second moment.", 0.0, 1.0, exclusive_maximum=True)
_MOMENTS = ("first_moment", "second_moment")

MOMENTS = (
    Optimizer(
        name="adam",
        doc="Adam (Kingma and Ba 2015).",
        default_learning_rate=1e-3,
        parameters=(_BETAS, EPS, DECAY),
        slots=_MOMENTS,
        rates=_adam_rates,
        update=_adam,
    ),
    Optimizer(
        name="amsgrad",
        doc="Adam that never forgets a large second moment (Reddi, Kale, Kumar 2018).",
        default_learning_rate=1e-3,
        parameters=(_BETAS, EPS, DECAY),
        slots=(*_MOMENTS, "largest_second_moment"),
        rates=_adam_rates,
        update=_amsgrad,
    ),
    Optimizer(
        name="adamw",
        doc="Adam with a weight decay of its own (Loshchilov and Hutter 2019).",
        default_learning_rate=1e-3,
        parameters=(_BETAS, EPS, DECOUPLED_DECAY),
        slots=_MOMENTS,
        rates=_adam_rates,
        update=_adam,
        decouples_decay=True,
    ),
    Optimizer(
        name="nadam",
        doc="Adam with Nesterov's momentum (Dozat 2016).",
        default_learning_rate=2e-3,
        parameters=(
            _BETAS,
            EPS,
            Parameter("momentum_decay", 4e-3, "How fast the momentum warms up.", 0.0),
            DECAY,
        ),
        slots=_MOMENTS,
        rates=_nadam_rates,
        update=_nadam,
    ),
)
