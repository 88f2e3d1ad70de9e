"""What of a training runs as machine code, and how it is bound to a run.

The plain path, `engine.network` and `engine.optimizers` in NumPy, is the reference; this one computes the same numbers
up to rounding. Networks whose matrices are small take whole blocks of steps in `engine.compiled`; for the others the
matrix products stay with NumPy's BLAS, and only the optimizer's update is compiled. Which of the two it is follows
from shapes alone. Numba is optional: it is imported when the first run needs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int

from engine.arrays import VECTOR_BYTES, Array, empty, with_room
from engine.batches import MOST_SPREAD, Layout, Reader, draw_order
from engine.losses import LOSSES
from engine.network import Workspace
from engine.optimizers import OPTIMIZERS
from engine.spec import LayerSpec, NetworkSpec, OptimizerSpec, TrainingSpec

COVERED_ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "softmax")
COVERED_LOSSES = ("quadratic", "mean_squared_error", "binary_cross_entropy", "cross_entropy")
COVERED_OPTIMIZERS: Mapping[str, tuple[str, ...]] = {
    "gradient_descent": (),
    "momentum": ("momentum", "dampening"),
    "adam": ("betas", "eps"),
}
"""Each optimizer with the parameters that may differ from their default, in the order that `engine.compiled` takes them."""

UNTOUCHED = {
    LayerSpec: ("units", "activation"),
    NetworkSpec: ("n_inputs", "layers", "initializer", "bias"),
    OptimizerSpec: ("name", "learning_rate", "parameters"),
    TrainingSpec: (
        "loss", "optimizer", "epochs", "batch_size", "shuffle", "seed", "dtype", "task", "early_stopping", "kernels",
    ),
}  # fmt: skip
"""The fields of each specification that compiled steps follow or need not know. All others must be at their default."""

STEPS_PER_TURN = 16
"""So many steps of a call pay for transposing the first layer's weights, and what the optimizer keeps of them, and back."""
TIMES_AS_FAST = 2
"""Compiled steps are at least so many times as fast as `engine.batches.Layout` reckons, and pause that much less often."""
FEW_PARAMETERS = 1 << 14
"""Up to so many, their squares are summed where the steps are: NumPy's product, which an epoch has made far, takes longer."""
LARGEST_MATRIX = 1 << 22
"""Weights of the largest layer whose products are made of tiles; beyond, BLAS is as fast or faster: see `docs/engine.md`."""


def available(network: NetworkSpec, training: TrainingSpec) -> bool:
    """Whether ``training.kernels`` may be ``"numba"``: Numba is here, and nothing is asked for that is not compiled."""
    optimizer, layers = training.optimizer, network.layers
    return (
        all(layer.activation in COVERED_ACTIVATIONS for layer in layers)
        and training.loss in COVERED_LOSSES
        and optimizer.name in COVERED_OPTIMIZERS
        and _other_parameters_at_default(optimizer)
        and all(_other_fields_at_default(spec) for spec in (network, *layers, optimizer, training))
        and is_installed()
    )


def _other_parameters_at_default(spec: OptimizerSpec) -> bool:
    defaults = {parameter.name: parameter.default for parameter in OPTIMIZERS[spec.name].parameters}
    followed = COVERED_OPTIMIZERS[spec.name]
    return all(name in followed or value == defaults.get(name) for name, value in spec.parameters.items())


def _other_fields_at_default(spec: Any) -> bool:
    others = (field for field in fields(spec) if field.name not in UNTOUCHED[type(spec)])
    return all(getattr(spec, field.name) == _default(field) for field in others)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


@cache
def is_installed() -> bool:
    """Whether Numba is installed; to import it takes longer than most requests."""
    return find_spec("numba") is not None


def _compiled() -> Any:
    return import_module("engine.compiled")


def cpu() -> str:
    """What machine code, and so the last bits, depend on: the processor, and which of its instructions are used."""
    vectors = import_module("engine.vectors")
    used = ",".join(sorted(name for name, has in vectors.FEATURES.items() if has))
    return f"{vectors.CPU_NAME} {sha256(used.encode()).hexdigest()[:16]}{' AMX' if vectors.HAS_AMX else ''}"


def warm(dtype: str) -> None:
    """Compile everything for a dtype, or load it from Numba's cache, so that no run has to wait for it."""
    compiled = _compiled()
    numbers, vector = np.zeros(3), np.zeros((3, 2), dtype)
    layers = np.array([[1, 1, 0, 1, 0, compiled.LINEAR, False, False]])
    x, y, z, a, activations, deltas = np.zeros((6, 1), dtype)
    panel, strips = np.zeros((2, 1 << 11), dtype)
    noted, fetches = np.zeros((2, 6), np.int64)
    places = np.zeros((2, 1), np.int64)
    gradient, slots = np.zeros(2, dtype), vector[1:]
    compiled.take_steps(
        layers, 1.0, False, compiled.SQUARES, compiled.NOTHING, 0.5, compiled.ADAM, numbers, 0, np.zeros(1), 1,
        x, y, np.zeros(1, np.intp), 0, 1, np.zeros(1), x, y, z, a,
        vector[0], gradient, slots, activations, deltas, panel, strips, noted, fetches, *places, np.zeros(2), True,
    )  # fmt: skip
    compiled.pays_turned(1, 1, 1, vector.itemsize)
    compiled.update(compiled.ADAM, numbers, 1, 0.0, vector[0], gradient, slots)
    order_drawer(1)(np.random.default_rng(0), np.zeros(1, np.intp))


class _Spreader:
    """Draws the order of ``n_rows`` rows with buffers of its own: some `engine.batches.SPREAD_BYTES` a row."""

    def __init__(self, n_rows: int) -> None:
        bits = (n_rows - 1).bit_length()
        half = bits // 2 + 2
        self._bits, self._buffers = (bits, half), (np.empty(n_rows, np.uint64), np.empty(2 << half, np.uint64))

    def draw(self, generator: np.random.Generator, order: Int[Array, " n"]) -> None:
        bit_generator = generator.bit_generator
        whole = bit_generator.state
        inner = whole["state"]
        halves = [half for number in (inner["state"], inner["inc"]) for half in divmod(number, 1 << 64)]
        state = np.array(halves, np.uint64)
        _compiled().draw_order(state, *self._bits, order.view(np.uint64), *self._buffers)
        inner["state"] = int(state[0]) << 64 | int(state[1])
        bit_generator.state = whole


def order_drawer(n_rows: int) -> Callable[[np.random.Generator, Int[Array, " n"]], None]:
    """What draws the order of ``n_rows`` rows as `engine.batches.draw_order`, from a generator of `numpy.random.PCG64`."""
    return _Spreader(n_rows).draw if n_rows <= MOST_SPREAD else draw_order


class CompiledStepper:
    """An optimizer's update as `engine.optimizers.Stepper` makes it, in one pass over the vectors."""

    def __init__(
        self,
        spec: OptimizerSpec,
        *,
        theta: Float[Array, " n"],
        gradient: Float[Array, " n"],
        slots: Float[Array, "n_slots n"],
    ) -> None:
        compiled = _compiled()
        self._update, self._code = compiled.update, compiled.OPTIMIZERS[spec.name]
        self._numbers = _numbers(spec)
        self._vectors = theta, gradient, with_room(slots)

    def step(self, number: int, learning_rate: float) -> None:
        """Update the parameters with the gradient as it is now; the first step is number 1."""
        self._update(self._code, self._numbers, number, learning_rate, *self._vectors)


class CompiledSteps:
    """The steps between two pauses, bound to the rows and the buffers of a run: one call takes them all, and allocates nothing.

    Rows are copied batch by batch from where they are, in the order that ``reader`` draws; their costs, and what is
    ``measured`` beside it, are added up on the way.

    Attributes:
        rows_at_once: the rows between two pauses.
        squares: the sums of the squares of the parameters and, after an epoch's last batch, of the gradient, in float64;
            infinite where there are many parameters.
    """

    def __init__(
        self,
        network: NetworkSpec,
        training: TrainingSpec,
        workspace: Workspace,
        reader: Reader,
        *,
        measured: bool,
        theta: Float[Array, " n"],
        slots: Float[Array, "n_slots n"],
    ) -> None:
        compiled, loss, spec, layout = _compiled(), LOSSES[training.loss], training.optimizer, workspace.layout
        self._take_steps = compiled.take_steps
        task = compiled.CLASSES if training.task == "classification" else compiled.NUMBERS
        self.rows_at_once = layout.block_rows * layout.pause_blocks * TIMES_AS_FAST
        most_steps = -(-min(self.rows_at_once, layout.n_rows) // layout.batch_rows)
        turned = most_steps >= STEPS_PER_TURN and compiled.pays_turned(
            layout.batch_rows, network.widths[1], network.n_inputs, theta.itemsize
        )
        self._before = (
            _table(network, compiled, turned, layout.batch_rows),
            loss.share(network.n_outputs),
            network.layers[-1].activation == loss.collapses_with,
            compiled.COSTS[training.loss],
            task if measured else compiled.NOTHING,
            loss.threshold,
            compiled.OPTIMIZERS[spec.name],
            _numbers(spec),
        )
        rates = np.full(most_steps, spec.learning_rate)
        self._n_rows = layout.n_rows
        self._rows = rates, layout.batch_rows, *(_flat(rows) for rows in reader.sources), reader.order
        self._sources = reader.sources  # the flat views do not keep them
        blocks = (part.reshape(-1) for part in (workspace.y, workspace.z, workspace.a))
        x, *buffers = (empty((size,), theta.dtype) for size in _buffer_sizes(network, layout, theta.itemsize, turned))
        ahead = compiled.TILE_ROWS
        places = np.zeros(layout.batch_rows + ahead, np.int64), np.arange(network.n_inputs + ahead, dtype=np.int64)
        vectors = theta, workspace.gradient, with_room(slots)
        fetches = compiled.fetches_size(layout.batch_rows, network.widths)
        noted = np.zeros(6, np.int64), empty((fetches,), np.int64)
        self.squares = np.full(2, np.inf)
        wanted = self.squares[: 2 if theta.size <= FEW_PARAMETERS else 0]
        self._after = (x, *blocks, *vectors, *buffers, *noted, *places, wanted)

    def take(self, step: int, start: int, stop: int, tally: Float64[Array, " n_sums"]) -> None:
        """Train on the rows from place ``start`` of the order to before ``stop``, batch by batch, after ``step`` steps.

        The gradient is there after the last batch of an epoch.
        """
        last = stop == self._n_rows
        self._take_steps(*self._before, step, *self._rows, start, stop - start, tally, *self._after, last)


class _Flat:
    """What NumPy makes an array of that is one-dimensional, and not said to be read-only.

    Machine code is made for each type of array, and a read-only one is another type; the steps only read their rows.
    """

    def __init__(self, rows: Array) -> None:
        shape, place = (rows.size,), (rows.__array_interface__["data"][0], False)
        self.__array_interface__ = {**rows.__array_interface__, "shape": shape, "strides": None, "data": place}


def _flat(rows: Float[Array, "n columns"]) -> Float[Array, " n_numbers"]:
    assert rows.flags.c_contiguous, "`engine.checks.check_rows` lets no others in"
    flat: Array = np.asarray(_Flat(rows))
    return flat


def made_of_tiles(network: NetworkSpec, layout: Layout) -> bool:
    """Whether a run takes compiled steps; if not, NumPy's products and a compiled update."""
    return not layout.sliced and max(n * n_prev for n_prev, n in pairwise(network.widths)) <= LARGEST_MATRIX


def _numbers(spec: OptimizerSpec) -> Float[Array, " n"]:
    """The optimizer's parameters in the order of `COVERED_OPTIMIZERS`, pairs one after the other."""
    values = OPTIMIZERS[spec.name].complete(spec.parameters)
    return np.array([x for name in COVERED_OPTIMIZERS[spec.name] for x in np.atleast_1d(values[name])], np.float64)


def _table(network: NetworkSpec, compiled: Any, turned: bool, batch_rows: int) -> Array:
    """A row for each layer, with the columns that `engine.compiled` names."""
    rows, at, a_at = [], 0, 0
    for layer, (n_prev, n) in zip(network.layers, pairwise(network.widths), strict=True):
        b_at, activation = at + n * n_prev if network.bias else -1, compiled.ACTIVATIONS[layer.activation]
        is_wide = min(batch_rows, n, n_prev) >= compiled.LEAST_SIDE
        rows.append((n_prev, n, at, b_at, a_at, activation, turned and at == 0, is_wide))
        at += n * (n_prev + network.bias)
        a_at += n
    return np.array(rows, np.int64)


def _apart(width: int, itemsize: int) -> int:
    """How far the rows of a batch are apart: none of their vectors is in two lines of the cache where one would do."""
    size = width * itemsize
    if size >= VECTOR_BYTES:
        return -(-size // VECTOR_BYTES) * VECTOR_BYTES // itemsize
    return (1 << (size - 1).bit_length()) // itemsize


def _buffer_sizes(network: NetworkSpec, layout: Layout, itemsize: int, turned: bool) -> tuple[int, int, int, int, int]:
    """How many numbers a batch, the hidden activations, the errors, a panel, and the strips of a part of a matrix take.

    A first layer that is turned needs no batch, but the room of its transpose among the strips.
    """
    widths, rows, compiled = network.widths, layout.batch_rows, _compiled()
    vector = VECTOR_BYTES // itemsize
    rooms = compiled.room(rows, widths, itemsize), compiled.room_of_sparse(rows, widths, itemsize)
    panel, strips = (max(sizes) for sizes in zip(*rooms, strict=True))
    panel = max(panel, 4 * rows)  # the scratch of softmax, too
    batch = rows * _apart(widths[0], itemsize)
    if turned:
        batch, strips = 0, max(strips, (widths[0] + vector) * (widths[1] + vector))
    return batch, rows * sum(widths[1:-1]), rows * sum(widths[1:]), panel, strips
