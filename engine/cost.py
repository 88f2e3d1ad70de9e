"""How long an epoch takes: what it does, counted, times what each of these takes, measured once and scaled to a machine.

The counts follow from shapes alone. The times of `SECONDS` were fitted to 144 runs by
`benchmarks/cost.py`; `docs/engine.md` says how well. Another machine differs by three factors: of calls, of matrix
products, and of machine code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.batches import Layout, evaluation_layout, training_layout
from engine.kernels import made_of_tiles
from engine.optimizers import CHUNK, OPTIMIZERS
from engine.spec import NetworkSpec, TrainingSpec

LIGHT = frozenset({"linear", "relu", "leaky_relu", "hard_sigmoid"})
PLAIN = frozenset({"sigmoid", "tanh", "softmax", "softsign"})
PASSES = {
    "gradient_descent": 2,
    "momentum": 5,
    "nesterov": 6,
    "adagrad": 7,
    "adadelta": 12,
    "rmsprop": 8,
    "adam": 11,
    "amsgrad": 12,
    "adamw": 13,
    "nadam": 12,
}
"""About how often an update goes over the parameters in NumPy."""

TRIES = 2.0  # steps that a backtracking epoch tries, besides its gradient
ITERATION = 1.25  # gradients that an iteration of L-BFGS takes
WIDE, WITH_ZEROS = 64, 0.7
"""What a tile's product takes where relu made half of one side 0, and no side is shorter than `engine.sparse.LEAST_SIDE`."""


@dataclass(frozen=True)
class Speed:
    """How many times as long as on the machine of `SECONDS` something takes."""

    calls: float = 1.0
    products: float = 1.0
    compiled: float = 1.0

    @staticmethod
    def kind(what: str) -> str:
        """The kind of work that a count is of."""
        if what.startswith("tile_"):
            return "compiled"
        return "products" if what in {"product", "traffic"} else "calls"

    def of(self, what: str) -> float:
        """The factor of a count."""
        return float(getattr(self, self.kind(what)))


class Counts(dict[str, float]):
    """What is done, by names of `SECONDS`, and how often."""

    def add(self, others: Mapping[str, float], times: float = 1.0) -> None:
        """Count others, too, so many times each."""
        for what, n in others.items():
            self[what] = self.get(what, 0.0) + n * times


def epoch_seconds(
    network: NetworkSpec, training: TrainingSpec, n_rows: int, n_validation_rows: int, speed: Speed
) -> float:
    """About the seconds of an epoch, validation included, in one thread."""
    counts = epoch_counts(network, training, n_rows, n_validation_rows)
    return sum(n * SECONDS[what] * speed.of(what) for what, n in counts.items())


def epoch_counts(network: NetworkSpec, training: TrainingSpec, n_rows: int, n_validation_rows: int) -> Counts:
    """What an epoch does: names of `SECONDS`, and how often."""
    itemsize = np.dtype(training.dtype).itemsize
    layout = training_layout(network, itemsize, n_rows, training.batch_size)
    counts = Counts({"epoch": 1.0})
    counts.add(_reading(network, training, layout, itemsize))
    if training.kernels == "numba" and made_of_tiles(network, layout):
        counts.add(_tiles(network, training, layout, itemsize))
    else:
        counts.add(_steps(network, training, layout, itemsize))
    if n_validation_rows:
        held = evaluation_layout(network, itemsize, n_validation_rows)
        parts = -(-n_validation_rows // held.slice_rows)
        counts.add(_forward(network, parts, held.slice_rows, n_validation_rows, itemsize))
        counts.add({"block": float(parts), "cell": n_validation_rows * (network.n_inputs + 4.0 * network.n_outputs)})
    return counts


def _reading(network: NetworkSpec, training: TrainingSpec, layout: Layout, itemsize: int) -> Counts:
    """Shuffling, copying rows into blocks, and the cost and metrics of their outputs."""
    blocks = -(-layout.n_rows // layout.block_rows)
    shuffled = layout.n_rows if training.shuffle and training.batch_size is not None else 0
    cells = layout.n_rows * (network.n_inputs * itemsize / 4 + 6 * network.n_outputs)
    return Counts({"block": float(blocks), "shuffled": float(shuffled), "cell": float(cells)})


def _steps(network: NetworkSpec, training: TrainingSpec, layout: Layout, itemsize: int) -> Counts:
    """The steps of an epoch in NumPy."""
    n_rows, wide = layout.n_rows, itemsize / 4
    slices = -(-n_rows // layout.slice_rows)
    optimizer = OPTIMIZERS[training.optimizer.name]
    gradients, costs, steps = 1.0, 0.0, float(-(-n_rows // layout.batch_rows))
    if optimizer.search == "armijo":
        costs = TRIES
    elif optimizer.search is not None:
        gradients = ITERATION * float(str(optimizer.complete(training.optimizer.parameters).get("max_iter", 20)))
    forward = _forward(network, slices, layout.slice_rows, n_rows, itemsize)
    backward = Counts()
    for i, (n_prev, n) in enumerate(pairwise(network.widths)):
        backward.add(_product(slices, n, layout.slice_rows, n_prev, wide))
        if i:
            backward.add(_product(slices, layout.slice_rows, n, n_prev, wide))
        backward.add(_element_wise(network.layers[i].activation, n * n_rows * wide, slices, backward=True))
        if network.layers[i].dropout:
            backward.add(Counts({"random": float(n * n_rows), "call": 12.0 * slices}))
        if network.layers[i].batch_norm:
            backward.add(Counts({"call": 44.0 * slices}))
    backward.add({"call": 4.0 * slices * len(network.layers)})
    counts = Counts()
    for part, times in ((forward, gradients + costs), (backward, gradients)):
        counts.add(part, times)
    counts.add({"step": steps * gradients})
    if training.kernels == "numba":
        counts.add({"tile_parameter": steps * network.n_parameters * wide * _vectors(training)})
        return counts
    passes = 10 if optimizer.search else PASSES.get(training.optimizer.name, 12)
    passes += 3 * bool(training.l1 or training.l2) + 3 * (training.gradient_clip_norm is not None)
    passes += 3 * (training.max_norm is not None)
    counts.add({"parameter": steps * gradients * network.n_parameters * wide * passes})
    counts.add({"call": steps * gradients * passes * max(1.0, network.n_parameters / CHUNK)})
    return counts


def _products_of_a_row(network: NetworkSpec, batch_rows: int) -> float:
    """The multiplications of machine code for a row: forward, the error, but for the inputs', and the gradient."""
    total, is_relu_before = 0.0, False
    for i, (n_prev, n) in enumerate(pairwise(network.widths)):
        is_wide, is_relu = min(batch_rows, n, n_prev) >= WIDE, network.layers[i].activation == "relu"
        forward, back = (WITH_ZEROS if is_wide and has_zeros else 1.0 for has_zeros in (is_relu_before, is_relu))
        total += n * n_prev * (forward + (2.0 if i else 1.0) * back)
        is_relu_before = is_relu
    return total


def _tiles(network: NetworkSpec, training: TrainingSpec, layout: Layout, itemsize: int) -> Counts:
    """The steps of an epoch in machine code."""
    steps, n_rows, wide = -(-layout.n_rows // layout.batch_rows), layout.n_rows, itemsize / 4
    counts = Counts(
        {
            "tile_step": float(steps * len(network.layers)),
            "tile_product": n_rows * _products_of_a_row(network, layout.batch_rows) * wide,
            "tile_parameter": steps * network.n_parameters * wide * _vectors(training),
        }
    )
    for layer in network.layers:
        if layer.activation not in LIGHT:
            counts.add({"tile_exp": n_rows * layer.units * wide})
    return counts


def _vectors(training: TrainingSpec) -> float:
    """Vectors that a compiled update reads or writes."""
    return 2.0 + 2.0 * OPTIMIZERS[training.optimizer.name].n_slots(training.optimizer.parameters)


def _forward(network: NetworkSpec, slices: int, slice_rows: int, n_rows: int, itemsize: int) -> Counts:
    wide = itemsize / 4
    counts = Counts()
    for layer, (n_prev, n) in zip(network.layers, pairwise(network.widths), strict=True):
        counts.add(_product(slices, slice_rows, n_prev, n, wide))
        counts.add(_element_wise(layer.activation, n * n_rows * wide, slices, backward=False))
    return counts


def _product(times: int, m: int, k: int, n: int, wide: float) -> Counts:
    return Counts(
        {
            "product": float(times) * m * k * n * wide,
            "traffic": float(times) * (m * k + k * n + m * n) * wide,
            "call": 2.0 * times,
        }
    )


def _element_wise(activation: str, elements: float, slices: int, *, backward: bool) -> Counts:
    """What an activation does; the costly ones leave their slope on the way forward, and then only multiply by it.

    What the others take is within the traffic of the products.
    """
    heavy = 0.0 if activation in LIGHT or backward else 1.0 if activation in PLAIN else 3.0
    return Counts({"heavy": elements * heavy, "call": (4.0 + 4.0 * heavy) * slices})


SECONDS = {
    "block": 1.24e-05,
    "call": 2.88e-07,
    "cell": 4.18e-10,
    "epoch": 2.63e-06,
    "heavy": 6.53e-10,
    "parameter": 1.66e-10,
    "product": 1.59e-11,
    "random": 6.29e-09,
    "shuffled": 5.46e-08,
    "step": 2.69e-06,
    "tile_exp": 6e-10,
    "tile_parameter": 1.14e-10,
    "tile_product": 1.58e-11,
    "tile_step": 4.39e-07,
    "traffic": 1.78e-10,
}
"""Seconds that each takes on the machine of the fit: two cores with AVX-512, of which one was used."""
