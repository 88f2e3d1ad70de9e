"""Optimizers that search along a line: they compare losses of the same rows, so a step is over the full batch.

An epoch of a search is a generator. It pauses inside an evaluation, where the parameters are put back to where the
iteration began, so that a run that resumes repeats the iteration from its beginning.
"""

from collections.abc import Callable, Generator, Mapping
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.wolfe import Point, strong_wolfe

Steps: TypeAlias = Generator[None, None, bool]
Value: TypeAlias = Generator[None, None, float]


Objective: TypeAlias = Callable[[bool], Value]
"""The training loss at the parameters as they are, with pauses; where it is asked for, also the gradient is written."""


class _Search:
    """A search bound to the vectors of a run. ``memory`` is kept in the training state."""

    def __init__(
        self,
        objective: Objective,
        values: Mapping[str, Any],
        memory: dict[str, float],
        *,
        theta: Float[Array, " n"],
        gradient: Float[Array, " n"],
        slots: Float[Array, "n_slots n"],
    ) -> None:
        self._objective, self._values, self._memory = objective, values, memory
        self._theta, self._gradient, self._slots = theta, gradient, slots
        self._base, self._direction, self._spare, self._before = (np.empty_like(theta) for _ in range(4))

    def _at(self, t: float, *, gradient: bool) -> Value:
        """The loss at ``base + t direction``."""
        self._move(t)
        pauses = self._objective(gradient)
        while True:
            try:
                next(pauses)
            except StopIteration as stop:
                return float(stop.value)
            self._theta[:] = self._base
            yield
            self._move(t)

    def _move(self, t: float) -> None:
        if t == 0.0:
            self._theta[:] = self._base
            return
        np.multiply(self._direction, t, self._theta)
        np.add(self._theta, self._base, self._theta)


class Armijo(_Search):
    """Steepest descent by Armijo's rule.

    Beck, *Introduction to Nonlinear Optimization*, section 4.2: the step is the first of ``s, shrink s, shrink^2 s, ...``
    with ``f(x) - f(x - t grad f) >= sufficient_decrease t |grad f|^2``.
    """

    def epoch(self, learning_rate: float) -> Steps:
        """Take one step; the answer is whether anything moved. The memory has step, tries and margin."""
        values, memory = self._values, self._memory
        self._base[:] = self._theta
        loss = yield from self._at(0.0, gradient=True)
        np.negative(self._gradient, self._direction)
        descent = values["sufficient_decrease"] * float(np.dot(self._gradient, self._gradient))
        t = learning_rate
        for number in range(1, int(values["max_tries"]) + 1):
            after = yield from self._at(t, gradient=False)
            margin = loss - after - descent * t
            if isfinite(margin) and margin >= 0.0:
                memory |= {"step": t, "tries": number, "margin": margin}
                return not bool(np.array_equal(self._theta, self._base))
            t *= values["shrink"]
        self._theta[:] = self._base
        memory |= {"step": 0.0, "tries": values["max_tries"], "margin": 0.0}
        return False


class LBFGS(_Search):
    """Limited-memory BFGS, as PyTorch has it with a strong-Wolfe line search.

    The slots are the latest steps ``s``, then the gradient changes ``y`` that they made, each in a ring.
    """

    def epoch(self, learning_rate: float) -> Steps:
        """Iterate until the epoch's budget is used, or too little changes; the answer is whether anything moved."""
        values, memory = self._values, self._memory
        max_iter = int(values["max_iter"])
        max_eval = int(values["max_eval"]) or max_iter * 5 // 4
        done = int(memory.get("iterations", 0))
        moved = done > 0
        evaluations = int(memory.get("tries", 0)) if done else 1
        self._base[:] = self._theta
        loss = yield from self._at(0.0, gradient=True)
        while done < max_iter and evaluations < max_eval + (done == 0) and not self._is_flat():
            first = not memory.get("moved", 0.0)
            self._set_direction()
            slope = float(np.dot(self._gradient, self._direction))
            if slope > -values["tolerance_change"]:
                break
            length = min(1.0, 1.0 / float(np.abs(self._gradient).sum())) if first else 1.0
            self._before[:] = self._gradient
            found, n = yield from self._line(length * learning_rate, loss, slope, max_eval - evaluations)
            change, step = abs(found.loss - loss), found.t * float(np.abs(self._direction).max())
            loss, moved = found.loss, moved or found.t > 0.0
            self._remember(found.t)
            self._base[:] = self._theta
            done, evaluations = done + 1, evaluations + n
            memory |= {"iterations": done, "tries": evaluations, "step": found.t, "moved": 1.0}
            if step <= values["tolerance_change"] or change < values["tolerance_change"]:
                break
        memory |= {"iterations": 0, "done": done, "tries": evaluations}
        return moved

    def _is_flat(self) -> bool:
        return bool(np.abs(self._gradient).max() <= self._values["tolerance_grad"])

    def _line(self, t: float, loss: float, slope: float, most: int) -> Generator[None, None, tuple[Point, int]]:
        """The point of the line search, where parameters and gradient are left, and the evaluations that it took."""
        last = 0.0

        def at(t: float) -> Generator[None, None, Point]:
            nonlocal last
            last = t
            value = yield from self._at(t, gradient=True)
            return Point(t, value, float(np.dot(self._gradient, self._direction)))

        longest = float(np.abs(self._direction).max())
        found, n = yield from strong_wolfe(
            at, Point(0.0, loss, slope), t, longest, self._values["tolerance_change"], most
        )
        if found.t != last:
            yield from self._at(found.t, gradient=True)
        return found, n

    def _pairs(self) -> list[tuple[Array, Array]]:
        """Steps and gradient changes, the latest first."""
        size = len(self._slots) // 2
        pushed = int(self._memory.get("pairs", 0))
        places = [place % size for place in range(pushed - 1, max(0, pushed - size) - 1, -1)]
        return [(self._slots[place], self._slots[size + place]) for place in places]

    def _set_direction(self) -> None:
        """Minus the gradient times the approximate inverse Hessian, in two loops over the pairs."""
        d, spare, pairs = self._direction, self._spare, self._pairs()
        np.negative(self._gradient, d)
        alphas = []
        for s, y in pairs:
            alphas.append(float(np.dot(s, d)) / float(np.dot(y, s)))
            np.multiply(y, alphas[-1], spare)
            np.subtract(d, spare, d)
        if pairs:
            s, y = pairs[0]
            np.multiply(d, float(np.dot(y, s)) / float(np.dot(y, y)), d)
        for (s, y), alpha in zip(reversed(pairs), reversed(alphas), strict=True):
            np.multiply(s, alpha - float(np.dot(y, d)) / float(np.dot(y, s)), spare)
            np.add(d, spare, d)

    def _remember(self, t: float) -> None:
        """Keep step and gradient change, if the curvature along the step is positive."""
        np.multiply(self._direction, t, self._spare)
        np.subtract(self._gradient, self._before, self._before)
        if float(np.dot(self._before, self._spare)) > 1e-10:
            size, pushed = len(self._slots) // 2, int(self._memory.get("pairs", 0))
            self._slots[pushed % size] = self._spare
            self._slots[size + pushed % size] = self._before
            self._memory["pairs"] = pushed + 1


Search: TypeAlias = Armijo | LBFGS
SEARCH_BY_NAME: Mapping[str, Callable[..., Search]] = {"armijo": Armijo, "wolfe": LBFGS}
