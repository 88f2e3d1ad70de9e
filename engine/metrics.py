"""What is reported of an epoch besides the loss: sums over rows, added up block by block, and what they come to.

Classification: ``accuracy``. Regression: ``rmse`` and ``mae`` over rows and outputs, in the units of `Rows`, and ``r2``,
the mean over the outputs of ``1 - residual / variance`` (0 for an output that never varies, unless it is met exactly).
"""

from math import frexp, ldexp, sqrt
from operator import mul
from sys import float_info

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.batches import Rows, spans

BLOCK_ROWS = 65536


def n_sums(task: str, n_outputs: int) -> int:
    """How many sums the metrics of a task keep."""
    return 1 if task == "classification" else 2 * n_outputs


class Metrics:
    """The metrics of one task over one set of rows.

    A single output of at least ``threshold`` says the class 1.
    ``sums`` (in the caller's hands, float64) has `n_sums` numbers and starts at 0.
    """

    def __init__(self, task: str, rows: Rows, block_rows: int, threshold: float = 0.5) -> None:
        self._n_rows, self._n_outputs = rows.y.shape
        self._classes = task == "classification"
        self._threshold = threshold
        self._ones = np.ones(block_rows, rows.y.dtype)
        self._answers: Array = np.empty((2, block_rows), np.intp if self._n_outputs > 1 else np.bool_)
        self._hits = np.empty(block_rows, np.bool_)
        self._totals = np.empty(self._n_outputs, rows.y.dtype)
        self._units = (1.0,) * self._n_outputs if rows.units is None else rows.units
        self._variation = np.zeros(self._n_outputs) if self._classes else _variation(rows.y)

    def add(
        self,
        sums: Float[Array, " n_sums"],
        a: Float[Array, "n n_outputs"],
        y: Float[Array, "n n_outputs"],
        scratch: Float[Array, "n n_outputs"],
    ) -> None:
        """Add a block of outputs ``a`` and targets ``y`` to the sums."""
        n = len(a)
        if self._classes:
            sums[0] += self._n_right(a, y)
            return
        np.subtract(a, y, scratch)
        np.abs(scratch, scratch)
        np.dot(self._ones[:n], scratch, self._totals)
        sums[: self._n_outputs] += self._totals
        np.multiply(scratch, scratch, scratch)
        np.dot(self._ones[:n], scratch, self._totals)
        sums[self._n_outputs :] += self._totals

    def _n_right(self, a: Float[Array, "n n_outputs"], y: Float[Array, "n n_outputs"]) -> int:
        n = len(a)
        answered, wanted = self._answers[0, :n], self._answers[1, :n]
        if self._n_outputs == 1:
            np.greater_equal(a[:, 0], self._threshold, answered)
            np.greater_equal(y[:, 0], 0.5, wanted)
        else:
            a.argmax(1, answered)
            y.argmax(1, wanted)
        hits = self._hits[:n]
        np.equal(answered, wanted, hits)
        return int(np.count_nonzero(hits))

    def read(self, sums: Float[Array, " n_sums"]) -> dict[str, float]:
        """The metrics that the sums over all rows come to."""
        if self._classes:
            return {"accuracy": float(sums[0]) / self._n_rows}
        n = self._n_rows * self._n_outputs
        distances, residuals = sums[: self._n_outputs].tolist(), sums[self._n_outputs :].tolist()
        scores = [
            1.0 - residual / variation if variation > 0.0 else float(residual == 0.0)
            for residual, variation in zip(residuals, self._variation.tolist(), strict=True)
        ]
        # Units so large that their squares overflow are counted in a larger one.
        large = ldexp(1.0, max(0, frexp(max(self._units))[1] - 500))
        units = [unit / large for unit in self._units]
        rmse = large * sqrt(sum(map(mul, residuals, map(mul, units, units))) / n)
        mae = large * (sum(map(mul, distances, units)) / n)
        return {
            "rmse": min(rmse, float_info.max),
            "mae": min(mae, float_info.max),
            "r2": sum(scores) / self._n_outputs,
        }


def _variation(y: Float[Array, "n n_outputs"]) -> Float[Array, " n_outputs"]:
    """Sum of the squared distances from the mean, for each output, in float64 and in two passes over blocks of rows."""
    y = np.asarray(y)
    mean = np.zeros(y.shape[1])
    for start, stop in spans(0, len(y), BLOCK_ROWS):
        mean += y[start:stop].sum(0, np.float64) / len(y)
    variation = np.zeros(y.shape[1])
    for start, stop in spans(0, len(y), BLOCK_ROWS):
        variation += np.square(y[start:stop] - mean).sum(0)
    return variation
