"""What is trained: the networks of the table, their rows and their first weights, the same for every contestant.

Numbers of rows are multiples of the batch, so that every step of every contestant is the same work.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Workload:
    """One network and how it is trained.

    Hidden layers share one activation. One output is linear, and the loss half its squared error; several are a
    softmax with cross-entropy. `learning_rate` only has to keep the loss finite: it is no part of the work. `wanted` is how many
    times as fast as the fastest peer Descent wants to be.
    """

    widths: tuple[int, ...]
    activation: str
    batch: int
    optimizer: str
    n_rows: int
    learning_rate: float
    wanted: float

    @property
    def name(self) -> str:
        """What the tables call it."""
        optimizer = self.optimizer.replace("_", " ")
        return f"{'-'.join(map(str, self.widths))} {self.activation}, batch {self.batch}, {optimizer}"

    @property
    def classes(self) -> int | None:
        """How many classes there are; None for a regression."""
        return self.widths[-1] if self.widths[-1] > 1 else None

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.n_rows // self.batch

    @property
    def products(self) -> list[tuple[int, int, int]]:
        """`(m, k, n)` of each matrix product of a step: forward, errors, gradients. No error goes to the inputs."""
        shapes = list(pairwise(self.widths))
        forward = [(self.batch, n_prev, n) for n_prev, n in shapes]
        errors = [(self.batch, n, n_prev) for n_prev, n in reversed(shapes[1:])]
        gradients = [(n, self.batch, n_prev) for n_prev, n in shapes]
        return forward + errors + gradients

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products of a step."""
        return sum(2 * m * k * n for m, k, n in self.products)


WORKLOADS = (
    Workload((2, 8, 1), "tanh", 4, "gradient_descent", 400, 0.05, 2.0),
    Workload((8, 64, 32, 1), "relu", 32, "adam", 20_000, 1e-3, 2.0),
    Workload((30, 64, 32, 2), "relu", 256, "adam", 12_800, 1e-3, 2.0),
    Workload((784, 30, 10), "sigmoid", 10, "gradient_descent", 10_000, 0.1, 1.5),
    Workload((784, 128, 10), "relu", 128, "adam", 12_800, 1e-3, 1.2),
    Workload((784, 1024, 1024, 10), "relu", 512, "adam", 5_120, 1e-3, 1.0),
    # What an activation takes that is more than a comparison.
    Workload((8, 64, 32, 1), "tanh", 32, "adam", 20_000, 1e-3, 1.0),
    Workload((30, 64, 32, 2), "tanh", 256, "adam", 12_800, 1e-3, 1.0),
)


def rows(workload: Workload) -> tuple[Floats, NDArray[np.int64] | Floats]:
    """Inputs `(n, n_inputs)`, and targets: `(n, 1)` numbers of a regression, or `(n,)` classes."""
    generator = np.random.default_rng(1)
    n_inputs, n_outputs = workload.widths[0], workload.widths[-1]
    x = generator.standard_normal((workload.n_rows, n_inputs), np.float32)
    teacher = generator.standard_normal((n_inputs, n_outputs), np.float32) / np.float32(np.sqrt(n_inputs))
    answers = np.tanh(x @ teacher) + 0.1 * generator.standard_normal((workload.n_rows, n_outputs), np.float32)
    if workload.classes is None:
        return x, answers.astype(np.float32)
    return x, answers.argmax(1)


def one_hot(classes: NDArray[np.int64], n: int) -> Floats:
    return np.eye(n, dtype=np.float32)[classes]


def first_weights(workload: Workload) -> list[tuple[Floats, Floats]]:
    """`(W, b)` of each layer; `W` is `(n, n_prev)`."""
    generator = np.random.default_rng(2)
    layers = []
    for n_prev, n in pairwise(workload.widths):
        limit = np.sqrt(6.0 / (n_prev + n))
        W = generator.uniform(-limit, limit, (n, n_prev)).astype(np.float32)
        layers.append((W, np.zeros(n, np.float32)))
    return layers
