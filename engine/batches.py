"""Rows in the order that a run takes them, and in the portions that it takes them in.

A **batch** is the rows of one update. A **slice** is what goes through the network at once: a whole batch, unless
that would take too much memory or time; then the gradients of its slices are added up. A **block** is what is read
from the data at once: as many whole batches as are cheap to keep, or one slice. All three follow from shapes alone,
so that they are the same when a run resumes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from engine.arrays import Array
from engine.spec import NetworkSpec

SLICE_BYTES = 64 << 20
SLICE_FLOPS = 6e9
BLOCK_BYTES = 1 << 20
BLOCK_BATCHES = 64
PAUSE_S = 0.04
DRAWN_AT_ONCE = 1 << 12
PLACES = np.arange(DRAWN_AT_ONCE, dtype=np.uint64)
MOST_SPREAD, SPREAD_BYTES = 1 << 22, 8
"""Machine code sorts up to so many numbers with so many bytes for each beside them; more are sorted in place."""


@dataclass(frozen=True)
class Rows:
    """Examples: ``x`` and what the network should answer, ``y``.

    Both are C-ordered and of the training's dtype, and may be mapped from a file: they are never copied as a whole.
    Classes are one-hot, or one column of 0 and 1 for a sigmoid output. ``units`` says what 1 is, for each output of a
    regression, in the unit that errors are to be reported in; None: 1 is 1. ``weights`` (at least 0) make rows count
    for more or less in the loss, which is then ``sum(w C) / sum(w)``: over a batch where it is descended, over all
    rows where it is reported. Metrics count every row once. `class_weights` gives the weights that stand for classes.
    """

    x: Float[Array, "n n_inputs"]
    y: Float[Array, "n n_outputs"]
    units: tuple[float, ...] | None = None
    weights: Float[Array, " n"] | None = None

    def __len__(self) -> int:
        return len(self.x)


def class_weights(y: Float[Array, "n n_outputs"], weights: Sequence[float]) -> Float[Array, " n"]:
    """The weight of each row's class: as PyTorch's ``weight`` of a class, with its ``reduction="mean"``.

    ``y`` is one-hot, or one column of 0 and 1; ``weights`` has a number for each class. Weights of rows may be
    multiplied to the answer.
    """
    classes = y.argmax(1) if y.shape[1] > 1 else (y[:, 0] >= 0.5).astype(np.intp)
    of_class: Array = np.asarray(weights, y.dtype)
    return of_class.take(classes)


@dataclass(frozen=True)
class Layout:
    """How many rows go together, for one network and one number of rows.

    ``pause_blocks`` is the number of blocks (at least 1) that amount to some 50 ms of work.
    """

    n_rows: int
    batch_rows: int
    slice_rows: int
    block_rows: int
    pause_blocks: int

    @property
    def sliced(self) -> bool:
        """Whether a batch is more than one slice."""
        return self.slice_rows < self.batch_rows


def training_layout(network: NetworkSpec, itemsize: int, n_rows: int, batch_size: int | None) -> Layout:
    """The layout of a training run over ``n_rows`` rows; ``batch_size`` None is all of them."""
    batch_rows = min(batch_size or n_rows, n_rows)
    row_bytes = itemsize * (3 * sum(network.widths))
    slice_rows = min(batch_rows, _slice_rows(row_bytes, 6.0 * network.n_parameters))
    if network.n_statistics:
        # The mean and the variance of a batch are those of all its rows.
        slice_rows = batch_rows
    if slice_rows < batch_rows:
        return Layout(n_rows, batch_rows, slice_rows, slice_rows, 1)
    batch_s = 3e-5 + batch_rows * _row_s(network, 3.0) + 3e-9 * network.n_parameters
    block_bytes = itemsize * batch_rows * (network.n_inputs + 6 * network.n_outputs)
    batches = int(min(BLOCK_BATCHES, BLOCK_BYTES // block_bytes, PAUSE_S // batch_s))
    batches = max(1, min(batches, -(-n_rows // batch_rows)))
    # A checkpoint's copy moves each vector of the state once: keep it to a few per cent of the time between two of
    # them.
    pause_s = PAUSE_S + 4e-7 * network.n_parameters
    return Layout(n_rows, batch_rows, batch_rows, batches * batch_rows, max(1, int(pause_s // (batches * batch_s))))


def evaluation_layout(network: NetworkSpec, itemsize: int, n_rows: int) -> Layout:
    """The layout of a pass over ``n_rows`` rows that only feeds forward."""
    row_bytes = itemsize * (2 * sum(network.widths))
    rows = max(1, min(n_rows, 4096, _slice_rows(row_bytes, 2.0 * network.n_parameters)))
    return Layout(n_rows, rows, rows, rows, max(1, int(PAUSE_S // (1e-5 + rows * _row_s(network, 1.0)))))


def _slice_rows(row_bytes: int, row_flops: float) -> int:
    return max(1, int(min(SLICE_BYTES // row_bytes, SLICE_FLOPS // row_flops)))


def _row_s(network: NetworkSpec, passes: float) -> float:
    """About the time that a row takes: the matrix products of ``passes`` passes, and the element-wise work."""
    return passes * (network.n_parameters / 5e10 + sum(network.widths) * 5e-10)


def draw_order(generator: np.random.Generator, order: Int[Array, " n"]) -> None:
    """Fill with the rows in a random order: that of random numbers, which is found faster than by exchanging places.

    Each number holds its row in its last bits, so that sorting is all there is to do; all 64 bits are drawn.
    """
    bits, numbers = (len(order) - 1).bit_length(), order.view(np.uint64)
    for start, stop in spans(0, len(numbers), DRAWN_AT_ONCE):
        part = numbers[start:stop]
        np.left_shift(generator.bit_generator.random_raw(stop - start), np.uint64(bits), part)
        np.bitwise_or(part, PLACES[: stop - start], part)
        np.bitwise_or(part, np.uint64(start), part)  # a multiple of a power of 2 beyond the places
    numbers.sort()
    np.bitwise_and(numbers, np.uint64((1 << bits) - 1), numbers)


class Reader:
    """Copies rows into a block, in the order of the epoch: as stored, or as the generator shuffles them.

    With ``smoothing`` (a share, and the number of classes) the targets in the block are mixed with equal chances.

    Attributes:
        sources: ``x`` and ``y`` of all rows.
        order: the rows in the order of the epoch; empty where they are taken as stored.
        draw_order: the function of that name, or another that does the same.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        shuffle: bool,
        x: Float[Array, "block n_inputs"],
        y: Float[Array, "block n_outputs"],
        weights: Float[Array, "block 1"] | None,
        smoothing: tuple[float, int] | None = None,
    ) -> None:
        # A plain view: a memmap's own methods are several times slower.
        self.sources: tuple[Array, Array] = np.asarray(rows.x), np.asarray(rows.y)
        self._copies = list(zip(self.sources, (x, y), strict=True))
        if rows.weights is not None and weights is not None:
            self._copies.append((np.asarray(rows.weights)[:, None], weights))
        self._y, self._smoothing = y, smoothing
        self.order: Int[Array, " n"] = np.empty(len(rows) if shuffle else 0, np.intp)
        self.draw_order: Callable[[np.random.Generator, Int[Array, " n"]], None] = draw_order
        self._held: tuple[int, int] | None = None

    def read(self, start: int, stop: int) -> None:
        """Copy the rows from place ``start`` to before ``stop`` of the order to the beginning of the block."""
        n = stop - start
        if self.order.size:
            chosen = self.order[start:stop]
            for source, block in self._copies:
                source.take(chosen, 0, block[:n], "clip")
        elif self._held == (start, stop):
            return
        else:
            for source, block in self._copies:
                block[:n] = source[start:stop]
            self._held = start, stop
        if self._smoothing is not None:
            share, n_classes = self._smoothing
            y = self._y[:n]
            np.multiply(y, 1.0 - share, y)
            np.add(y, share / n_classes, y)


def spans(start: int, stop: int, length: int) -> Iterator[tuple[int, int]]:
    """The pieces of ``start`` to before ``stop``, cut at every multiple of ``length``."""
    while start < stop:
        end = min(stop, start - start % length + length)
        yield start, end
        start = end
