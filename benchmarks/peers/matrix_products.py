"""No contestant but the measure: the matrix products of the steps and nothing else, by NumPy into arrays made before."""

import numpy as np

from benchmarks.peers import Contestant
from benchmarks.workloads import Workload


class MatrixProducts(Contestant):
    """An epoch is as many times the products of a step as the epoch has steps."""

    def __init__(self, workload: Workload) -> None:
        generator = np.random.default_rng(0)
        self.steps = workload.steps
        self.products = [
            (
                generator.standard_normal((m, k), np.float32),
                generator.standard_normal((k, n), np.float32),
                np.empty((m, n), np.float32),
            )
            for m, k, n in workload.products
        ]
        self.versions: dict[str, str] = {}

    def restart(self) -> None:
        """There is nothing that changes."""

    def run(self, epochs: int, *, shuffle: bool) -> list[float]:
        """Multiply; there is no loss."""
        del shuffle
        for _ in range(epochs * self.steps):
            for left, right, out in self.products:
                np.matmul(left, right, out)
        return [0.0]


prepare = MatrixProducts
