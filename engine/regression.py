"""How close numbers are met, over rows that come block by block."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from engine.arrays import Array


@dataclass(frozen=True)
class TargetScores:
    """How close one number is met.

    ``r2`` is ``1 - residual / variance``; of a number that never varies 1 if it is met exactly, else 0; None with fewer
    than two rows.
    """

    rmse: float
    mae: float
    r2: float | None


class Regression:
    """Adds up the metrics of a regression, in float64. ``units`` says what 1 is of each number, in the unit of the answer."""

    def __init__(self, units: tuple[float, ...]) -> None:
        self._units, n = units, len(units)
        self._n_rows = 0
        self._absolute, self._squared = np.zeros(n), np.zeros(n)
        self._mean, self._variation = np.zeros(n), np.zeros(n)
        self._low, self._high = np.full(n, np.inf), np.full(n, -np.inf)

    def add(self, actual: Float[Array, "n n_outputs"], outputs: Float[Array, "n n_outputs"]) -> None:
        """Add rows: what is right, and what the network says."""
        if len(actual) == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            residual = np.abs(outputs - actual)
            self._absolute += residual.sum(0)
            self._squared += np.square(residual).sum(0)
            self._join(len(actual), actual.mean(0), actual)
        np.minimum(self._low, actual.min(0), out=self._low)
        np.maximum(self._high, actual.max(0), out=self._high)

    def _join(self, n: int, mean: Float[Array, " n_outputs"], actual: Float[Array, "n n_outputs"]) -> None:
        """Join the block's squared distances from its mean to those so far: nothing large cancels."""
        apart, total = mean - self._mean, self._n_rows + n
        self._variation += np.square(actual - mean).sum(0) + apart * apart * (self._n_rows * n / total)
        self._mean += apart * (n / total)
        self._n_rows = total

    def read(self) -> tuple[TargetScores, ...]:
        """The metrics of each number over the rows so far, of which there is at least one."""
        n = self._n_rows
        with np.errstate(over="ignore", invalid="ignore"):
            rmse, mae = np.sqrt(self._squared / n) * self._units, self._absolute / n * self._units
        # The mean of equal numbers may be a rounding error beside them.
        variation = np.where(self._low < self._high, self._variation, 0.0)
        scores = map(self._r2, self._squared.tolist(), variation.tolist())
        return tuple(map(TargetScores, rmse.tolist(), mae.tolist(), scores))

    def _r2(self, squared: float, variation: float) -> float | None:
        if self._n_rows < 2:
            return None
        return 1.0 - squared / variation if variation > 0.0 else float(squared == 0.0)
