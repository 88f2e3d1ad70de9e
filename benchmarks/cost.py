"""Fits `engine.cost.SECONDS` to runs on this machine: `python -m benchmarks.cost`, with one thread.

Each run is the fastest of several epochs, in time of the processor, since others may use the machine. The fit makes
relative errors small, and no time negative.
"""

import json
import sys
import time
from itertools import product

import numpy as np

from engine.batches import Rows
from engine.cost import epoch_counts
from engine.spec import LayerSpec, NetworkSpec, OptimizerSpec, TrainingSpec
from engine.training import initial_state, train

SHAPES = [
    # widths, rows of a batch (None: all), rows
    ((2, 8, 1), 4, 400),
    ((2, 8, 1), None, 400),
    ((4, 16, 3), 16, 150),
    ((8, 64, 32, 1), 32, 4_000),
    ((8, 64, 32, 1), 256, 20_000),
    ((30, 64, 32, 2), 256, 12_800),
    ((100, 10), 32, 10_000),
    ((100, 200, 100, 5), 64, 5_000),
    ((20, 32, 32, 32, 32, 1), 128, 10_000),
    ((784, 30, 10), 10, 4_000),
    ((784, 128, 10), 128, 6_400),
    ((784, 256, 128, 10), 64, 2_560),
    ((400, 512, 512, 1), 512, 4_096),
    ((784, 1024, 1024, 10), 512, 2_048),
    ((784, 1024, 1024, 10), 32, 256),
]
VARIANTS = [
    ("adam", "relu", "float32", {}, 0),
    ("gradient_descent", "tanh", "float32", {}, 0),
    ("adam", "sigmoid", "float64", {}, 1),
]
MORE = [
    ("adam", "gelu", "float32", {"dropout": 0.2}, 0),
    ("rmsprop", "elu", "float32", {"batch_norm": True}, 1),
    ("momentum", "leaky_relu", "float32", {"batch_norm": True, "dropout": 0.3}, 0),
]


def case(kernels, widths, batch, n_rows, optimizer, activation, dtype, layer, validated):  # type: ignore[no-untyped-def]
    """Give the specifications and the rows of a run."""
    several = widths[-1] > 1
    network = NetworkSpec(
        widths[0],
        (
            *(LayerSpec(n, activation, **layer) for n in widths[1:-1]),
            LayerSpec(widths[-1], "softmax" if several else "linear"),
        ),
    )
    training = TrainingSpec(
        "cross_entropy" if several else "mean_squared_error",
        OptimizerSpec(optimizer, 1e-5),
        epochs=10**6,
        batch_size=batch,
        dtype=dtype,
        task="classification" if several else "regression",
        kernels=kernels,
    )
    return network, training, n_rows, n_rows // 4 if validated else 0


def rows(network: NetworkSpec, training: TrainingSpec, n: int) -> Rows:
    generator = np.random.default_rng(n)
    x = generator.standard_normal((n, network.n_inputs)).astype(training.dtype)
    if network.n_outputs > 1:
        return Rows(x, np.eye(network.n_outputs, dtype=training.dtype)[generator.integers(0, network.n_outputs, n)])
    return Rows(x, generator.standard_normal((n, 1)).astype(training.dtype))


def measure(network: NetworkSpec, training: TrainingSpec, n_rows: int, n_validation: int, seconds: float) -> float:
    """Give the seconds of the fastest epoch."""
    held_out = rows(network, training, n_validation) if n_validation else None
    fastest, count, began_at = np.inf, 0, time.thread_time()
    at = began_at
    for report in train(network, training, initial_state(network, training), rows(network, training, n_rows), held_out):
        now = time.thread_time()
        if report is None:
            continue
        count += 1
        if count > 1:
            fastest = min(fastest, now - at)
        at = now
        if now - began_at > seconds and count > 3:
            break
    return float(fastest)


def nonnegative(A: np.ndarray, b: np.ndarray, rounds: int = 20_000) -> np.ndarray:
    """Give the x of no negative number for which A x is nearest to b: projected coordinate descent."""
    x, gram, right = np.zeros(A.shape[1]), A.T @ A, A.T @ b
    for _ in range(rounds):
        for i in range(len(x)):
            if gram[i, i] > 0:
                x[i] = max(0.0, x[i] + (right[i] - gram[i] @ x) / gram[i, i])
    return x


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    cases = [
        case(kernels, *shape, *variant) for kernels, shape, variant in product(("numpy", "numba"), SHAPES, VARIANTS)
    ]
    cases += [case("numpy", *shape, *variant) for shape, variant in product(SHAPES[:13], MORE)]
    cases += [case("numba", *shape, "momentum", "relu", "float32", {}, 1) for shape in SHAPES]
    measured = np.array([measure(*one, seconds) for one in cases])
    counts = [epoch_counts(*one) for one in cases]
    names = sorted({name for one in counts for name in one})
    A = np.array([[one.get(name, 0.0) for name in names] for one in counts]) / measured[:, None]
    size = A.max(axis=0)
    x = nonnegative(A / size, np.ones(len(measured))) / size
    for one, t, ratio in zip(cases, measured, A @ x, strict=True):
        network, training, _, n_validation = one
        print(
            f"{training.kernels:6} {'-'.join(map(str, network.widths)):22} batch {training.batch_size or 'full':5} "
            f"{training.optimizer.name:17} {network.layers[0].activation:10} {training.dtype} {n_validation:6} "
            f"{t:10.6f} s  estimate/measured {ratio:.2f}"
        )
    print(json.dumps(dict(zip(names, x.tolist(), strict=True)), indent=4))


if __name__ == "__main__":
    main()
