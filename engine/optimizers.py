"""Every optimizer by name, and how one is bound to the vectors that it updates.

An optimizer is one entry: of `engine.steepest`, `engine.adaptive` or `engine.moments` if it steps by a rule, or of
`SEARCHES`, if it searches along a line.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from engine.adaptive import ADAPTIVE
from engine.arrays import Array
from engine.moments import MOMENTS
from engine.parameters import Parameter, Value
from engine.rule import Optimizer
from engine.steepest import STEEPEST

SEARCHES = (
    Optimizer(
        name="backtracking",
        doc="Steepest descent by Armijo's rule (Beck 2014): the learning rate is the first step that is tried.",
        default_learning_rate=1.0,
        parameters=(
            Parameter("shrink", 0.5, "Factor of a step that was too long.", 0.0, 1.0, True, True),
            Parameter(
                "sufficient_decrease",
                0.25,
                "Share of the decrease along the tangent that a step must reach.",
                0.0,
                1.0,
                exclusive_minimum=True,
                exclusive_maximum=True,
            ),
            Parameter("max_tries", 60, "Steps that are tried in an epoch before the run has converged.", 1, 1000),
        ),
        slots=(),
        search="armijo",
    ),
    Optimizer(
        name="lbfgs",
        doc="L-BFGS (Liu and Nocedal 1989) with a strong-Wolfe line search; max_iter iterations an epoch.",
        default_learning_rate=1.0,
        parameters=(
            Parameter("max_iter", 20, "Iterations of an epoch.", 1, 100_000),
            Parameter("max_eval", 0, "Evaluations after which an epoch ends; 0: 5/4 max_iter.", 0, 1_000_000),
            Parameter("tolerance_grad", 1e-7, "Converged when no component is larger.", 0.0),
            Parameter("tolerance_change", 1e-9, "An epoch ends when loss or weights change by less.", 0.0),
            Parameter("history_size", 100, "Pairs of steps and gradient changes that are kept.", 1, 1000),
        ),
        slots=("steps", "gradient_changes"),
        search="wolfe",
    ),
)

OPTIMIZERS: Mapping[str, Optimizer] = MappingProxyType(
    {optimizer.name: optimizer for optimizer in (*STEEPEST, *ADAPTIVE, *MOMENTS, *SEARCHES)}
)

CHUNK = 16384
"""Elements that an update works on at a time: five such vectors stay in the second-level cache."""


class Stepper:
    """An optimizer bound to the vectors that it updates: one call is one step, and allocates nothing."""

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Mapping[str, Value],
        *,
        theta: Float[Array, " n"],
        gradient: Float[Array, " n"],
        slots: Float[Array, "n_slots n"],
    ) -> None:
        self._optimizer = optimizer
        values: dict[str, Any] = {**optimizer.complete(parameters)}
        self._parameters = values
        self._decay: float = values.get("weight_decay", 0.0)
        scratch, spare = np.empty((2, min(CHUNK, theta.size)), theta.dtype)
        self._decayed = np.empty_like(scratch) if self._decay and not optimizer.decouples_decay else None
        self._rates = tuple(np.empty((), theta.dtype) for _ in optimizer.rates(1, 1.0, self._parameters))
        self._chunks = tuple(
            (
                theta[start : start + CHUNK],
                gradient[start : start + CHUNK],
                tuple(slot[start : start + CHUNK] for slot in slots),
                self._rates,
                scratch[: theta.size - start],
                spare[: theta.size - start],
            )
            for start in range(0, theta.size, CHUNK)
        )

    def step(self, number: int, learning_rate: float) -> None:
        """Update the parameters with the gradient as it is now; the first step is number 1."""
        optimizer = self._optimizer
        for rate, value in zip(self._rates, optimizer.rates(number, learning_rate, self._parameters), strict=True):
            rate[()] = value
        update = optimizer.update
        if not self._decay:
            for chunk in self._chunks:
                update(*chunk)
            return
        for theta, gradient, slots, rates, scratch, spare in self._chunks:
            if (decayed := self._decayed) is None:
                np.multiply(theta, 1.0 - learning_rate * self._decay, theta)
                update(theta, gradient, slots, rates, scratch, spare)
            else:
                decayed = decayed[: theta.size]
                np.multiply(theta, self._decay, decayed)
                np.add(decayed, gradient, decayed)
                update(theta, decayed, slots, rates, scratch, spare)
