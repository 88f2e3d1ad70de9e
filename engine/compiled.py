"""Whole blocks of steps as machine code: the equations of `engine.equations` and the optimizers.

Made by Numba. Every array is flat and C-ordered; ``_at`` is where a matrix begins in it, and a row of a matrix follows
the last. Nothing is allocated. Products of matrices are made of `engine.tiles`, everything else of plain loops.
"""

import math

import numpy as np

from engine import amx
from engine.arrays import Array
from engine.elementwise import ACTIVATIONS, LINEAR, RELU, activate, times_slope
from engine.jit import called, compiled, inlined
from engine.products import (
    AT,
    PART,
    ROW,
    STEP,
    STOP,
    WIDTH,
    Places,
    Soon,
    are_copied,
    columns_at_once,
    fetch_nothing,
    fetches_size,
    goes_in_parts,
    is_for_amx,
    is_large,
    lines_at_once,
    multiply,
    multiply_columns,
    multiply_placed,
    room,
    totalled,
    turn,
    up,
)
from engine.shuffle import draw_order
from engine.sparse import LEAST_SIDE, MOST_FILLED, Ending, Side, filled, multiply_sparse, transposed
from engine.sparse import lines_at_once as sparse_lines_at_once
from engine.sparse import room as room_of_sparse
from engine.tiles import (
    adam_vectors,
    copy,
    dots_in_a_square,
    dots_of_one,
    dots_of_two,
    fetch,
    first_largest,
    slim_sums,
    sums_of_pairs,
    unowned,
    wide_sums,
)
from engine.vectors import (
    DOTS,
    FAR_BYTES,
    FEW_ROWS,
    LONG_ROW,
    NARROW_ROWS,
    NEAR_BYTES,
    ROWS_AHEAD,
    TILE_ROWS,
    TILE_VECTORS,
    TURNED_BYTES,
    VECTOR_BYTES,
    WIDE_ROW_BYTES,
    itemsize_of,
    swap_control_word,
)

__all__ = [
    "ACTIVATIONS",
    "COSTS",
    "LEAST_SIDE",
    "LINEAR",
    "OPTIMIZERS",
    "TILE_ROWS",
    "draw_order",
    "fetches_size",
    "pays_turned",
    "room",
    "room_of_sparse",
    "take_steps",
    "update",
]

GRADIENT_DESCENT, MOMENTUM, ADAM = range(3)
SQUARES, BINARY_CROSS_ENTROPY, CROSS_ENTROPY = range(3)
NEITHER, ERRORS, INPUTS = range(3)
NOTHING, CLASSES, NUMBERS = range(3)
"""What is measured beside the loss."""
COSTS = {
    "quadratic": SQUARES,
    "mean_squared_error": SQUARES,
    "binary_cross_entropy": BINARY_CROSS_ENTROPY,
    "cross_entropy": CROSS_ENTROPY,
}
"""What each loss sums; its share of the sum is the engine's."""
OPTIMIZERS = {"gradient_descent": GRADIENT_DESCENT, "momentum": MOMENTUM, "adam": ADAM}
N_PREV, N, W_AT, B_AT, A_AT, ACT, IS_TURNED, IS_WIDE = range(8)
"""Columns of the table of layers.

``B_AT`` is -1 without biases; ``A_AT`` counts numbers a row, of activations and of errors. Only the first layer may be one that
``IS_TURNED``: its ``W`` is transposed for as long as a call of `take_steps` lasts, and its rows are read where they are stored.
Of a layer that ``IS_WIDE`` no side is shorter than `LEAST_SIDE`, nor is a batch: its products may be those of `engine.sparse`.
"""
LEAST_TURNED = 1 << 13
"""The multiplications of a batch from which on the first layer is turned: below, calls take more than copies."""


@inlined
def along_rows(rows: int, n: int, n_prev: int) -> bool:
    """Whether the products of a layer are made of both matrices' rows: there are few of them."""
    return n <= 2 or (rows <= FEW_ROWS and n_prev >= LONG_ROW)


@compiled
def pays_turned(rows: int, n: int, n_prev: int, itemsize: int) -> bool:
    """Whether many steps of ``rows`` rows are faster with a first layer that is turned.

    Its weights are needed one way only: no error goes beyond them. But what is large is better copied, and the tiles of the
    gradient must not be more when it is transposed, too.
    """
    length = VECTOR_BYTES // itemsize
    return (
        rows * n * n_prev >= LEAST_TURNED
        and up(n_prev, TILE_ROWS) * up(n, length) <= up(n, TILE_ROWS) * up(n_prev, length)
        and not along_rows(rows, n, n_prev)
        and n * n_prev * itemsize < TURNED_BYTES
        and not goes_in_parts(rows, n, n_prev, itemsize)
        and not is_for_amx(rows, n, n_prev, itemsize)
        and not is_for_amx(n_prev, n, rows, itemsize)
    )


@inlined
def _inputs(layer: Array, a_prev: Array, at: int, a_prev_row: int, rows: int, soon: Soon, places: Places) -> Side:
    """What a layer is given, row by row."""
    if layer[IS_TURNED]:
        return Side(soon.source, 0, layer[N_PREV], 1, places.rows[:rows])
    return Side(a_prev, at, a_prev_row, 1, soon.noted[:0])


@inlined
def _weigh_sparse(
    layer: Array, theta: Array, a_prev: Array, a_prev_at: int, a_prev_row: int, z: Array, z_at: int, rows: int,
    panel: Array, strips: Array, soon: Soon, places: Places,
) -> bool:  # fmt: skip
    """`_weigh` or `_weigh_turned` if many activations, or inputs, are 0 and better left out; and whether they are."""
    n_prev, n, kind, nowhere = layer[N_PREV], layer[N], z.dtype.type, soon.noted[:0]
    left, right = (
        _inputs(layer, a_prev, a_prev_at, a_prev_row, rows, soon, places),
        Side(theta, layer[W_AT], 1, n_prev, nowhere),
    )
    if layer[IS_TURNED]:
        right = Side(theta, layer[W_AT], n, 1, nowhere)
    pays = filled(left, rows, n, n_prev) <= MOST_FILLED
    if pays:
        floor = kind(0.0 if layer[ACT] == RELU else -np.inf)
        ending = Ending(theta, layer[B_AT], floor, theta, -1, theta, -1, kind(0.0), False)
        multiply_sparse(left, right, z, z_at, rows, n, n_prev, ending, False, panel, strips)
    return pays


@inlined
def _weigh(
    layer: Array, theta: Array, a_prev: Array, a_prev_at: int, a_prev_row: int, z: Array, z_at: int, rows: int,
    panel: Array, strips: Array, soon: Soon,
) -> None:  # fmt: skip
    """``z = W^l a^(l-1) + b^l``, and at least 0 for relu.

    Where there are few rows or outputs, both matrices are read along their rows; else ``W`` is transposed panel by panel.
    """
    n_prev, n, W_at, b_at = layer[N_PREV], layer[N], layer[W_AT], layer[B_AT]
    floor = z.dtype.type(0.0 if layer[ACT] == RELU else -np.inf)
    if along_rows(rows, n, n_prev):
        height = NARROW_ROWS if n <= 2 else DOTS[0]
        for i in range(0, rows, height):
            a_at, c_at, m = a_prev_at + i * a_prev_row, z_at + i * n, rows - i
            if n == 1:
                dots_of_one(a_prev, a_at, a_prev_row, theta, W_at, z, c_at, n, n_prev, m, n, theta, b_at, floor)
            elif n == 2:
                dots_of_two(a_prev, a_at, a_prev_row, theta, W_at, z, c_at, n, n_prev, m, n, theta, b_at, floor)
            else:
                for j in range(0, n, DOTS[1]):
                    start_at = b_at + j if b_at >= 0 else -1
                    dots_in_a_square(
                        a_prev, a_at, a_prev_row, theta, W_at + j * n_prev, z, c_at + j, n, n_prev, m, n - j, theta, start_at,
                        floor,
                    )  # fmt: skip
        return
    multiply(
        a_prev, a_prev_at, a_prev_row, 1, theta, W_at, 1, n_prev, z, z_at, rows, n, n_prev, theta, b_at, floor,
        theta, -1, theta, -1, z.dtype.type(0.0), panel, strips, soon,
    )  # fmt: skip


@inlined
def _weigh_turned(
    layer: Array, theta: Array, places: Places, z: Array, z_at: int, rows: int, panel: Array, soon: Soon
) -> None:
    """`_weigh` where ``W`` is transposed, and the rows are where they are stored."""
    n_prev, n = layer[N_PREV], layer[N]
    floor = z.dtype.type(0.0 if layer[ACT] == RELU else -np.inf)
    multiply_placed(
        soon.source, 0, places, theta, layer[W_AT], z, z_at, rows, n, n_prev, theta, layer[B_AT], floor,
        z.dtype.type(0.0), panel, soon,
    )  # fmt: skip


@inlined
def _output_error(act: int, collapses: bool, scale: float, a: Array, y: Array, delta: Array, n: int) -> None:
    """(3): ``delta^L = grad_a C (.) a'(L)``, or ``a - y`` where the pair collapses; ``scale`` as in `engine.equations`."""
    for i in range(a.size):
        delta[i] = a[i] - y[i]
    if not collapses:
        times_slope(act, a, delta, n)
    factor = a.dtype.type(scale)
    for i in range(a.size):
        delta[i] *= factor


@inlined
def _goes_along(layer: Array, after: Array, rows: int, itemsize: int) -> bool:
    """Whether the gradient of a layer's biases is summed as its errors are made, rather than after them."""
    return layer[ACT] == RELU and totalled(rows, layer[N], after[N], itemsize) > 0


@inlined
def _hidden_error_sparse(
    layer: Array, after: Array, theta: Array, deltas: Array, activations: Array, slope_at: int, rows: int,
    gradient: Array, totals_at: int, panel: Array, strips: Array, soon: Soon,
) -> bool:  # fmt: skip
    """The product of `_hidden_error` if so many errors are 0 that they are better left out; and whether they are."""
    n, n_next, kind = layer[N], after[N], theta.dtype.type
    nowhere = soon.noted[:0]
    left = Side(deltas, after[A_AT] * rows, n_next, 1, nowhere)
    pays = filled(left, rows, n, n_next) <= MOST_FILLED
    if pays:
        right = Side(theta, after[W_AT], n, 1, nowhere)
        ending = Ending(theta, -1, kind(-np.inf), activations, slope_at, gradient, totals_at, kind(0.0), False)
        multiply_sparse(left, right, deltas, layer[A_AT] * rows, rows, n, n_next, ending, False, panel, strips)
    return pays


@inlined
def _hidden_error(
    layer: Array, after: Array, theta: Array, deltas: Array, activations: Array, rows: int, gradient: Array, panel: Array,
    strips: Array, soon: Soon,
) -> None:  # fmt: skip
    """(4): ``delta^l = a'(l) (.) ((W^(l+1))^T delta^(l+1))``; ``after`` is layer *l + 1*. And (6), where `_goes_along`."""
    n, n_next, act, b_at = layer[N], after[N], layer[ACT], layer[B_AT]
    at, delta_next_at = layer[A_AT] * rows, after[A_AT] * rows
    slope_at, totals_at = at if act == RELU else -1, -1
    if b_at >= 0 and _goes_along(layer, after, rows, itemsize_of(theta)):
        totals_at = b_at
        for j in range(b_at, b_at + n):
            gradient[j] = 0.0
    kind = theta.dtype.type
    if not after[IS_WIDE] or not _hidden_error_sparse(
        layer, after, theta, deltas, activations, slope_at, rows, gradient, totals_at, panel, strips, soon
    ):  # fmt: skip
        multiply(
            deltas, delta_next_at, n_next, 1, theta, after[W_AT], n, 1, deltas, at, rows, n, n_next, theta, -1,
            kind(-np.inf), activations, slope_at, gradient, totals_at, kind(0.0), panel, strips, soon,
        )  # fmt: skip
    if totals_at >= 0:
        for i in range(totalled(rows, n, n_next, itemsize_of(theta)), rows):
            for j in range(n):
                gradient[b_at + j] += deltas[at + i * n + j]
    if act != RELU:
        size = rows * n
        times_slope(act, activations[at : at + size], deltas[at : at + size], n)


@inlined
def _weight_gradient(
    layer: Array, deltas: Array, delta_at: int, a_prev: Array, at: int, a_prev_row: int, rows: int, first: int,
    lines: int, out: Array, out_at: int, factor: float, panel: Array, strips: Array, soon: Soon,
) -> None:  # fmt: skip
    """(5): ``dC/dW^l = delta^l (a^(l-1))^T``, summed over the rows; or ``factor`` times that, added to ``out``.

    Of the ``lines`` from ``first`` on: as many rows of ``W^l`` as it is stored.
    """
    n_prev, n = layer[N_PREV], layer[N]
    multiply(
        deltas, delta_at + first, 1, n, a_prev, at, a_prev_row, 1, out, out_at, lines, n_prev, rows, out, -1,
        out.dtype.type(-np.inf), out, -1, out, -1, factor, panel, strips, soon,
    )  # fmt: skip


@inlined
def _turned_weight_gradient(
    layer: Array, deltas: Array, delta_at: int, places: Places, rows: int, first: int, lines: int, out: Array,
    out_at: int, factor: float, panel: Array, strips: Array, soon: Soon,
) -> None:  # fmt: skip
    """`_weight_gradient` where ``W`` is transposed, and the rows are where they are stored."""
    n = layer[N]
    if are_copied(n, rows, itemsize_of(out)):
        multiply_columns(
            soon.source, first, places.rows, deltas, delta_at, out, out_at, lines, n, rows, factor, panel, strips, soon
        )  # fmt: skip
        return
    multiply_placed(
        soon.source, first, Places(places.columns, places.rows), deltas, delta_at, out, out_at, lines, n, rows, out, -1,
        out.dtype.type(-np.inf), factor, panel, soon,
    )  # fmt: skip


@called
def _side_with_zeros(
    layer: Array, deltas: Array, delta_at: int, a_prev: Array, at: int, a_prev_row: int, rows: int, soon: Soon,
    places: Places,
) -> int:  # fmt: skip
    """Which side of (5) has so many zeros that they are better left out, or more than the other: `ERRORS`, `INPUTS`, `NEITHER`."""
    n_prev, n, errors = layer[N_PREV], layer[N], Side(deltas, delta_at, 1, layer[N], soon.noted[:0])
    inputs = transposed(_inputs(layer, a_prev, at, a_prev_row, rows, soon, places))
    of_errors, of_inputs = filled(errors, n, n_prev, rows), filled(inputs, n_prev, n, rows)
    if min(of_errors, of_inputs) > MOST_FILLED:
        return NEITHER
    return INPUTS if of_inputs < of_errors else ERRORS


@called
def _weight_gradient_sparse(
    layer: Array, side: int, deltas: Array, delta_at: int, a_prev: Array, at: int, a_prev_row: int, rows: int, first: int,
    lines: int, out: Array, out_at: int, factor: float, panel: Array, strips: Array, soon: Soon, places: Places,
) -> None:  # fmt: skip
    """`_weight_gradient` or `_turned_weight_gradient` where a ``side`` has zeros: the left one, of the product or its transpose.

    After the first lines come the next ones, and so on.
    """
    n_prev, n, is_turned, errors_at = layer[N_PREV], layer[N], layer[IS_TURNED] != 0, delta_at
    inputs = _inputs(layer, a_prev, at, a_prev_row, rows, soon, places)
    if is_turned:
        inputs, n_prev = Side(inputs.x, inputs.at + first, inputs.row, 1, inputs.places), lines
    else:
        errors_at, n = errors_at + first, lines
    left, right, m, width = Side(deltas, errors_at, 1, layer[N], soon.noted[:0]), inputs, n, n_prev
    if side == INPUTS:
        left, right, m, width, is_turned = transposed(right), transposed(left), n_prev, n, not is_turned
    ending = Ending(out, -1, out.dtype.type(-np.inf), out, -1, out, -1, factor, is_turned)
    multiply_sparse(left, right, out, out_at, m, width, rows, ending, is_turned and first > 0, panel, strips)


@inlined
def _bias_gradient(layer: Array, deltas: Array, delta_at: int, rows: int, out: Array) -> None:
    """(6): ``dC/db^l = delta^l``, summed over the rows; far ones are read along them."""
    n, b_at, length = layer[N], layer[B_AT], VECTOR_BYTES // itemsize_of(out)
    wide = n - n % (8 * length) if is_large(rows, n, itemsize_of(out)) else 0
    in_pairs = n - n % (2 * length)
    for j in range(0, wide, 8 * length):
        wide_sums(deltas, delta_at + j, rows, n, n - j, out, b_at + j)
    for j in range(wide, in_pairs, 2 * length):
        sums_of_pairs(deltas, delta_at + j, rows, n, n - j, out, b_at + j)
    for j in range(in_pairs, n, length):
        slim_sums(deltas, delta_at + j, rows, n, n - j, out, b_at + j)


@inlined
def _descend(theta: Array, gradient: Array, beta: float) -> None:
    """(1), (2): ``theta <- theta - beta grad C``."""
    rate = theta.dtype.type(beta)
    for i in range(theta.size):
        theta[i] -= rate * gradient[i]


@inlined
def _momentum(theta: Array, gradient: Array, v: Array, beta: float, momentum: float, undamped: float) -> None:
    kind = theta.dtype.type
    rate, kept, taken = kind(beta), kind(momentum), kind(undamped)
    for i in range(theta.size):
        v[i] = kept * v[i] + taken * gradient[i]
        theta[i] -= rate * v[i]


@inlined
def _adam_numbers(step: int, beta: float, numbers: Array, theta: Array) -> tuple[float, float, float, float]:
    """What `adam_vectors` takes, with the moments as `engine.optimizers` keeps them: without their factors ``1 - beta``."""
    beta_1, beta_2, eps = numbers[0], numbers[1], numbers[2]
    root = math.sqrt((1.0 - beta_2**step) / (1.0 - beta_2))
    rate = beta * root * (1.0 - beta_1) / (1.0 - beta_1**step)
    kind = theta.dtype.type
    return kind(beta_1), kind(beta_2), kind(eps * root), kind(rate)


@called
def _update(
    optimizer: int, numbers: Array, step: int, beta: float, theta: Array, gradient: Array, slots: Array
) -> None:
    """Step number ``step`` (1 for the first) of an optimizer, with its parameters as ``numbers`` and the learning rate ``beta``."""
    if optimizer == ADAM:
        rates = _adam_numbers(step, beta, numbers, theta)
        adam_vectors(theta, slots[0], slots[1], 0, gradient, 0, theta.size, *rates)
    elif optimizer == MOMENTUM:
        undamped = 1.0 if step == 1 else 1.0 - numbers[1]
        _momentum(theta, gradient, slots[0], beta, numbers[0], undamped)
    else:
        _descend(theta, gradient, beta)


@inlined
def _gather(source: Array, order: Array, start: int, rows: int, width: int, out: Array, out_row: int) -> None:
    """Copy rows, from place ``start`` of the order on, or as they are stored where there is none.

    Of ``out``, a row begins ``out_row`` after that before.
    """
    if width <= 2:
        _gather_narrow(source, order, start, rows, width, out, out_row)
        return
    is_wide = width * itemsize_of(source) >= WIDE_ROW_BYTES
    for i in range(rows):
        row = start + i
        if order.size:
            row = order[row]
        if is_wide:
            ahead = start + min(i + ROWS_AHEAD, rows - 1)
            fetch(source, (order[ahead] if order.size else ahead) * width, width)
        copy(source, row * width, width, out, i * out_row)


@inlined
def _gather_narrow(source: Array, order: Array, start: int, rows: int, width: int, out: Array, out_row: int) -> None:
    """`_gather` of one or two numbers a row: less than a vector's mask costs."""
    last = width - 1
    for i in range(rows):
        row = start + i
        if order.size:
            row = order[row]
        at, to = np.uint64(row * width), np.uint64(i * out_row)
        out[to] = source[at]
        out[to + np.uint64(last)] = source[at + np.uint64(last)]


@inlined
def _find(order: Array, start: int, rows: int, width: int, out: Array) -> None:
    """Where the rows begin that `_gather` would copy."""
    if order.size:
        chosen = order[start : start + rows]
        for i in range(rows):
            out[i] = chosen[i] * width
    else:
        for i in range(rows):
            out[i] = (start + i) * width


@inlined
def _forward(
    layers: Array, theta: Array, x: Array, x_row: int, rows: int, z: Array, a: Array, activations: Array, panel: Array,
    strips: Array, soon: Soon, places: Places,
) -> None:  # fmt: skip
    """Feed a batch forward, from the first layer to the last, whose ``z`` is kept beside its ``a``."""
    last = len(layers) - 1
    a_prev, at, row = x, 0, x_row
    for i in range(last + 1):
        layer = layers[i]
        n, act = layer[N], layer[ACT]
        size, start = rows * n, layer[A_AT] * rows
        out, out_at = (activations, start) if i < last else (z, 0)
        if layer[IS_WIDE] and _weigh_sparse(
            layer, theta, a_prev, at, row, out, out_at, rows, panel, strips, soon, places
        ):  # fmt: skip
            pass
        elif layer[IS_TURNED]:
            _weigh_turned(layer, theta, places, out, out_at, rows, panel, soon)
        else:
            _weigh(layer, theta, a_prev, at, row, out, out_at, rows, panel, strips, soon)
        z_i = out[out_at : out_at + size]
        a_i = z_i if i < last else a[:size]
        if i == last and act in (RELU, LINEAR):
            copy(z, 0, size, a, 0)
        activate(act, z_i, a_i, n, panel)
        a_prev, at, row = activations, start, n


@inlined
def _backward(
    layers: Array, theta: Array, rows: int, activations: Array, deltas: Array, gradient: Array, panel: Array,
    strips: Array, soon: Soon,
) -> None:  # fmt: skip
    """All other errors from the error of the output."""
    for i in range(len(layers) - 2, -1, -1):
        _hidden_error(
            layers[i], layers[i + 1], theta, deltas, activations, rows, gradient, panel, strips, soon
        )  # fmt: skip


@inlined
def _gradients(
    layers: Array, x: Array, x_row: int, rows: int, activations: Array, deltas: Array, gradient: Array, theta: Array,
    slots: Array, beta: float, is_adam: bool, adam: tuple[float, float, float, float], wanted: bool, panel: Array,
    strips: Array, soon: Soon, places: Places,
) -> None:  # fmt: skip
    """The gradients of all layers; with a ``beta`` that is not 0, the parameters go down theirs at once.

    With ``is_adam`` that is Adam's step, with so many rows at once as are still near; where the gradient itself is not
    ``wanted``, they take the place of those before. All errors are there by now, so that no weight changes before it was
    needed.
    """
    factor = theta.dtype.type(-beta)
    for i in range(len(layers)):
        layer = layers[i]
        n_prev, n, delta_at, W_at, b_at = layer[N_PREV], layer[N], layer[A_AT] * rows, layer[W_AT], layer[B_AT]
        a_prev, at, row = (x, 0, x_row) if i == 0 else (activations, layers[i - 1][A_AT] * rows, n_prev)
        n_lines, length = (n_prev, n) if layer[IS_TURNED] else (n, n_prev)
        out, at_once = theta if beta != 0.0 else gradient, n_lines
        in_place = is_large(rows, length, itemsize_of(theta)) or is_for_amx(n, n_prev, rows, itemsize_of(theta))
        side = NEITHER
        if layer[IS_WIDE]:
            side = _side_with_zeros(layer, deltas, delta_at, a_prev, at, row, rows, soon, places)
        if side != NEITHER and is_adam:
            is_turned = (layer[IS_TURNED] != 0) == (side == ERRORS)
            at_once = sparse_lines_at_once(is_turned, length, n_lines, rows, itemsize_of(theta))
        elif side == NEITHER and (layer[IS_TURNED] or (is_adam and not in_place)):
            at_once = lines_at_once(length, itemsize_of(theta))
            if layer[IS_TURNED] and are_copied(n, rows, itemsize_of(theta)):
                at_once = columns_at_once(n, rows, itemsize_of(theta))
        for first in range(0, n_lines, at_once):
            lines, begin = min(at_once, n_lines - first), W_at + first * length
            out_at = W_at if is_adam and not wanted else begin
            if side != NEITHER:
                _weight_gradient_sparse(
                    layer, side, deltas, delta_at, a_prev, at, row, rows, first, lines, out, out_at, factor, panel, strips,
                    soon, places,
                )  # fmt: skip
            elif layer[IS_TURNED]:
                _turned_weight_gradient(
                    layer, deltas, delta_at, places, rows, first, lines, out, out_at, factor, panel, strips, soon
                )
            else:
                _weight_gradient(
                    layer, deltas, delta_at, a_prev, at, row, rows, first, lines, out, out_at, factor, panel, strips, soon
                )  # fmt: skip
            if is_adam:
                adam_vectors(theta, slots[0], slots[1], begin, gradient, out_at, lines * length, *adam)
        if b_at < 0:
            continue
        if i == len(layers) - 1 or not _goes_along(layer, layers[i + 1], rows, itemsize_of(theta)):
            _bias_gradient(layer, deltas, delta_at, rows, gradient)
        if is_adam:
            adam_vectors(theta, slots[0], slots[1], b_at, gradient, b_at, n, *adam)
        elif beta != 0.0:
            _descend(theta[b_at : b_at + n], gradient[b_at : b_at + n], beta)


@inlined
def _turn(first: Array, vector: Array, back: bool, spare: Array) -> None:
    """Transpose what a vector of all parameters has for the ``first`` layer's weights, or transpose it ``back``."""
    if first[IS_TURNED]:
        n_prev, n = first[N_PREV], first[N]
        turn(vector, first[W_AT], n_prev if back else n, n if back else n_prev, spare)


@inlined
def _look_ahead(soon: Soon, start: int, rows: int, first: Array, batch_rows: int) -> None:
    """Note ``rows`` rows from place ``start`` on, to be fetched while the ``first`` layer's gradient of a batch is made.

    That is where memory is not needed otherwise.
    """
    noted, length, n_inputs, n = soon.noted, VECTOR_BYTES // itemsize_of(soon.source), first[N_PREV], first[N]
    noted[ROW], noted[STOP], noted[AT], noted[WIDTH] = start, start, 0, n_inputs
    width = TILE_VECTORS * length
    panels, tiles_high = n_inputs // width, max(n // TILE_ROWS, 1)
    if first[IS_TURNED]:
        panels, tiles_high = (n + width - 1) // width, max(n_inputs // TILE_ROWS, 1)
    if (
        panels == 0
        or soon.source.size * itemsize_of(soon.source) < FAR_BYTES
        or is_for_amx(n, n_inputs, batch_rows, itemsize_of(soon.source))
    ):
        return
    noted[STOP] = start + rows
    part = (rows * n_inputs) // (panels * tiles_high) + 1
    noted[PART] = (part + length - 1) // length * length
    noted[STEP] = (noted[PART] + batch_rows - 1) // batch_rows


@inlined
def _dot(x: Array, y: Array) -> float:
    """The sum of the products, in float64; four sums do not wait for each other."""
    sums = (0.0, 0.0, 0.0, 0.0)
    done = x.size - x.size % 4
    for i in range(0, done, 4):
        sums = (
            sums[0] + np.float64(x[i]) * np.float64(y[i]),
            sums[1] + np.float64(x[i + 1]) * np.float64(y[i + 1]),
            sums[2] + np.float64(x[i + 2]) * np.float64(y[i + 2]),
            sums[3] + np.float64(x[i + 3]) * np.float64(y[i + 3]),
        )
    total = (sums[0] + sums[1]) + (sums[2] + sums[3])
    for i in range(done, x.size):
        total += np.float64(x[i]) * np.float64(y[i])
    return total


@inlined
def _cost(cost: int, z: Array, a: Array, y: Array) -> float:
    """The sum of a loss over a batch, without its share; as `engine.losses`, from ``z`` where ``a`` would lose it."""
    total = 0.0
    if cost == SQUARES:
        for i in range(a.size):
            total += 0.5 * np.float64(a[i] - y[i]) ** 2
    elif cost == CROSS_ENTROPY:
        total = -_dot(y, z)
    else:
        for i in range(a.size):
            x = np.float64(z[i])
            total += math.log1p(math.exp(-abs(x))) + x * ((1.0 if x > 0.0 else 0.0) - np.float64(y[i]))
    return total


@inlined
def _measure(task: int, threshold: float, a: Array, y: Array, n: int, sums: Array) -> None:
    """Add what `engine.metrics` adds: right answers, or distances and squared ones for each output."""
    rows, right = a.size // n, 0
    if task == CLASSES and n == 1:
        for i in range(rows):
            sums[1] += (a[i] >= threshold) == (y[i] >= 0.5)
    elif task == CLASSES and n == 2:
        for row in range(rows):
            right += (a[2 * row + 1] > a[2 * row]) == (y[2 * row + 1] > y[2 * row])
        sums[1] += right
    elif task == CLASSES and n * itemsize_of(a) <= VECTOR_BYTES:
        for i in range(0, a.size, n):
            right += first_largest(a, i, n) == first_largest(y, i, n)
        sums[1] += right
    elif task == CLASSES:
        for i in range(0, a.size, n):
            answered, wanted = i, i
            likeliest, truest = a[i], y[i]
            # Numbers beside their places: to look them up again would be a branch.
            for j in range(i + 1, i + n):
                is_likelier, is_truer = a[j] > likeliest, y[j] > truest
                answered, likeliest = (j, a[j]) if is_likelier else (answered, likeliest)
                wanted, truest = (j, y[j]) if is_truer else (wanted, truest)
            right += answered == wanted
        sums[1] += right
    elif task == NUMBERS:
        for i in range(0, a.size, n):
            for j in range(n):
                distance = np.float64(a[i + j] - y[i + j])
                sums[1 + j] += abs(distance)
                sums[1 + n + j] += distance * distance


@inlined
def flush_denormals() -> int:
    """Let numbers below the normal ones be 0: moments that fade away would else be a hundred times slower."""
    before = swap_control_word(np.uint32(0))
    swap_control_word(np.uint32(before | 0x8040))
    return before


@compiled
def update(optimizer: int, numbers: Array, step: int, beta: float, theta: Array, gradient: Array, slots: Array) -> None:
    """An update alone, for steps whose products are not made here."""
    before = flush_denormals()
    _update(optimizer, numbers, step, beta, theta, gradient, slots)
    swap_control_word(before)


@compiled
def take_steps(
    layers: Array, share: float, collapses: bool, cost: int, task: int, threshold: float,
    optimizer: int, numbers: Array, step: int, rates: Array, batch_rows: int,
    source_x: Array, source_y: Array, order: Array, begin: int, n_rows: int, tally: Array,
    x: Array, y: Array, z: Array, a: Array, theta: Array, gradient: Array, slots: Array,
    activations: Array, deltas: Array, panel: Array, strips: Array, noted: Array, fetches: Array, rows_at: Array,
    columns_at: Array, squares: Array, wanted: bool,
) -> None:  # fmt: skip
    """A step for each batch of the ``n_rows`` rows from place ``begin`` of the order on, after ``step`` steps before them.

    ``wanted`` says whether the gradient of the last of them is. In ``squares``, if there are two, are then the sums of the squares
    of the parameters and, if it is wanted, of the gradient.
    """
    before = flush_denormals()
    layers, source_x, source_y, order = unowned(layers), unowned(source_x), unowned(source_y), unowned(order)
    tally, x, y, z, a = unowned(tally), unowned(x), unowned(y), unowned(z), unowned(a)
    theta, gradient, slots = unowned(theta), unowned(gradient), unowned(slots)
    activations, deltas, panel, strips = unowned(activations), unowned(deltas), unowned(panel), unowned(strips)
    amx.begin()
    _turn(layers[0], theta, False, strips)
    for slot in slots:
        _turn(layers[0], slot, False, strips)
    soon = Soon(source_x, order, unowned(noted), unowned(fetches))
    fetch_nothing(soon)
    places = Places(unowned(rows_at), unowned(columns_at))
    last = layers[len(layers) - 1]
    n, n_inputs = last[N], layers[0][N_PREV]
    x_row, n_stored = x.size // batch_rows, source_x.size // n_inputs
    none, total = theta.dtype.type(0.0), 0.0
    nothing = none, none, none, none
    for number, start in enumerate(range(0, n_rows, batch_rows)):
        rows = min(batch_rows, n_rows - start)
        if layers[0][IS_TURNED]:
            _find(order, begin + start, rows, n_inputs, places.rows)
        else:
            _gather(source_x, order, begin + start, rows, n_inputs, x, x_row)
        _gather(source_y, order, begin + start, rows, n, y, n)
        _forward(layers, theta, x, x_row, rows, z, a, activations, panel, strips, soon, places)
        size, delta_at = rows * n, last[A_AT] * rows
        z_b, a_b, y_b, delta = z[:size], a[:size], y[:size], deltas[delta_at : delta_at + size]
        total += _cost(cost, z_b, a_b, y_b)
        _measure(task, threshold, a_b, y_b, n, tally)
        _output_error(last[ACT], collapses, share / rows, a_b, y_b, delta, n)
        _backward(layers, theta, rows, activations, deltas, gradient, panel, strips, soon)
        # The gradient itself is wanted of an epoch's last batch only.
        is_wanted, number_of_step = wanted and start + rows == n_rows, step + number + 1
        is_adam = optimizer == ADAM and theta.size * itemsize_of(theta) > NEAR_BYTES
        adam = nothing
        if is_adam:
            adam = _adam_numbers(number_of_step, rates[number], numbers, theta)
        beta = rates[number] if optimizer == GRADIENT_DESCENT and not is_wanted else 0.0
        after = begin + start + rows
        _look_ahead(soon, after, min(batch_rows, n_stored - after), layers[0], rows)
        _gradients(
            layers, x, x_row, rows, activations, deltas, gradient, theta, slots, beta, is_adam, adam, is_wanted, panel,
            strips, soon, places,
        )  # fmt: skip
        if beta == 0.0 and not is_adam:
            _update(optimizer, numbers, number_of_step, rates[number], theta, gradient, slots)
    tally[0] += share * total
    _turn(layers[0], theta, True, strips)
    for slot in slots:
        _turn(layers[0], slot, True, strips)
    if wanted:
        _turn(layers[0], gradient, True, strips)
    if squares.size == 2:
        squares[0] = _dot(theta, theta)
        if wanted:
            squares[1] = _dot(gradient, gradient)
    amx.end()
    swap_control_word(before)
