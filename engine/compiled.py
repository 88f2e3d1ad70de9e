"""Whole blocks of steps as machine code: the equations of `engine.equations`, the activations and the optimizers.

Made by Numba from this file alone, so that its cache on disk is out of date exactly when this file changed. Every
array is flat and C-ordered; ``_at`` is where a matrix begins in it, and a row of a matrix follows the last. Nothing is
allocated. Products of matrices are made of tiles, which stay in the registers of the machine: LLVM gets them as
vectors, and everything else as plain loops. ``contract`` lets it multiply and add in one go; it may not assume that
numbers are finite, nor change the order of a sum.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, get_process_triple
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from engine.arrays import Array

F = TypeVar("F", bound=Callable[..., Any])

LINEAR, SIGMOID, TANH, RELU, SOFTMAX = range(5)
GRADIENT_DESCENT, MOMENTUM, ADAM = range(3)
ACTIVATIONS = {"linear": LINEAR, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU, "softmax": SOFTMAX}
OPTIMIZERS = {"gradient_descent": GRADIENT_DESCENT, "momentum": MOMENTUM, "adam": ADAM}
N_PREV, N, W_AT, B_AT, A_AT, DELTA_AT, ACT = range(7)
"""Columns of the table of layers. ``B_AT`` is -1 without biases; ``A_AT`` and ``DELTA_AT`` count numbers a row."""

_IS_X86 = get_process_triple().startswith("x86_64")
_FEATURES = get_host_cpu_features()
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx") else 16
TILE_ROWS = 4 if VECTOR_BYTES == 32 else 8
"""With `TILE_VECTORS`, as many sums as the registers hold: there are 16 of 32 bytes, and 32 of the others."""
TILE_VECTORS = 2
PANEL_BYTES = TILE_VECTORS * VECTOR_BYTES


def compiled(function: F) -> F:
    """The function as machine code, kept on disk where there is a place that can be written to."""
    options = {"fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return cast("F", njit(cache=True, **options)(function))
    except RuntimeError:
        return cast("F", njit(**options)(function))


def inlined(function: F) -> F:
    """A part of a compiled function."""
    return cast("F", njit(fastmath={"contract"}, error_model="numpy")(function))


class _Vectors:
    """Vectors of one dtype, as LLVM's instructions on them."""

    def __init__(self, builder: Any, dtype: Any) -> None:
        self._builder = builder
        self._itemsize = dtype.bitwidth // 8
        self.length = VECTOR_BYTES // self._itemsize
        self._type = ir.VectorType(ir.FloatType() if self._itemsize == 4 else ir.DoubleType(), self.length)
        self._name = f"v{self.length}f{dtype.bitwidth}"

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self._builder.module, kind, f"llvm.{name}")
        return self._builder.call(function, arguments)

    def _places(self, places: list[int]) -> Any:
        return ir.Constant(ir.VectorType(ir.IntType(32), self.length), places)

    def _at(self, pointer: Any) -> Any:
        return self._builder.bitcast(pointer, self._type.as_pointer())

    def fill(self, number: Any) -> Any:
        """The number in every place."""
        nothing = ir.Constant(ir.VectorType(number.type, self.length), ir.Undefined)
        first = self._builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
        return self._builder.shuffle_vector(first, nothing, self._places([0] * self.length))

    def zero(self) -> Any:
        return ir.Constant(self._type, [0.0] * self.length)

    def first(self, count: Any) -> Any:
        """A mask of the first ``count`` places: none if it is negative, all if it is large."""
        places = ir.Constant(ir.VectorType(ir.IntType(64), self.length), list(range(self.length)))
        return self._builder.icmp_signed("<", places, self.fill(count))

    def load(self, pointer: Any, mask: Any | None) -> Any:
        """What is in memory, and 0 where the mask is not: nothing is touched there. Without a mask all is loaded."""
        if mask is None:
            return self._builder.load(self._at(pointer), align=self._itemsize)
        align = ir.Constant(ir.IntType(32), self._itemsize)
        return self._call(f"masked.load.{self._name}.p0", self._type, self._at(pointer), align, mask, self.zero())

    def store(self, vector: Any, pointer: Any, mask: Any | None) -> None:
        if mask is None:
            self._builder.store(vector, self._at(pointer), align=self._itemsize)
            return
        align = ir.Constant(ir.IntType(32), self._itemsize)
        self._call(f"masked.store.{self._name}.p0", ir.VoidType(), vector, self._at(pointer), align, mask)

    def add_product(self, x: Any, y: Any, total: Any) -> Any:
        return self._call(f"fmuladd.{self._name}", self._type, x, y, total)

    def swap(self, upper: Any, lower: Any, size: int) -> tuple[Any, Any]:
        """Exchange the blocks of ``size`` places off the diagonal of two rows: a step of a transposition."""
        n = self.length
        first = [i if not i & size else n + i - size for i in range(n)]
        second = [i + size if not i & size else n + i for i in range(n)]
        shuffle = self._builder.shuffle_vector
        return shuffle(upper, lower, self._places(first)), shuffle(upper, lower, self._places(second))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _tile(rows: int, vectors: int, *, whole: bool = False) -> Any:
    """The product of ``rows`` rows of a matrix with a panel of another, of ``vectors`` vectors a row.

    With ``whole`` there are as many columns; if not, those beyond are neither read nor written.

    ``tile(a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, k, columns, start, start_at)`` writes, for each row
    *i* and each *j* before ``columns``, ``c[c_at + i c_row + j] = sum_p a[a_at + i a_row + p a_step] b[b_at + p b_step
    + j]``, and adds ``start[start_at + j]`` unless ``start_at`` is negative.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, k, columns, start, start_at = arguments
        kind = signature.args[0]
        vector = _Vectors(builder, kind.dtype)
        a, b, c = (_pointer(context, builder, kind, x, at) for x, at in ((a, a_at), (b, b_at), (c, c_at)))
        lengths = [ir.Constant(ir.IntType(64), v * vector.length) for v in range(vectors)]
        masks = [None if whole else vector.first(builder.sub(columns, length)) for length in lengths]
        numbers = [ir.Constant(ir.IntType(64), i) for i in range(rows)]
        places = [builder.mul(a_row, number) for number in numbers]
        start = _pointer(context, builder, kind, start, start_at)
        given = builder.select(builder.icmp_signed("<", start_at, lengths[0]), lengths[0], columns)
        first = [vector.load(builder.gep(start, [v]), vector.first(builder.sub(given, v))) for v in lengths]
        sums = [[cgutils.alloca_once_value(builder, part) for part in first] for _ in numbers]
        with cgutils.for_range(builder, k) as loop:
            b_p = builder.gep(b, [builder.mul(loop.index, b_step)])
            a_p = builder.gep(a, [builder.mul(loop.index, a_step)])
            panel = [vector.load(builder.gep(b_p, [length]), mask) for length, mask in zip(lengths, masks, strict=True)]
            for place, row in zip(places, sums, strict=True):
                factor = vector.fill(builder.load(builder.gep(a_p, [place])))
                for part, total in zip(panel, row, strict=True):
                    builder.store(vector.add_product(factor, part, builder.load(total)), total)
        for number, row in zip(numbers, sums, strict=True):
            c_i = builder.gep(c, [builder.mul(c_row, number)])
            for length, mask, total in zip(lengths, masks, row, strict=True):
                vector.store(builder.load(total), builder.gep(c_i, [length]), mask)
        return context.get_dummy_value()

    def tile(
        typing: Any, a: Any, a_at: Any, a_row: Any, a_step: Any, b: Any, b_at: Any, b_step: Any,
        c: Any, c_at: Any, c_row: Any, k: Any, columns: Any, start: Any, start_at: Any,
    ) -> Any:  # fmt: skip
        del typing, a_at, a_row, a_step, b_at, b_step, c_at, c_row, k, columns, start_at
        i = types.intp
        return types.void(a, i, i, i, b, i, i, c, i, i, i, i, start, i), generate

    return intrinsic(tile)


@intrinsic  # type: ignore[untyped-decorator]
def _transpose_block(
    typing: Any, w: Any, w_at: Any, w_row: Any, rows: Any, columns: Any, out: Any, out_at: Any, out_row: Any
) -> Any:
    """Transpose a square as wide as a vector; beyond ``rows`` and ``columns`` there is anything in ``out``."""
    del typing, w_at, w_row, rows, columns, out_at, out_row

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w_at, w_row, rows, columns, out, out_at, out_row = arguments
        vector = _Vectors(builder, signature.args[0].dtype)
        w, out = (_pointer(context, builder, signature.args[0], x, at) for x, at in ((w, w_at), (out, out_at)))
        mask, whole = vector.first(columns), vector.first(ir.Constant(ir.IntType(64), vector.length))
        last = builder.sub(rows, ir.Constant(ir.IntType(64), 1))
        lines = []
        for i in range(vector.length):
            number = ir.Constant(ir.IntType(64), i)
            inside = builder.select(builder.icmp_signed("<", number, last), number, last)
            lines.append(vector.load(builder.gep(w, [builder.mul(inside, w_row)]), mask))
        size = vector.length // 2
        while size:
            for i in (i for i in range(vector.length) if not i & size):
                lines[i], lines[i + size] = vector.swap(lines[i], lines[i + size], size)
            size //= 2
        for i, line in enumerate(lines):
            number = ir.Constant(ir.IntType(64), i)
            vector.store(line, builder.gep(out, [builder.mul(number, out_row)]), whole)
        return context.get_dummy_value()

    i = types.intp
    return types.void(w, i, i, i, i, out, i, i), generate


@intrinsic  # type: ignore[untyped-decorator]
def _swap_control_word(typing: Any, word: Any) -> Any:
    """Set how the machine treats special numbers, and give what was set before; 0 is for "read, and change nothing"."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        kind = ir.IntType(32)
        before = cgutils.alloca_once_value(builder, ir.Constant(kind, 0))
        if _IS_X86:
            wanted = cgutils.alloca_once_value(builder, arguments[0])
            byte = ir.IntType(8).as_pointer()
            instruction = ir.FunctionType(ir.VoidType(), [byte])
            read, write = (
                cgutils.get_or_insert_function(builder.module, instruction, f"llvm.x86.sse.{name}")
                for name in ("stmxcsr", "ldmxcsr")
            )
            builder.call(read, [builder.bitcast(before, byte)])
            with builder.if_then(builder.icmp_unsigned("!=", arguments[0], ir.Constant(kind, 0))):
                builder.call(write, [builder.bitcast(wanted, byte)])
        return builder.load(before)

    return types.uint32(types.uint32), generate


@inlined
def _flush_denormals() -> int:
    """Let numbers below the normal ones be 0: moments that fade away would else be a hundred times slower."""
    before = _swap_control_word(np.uint32(0))
    _swap_control_word(np.uint32(before | 0x8040))
    return before


_whole_tile = _tile(TILE_ROWS, TILE_VECTORS, whole=True)
_tile_8, _tile_4, _tile_2, _tile_1 = (_tile(rows, TILE_VECTORS) for rows in (TILE_ROWS, 4, 2, 1))


@inlined
def _panel(
    a: Array, a_at: int, a_row: int, a_step: int, b: Array, b_at: int, b_step: int,
    c: Array, c_at: int, m: int, n: int, k: int, columns: int, start: Array, start_at: int,
) -> None:  # fmt: skip
    """The first ``columns`` columns, a panel or less, of ``c = a b + start``; see `_product`."""
    i = 0
    while columns * a.itemsize == PANEL_BYTES and i + TILE_ROWS <= m:
        _whole_tile(
            a, a_at + i * a_row, a_row, a_step, b, b_at, b_step, c, c_at + i * n, n, k, columns, start, start_at
        )
        i += TILE_ROWS
    while i + TILE_ROWS <= m:
        _tile_8(a, a_at + i * a_row, a_row, a_step, b, b_at, b_step, c, c_at + i * n, n, k, columns, start, start_at)
        i += TILE_ROWS
    if i + 4 <= m:
        _tile_4(a, a_at + i * a_row, a_row, a_step, b, b_at, b_step, c, c_at + i * n, n, k, columns, start, start_at)
        i += 4
    if i + 2 <= m:
        _tile_2(a, a_at + i * a_row, a_row, a_step, b, b_at, b_step, c, c_at + i * n, n, k, columns, start, start_at)
        i += 2
    if i < m:
        _tile_1(a, a_at + i * a_row, a_row, a_step, b, b_at, b_step, c, c_at + i * n, n, k, columns, start, start_at)


@inlined
def _product(
    a: Array, a_at: int, a_row: int, a_step: int, b: Array, b_at: int, c: Array, c_at: int, m: int, n: int, k: int
) -> None:
    """``c = a b`` for an ``(m, k)`` matrix, whose rows are ``a_row`` apart and columns ``a_step``, and a ``(k, n)`` one."""
    width = PANEL_BYTES // a.itemsize
    for j in range(0, n, width):
        columns = min(width, n - j)
        _panel(a, a_at, a_row, a_step, b, b_at + j, n, c, c_at + j, m, n, k, columns, a, -1)


@inlined
def _transpose(W: Array, W_at: int, n: int, n_prev: int, out: Array) -> None:
    """The transpose of the first ``n`` rows of ``W``, no more than a panel is wide, as a panel."""
    length, width = VECTOR_BYTES // W.itemsize, PANEL_BYTES // W.itemsize
    for i in range(0, n, length):
        for j in range(0, n_prev, length):
            _transpose_block(W, W_at + i * n_prev + j, n_prev, n - i, n_prev - j, out, i + j * width, width)


@inlined
def _exp_less_1(x: float) -> tuple[float, float]:
    """``exp(x) = scale + rest``, and ``rest + (scale - 1)`` is ``exp(x) - 1``, exact near 0 too; in float64, without a branch.

    ``x = n log 2 + r``, with ``n`` rounded to the last places of a number so large that it has no others.
    """
    x = -708.0 if x < -708.0 else x
    x = 708.0 if x > 708.0 else x
    shifted = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    n = shifted - 6755399441055744.0
    r = x - n * 0.693147180369123816490 - n * 1.90821492927058770002e-10
    series = 1.0 / 6227020800.0
    series = series * r + 1.0 / 479001600.0
    series = series * r + 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r + 1.0
    scale = np.int64((shifted.view(np.int64) << 52) + 0x3FF0000000000000).view(np.float64)
    return scale, scale * (series * r)


@inlined
def _sigmoid(z: Array, a: Array) -> None:
    for i in range(z.size):
        scale, rest = _exp_less_1(-np.float64(z[i]))
        a[i] = 1.0 / (1.0 + (scale + rest))


@inlined
def _tanh(z: Array, a: Array) -> None:
    for i in range(z.size):
        scale, rest = _exp_less_1(-2.0 * abs(np.float64(z[i])))
        less_1 = rest + (scale - 1.0)
        a[i] = math.copysign(less_1 / (2.0 + less_1), z[i])


@inlined
def _softmax(z: Array, a: Array, n: int) -> None:
    """As `engine.activations`: the rows of ``z`` are left as the logarithms of those of ``a``."""
    rows = z.size // n
    for row in range(rows):
        largest = z[row * n]
        for j in range(1, n):
            # A NaN is neither larger nor smaller: it stays where it is, and makes the sum one.
            largest = z[row * n + j] if z[row * n + j] > largest else largest
        for j in range(n):
            z[row * n + j] -= largest
    for i in range(z.size):
        scale, rest = _exp_less_1(np.float64(z[i]))
        a[i] = scale + rest
    for row in range(rows):
        total = 0.0
        for j in range(n):
            total += a[row * n + j]
        log_total = math.log(total)
        for j in range(n):
            z[row * n + j] -= log_total
            a[row * n + j] /= total


@inlined
def _activate(act: int, z: Array, a: Array, n: int) -> None:
    """``a = act(z)``; ``a`` may be ``z`` but for softmax."""
    if act == RELU:
        for i in range(z.size):
            a[i] = 0.0 if z[i] < 0.0 else z[i]
    elif act == SIGMOID:
        _sigmoid(z, a)
    elif act == TANH:
        _tanh(z, a)
    elif act == SOFTMAX:
        _softmax(z, a, n)
    else:
        for i in range(z.size):
            a[i] = z[i]


@inlined
def _times_slope(act: int, a: Array, delta: Array, n: int) -> None:
    """``delta (.) a'``, or the product with the Jacobian of softmax."""
    if act == RELU:
        for i in range(a.size):
            delta[i] *= 1.0 if a[i] > 0.0 else 0.0
    elif act == SIGMOID:
        for i in range(a.size):
            delta[i] *= (a.dtype.type(1.0) - a[i]) * a[i]
    elif act == TANH:
        for i in range(a.size):
            delta[i] *= a.dtype.type(1.0) - a[i] * a[i]
    elif act == SOFTMAX:
        for start in range(0, a.size, n):
            total = 0.0
            for i in range(start, start + n):
                total += a[i] * delta[i]
            for i in range(start, start + n):
                delta[i] = a[i] * (delta[i] - total)


@inlined
def _feed_forward(layer: Array, theta: Array, a_prev: Array, a_prev_at: int, z: Array, a: Array, panel: Array) -> None:
    """``a^l = act(W^l a^(l-1) + b^l)``, for as many rows as ``z`` has; ``W`` is transposed panel by panel."""
    n_prev, n, W_at, b_at = layer[N_PREV], layer[N], layer[W_AT], layer[B_AT]
    rows, width = z.size // n, PANEL_BYTES // z.itemsize
    for j in range(0, n, width):
        columns = min(width, n - j)
        _transpose(theta, W_at + j * n_prev, columns, n_prev, panel)
        start_at = b_at + j if b_at >= 0 else -1
        _panel(a_prev, a_prev_at, n_prev, 1, panel, 0, width, z, j, rows, n, n_prev, columns, theta, start_at)
    _activate(layer[ACT], z, a, n)


@inlined
def _output_error(act: int, collapses: bool, scale: float, a: Array, y: Array, delta: Array, n: int) -> None:
    """(3): ``delta^L = grad_a C (.) a'(L)``, or ``a - y`` where the pair collapses; ``scale`` as in `engine.equations`."""
    for i in range(a.size):
        delta[i] = a[i] - y[i]
    if not collapses:
        _times_slope(act, a, delta, n)
    factor = a.dtype.type(scale)
    for i in range(a.size):
        delta[i] *= factor


@inlined
def _hidden_error(
    after: Array, act: int, theta: Array, deltas: Array, delta_next_at: int, delta_at: int, a: Array
) -> None:
    """(4): ``delta^l = a'(l) (.) ((W^(l+1))^T delta^(l+1))``; ``after`` is layer *l + 1*."""
    n, n_next = after[N_PREV], after[N]
    _product(deltas, delta_next_at, n_next, 1, theta, after[W_AT], deltas, delta_at, a.size // n, n, n_next)
    _times_slope(act, a, deltas[delta_at : delta_at + a.size], n)


@inlined
def _weight_gradient(layer: Array, deltas: Array, delta_at: int, a_prev: Array, at: int, rows: int, out: Array) -> None:
    """(5): ``dC/dW^l = delta^l (a^(l-1))^T``, summed over the rows."""
    n_prev, n = layer[N_PREV], layer[N]
    _product(deltas, delta_at, 1, n, a_prev, at, out, layer[W_AT], n, n_prev, rows)


@inlined
def _bias_gradient(delta: Array, out: Array) -> None:
    """(6): ``dC/db^l = delta^l``, summed over the rows."""
    out[:] = 0.0
    for start in range(0, delta.size, out.size):
        row = delta[start : start + out.size]
        for j in range(out.size):
            out[j] += row[j]


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
def _adam(
    theta: Array, gradient: Array, m: Array, v: Array, step: int, beta: float, beta_1: float, beta_2: float, eps: float
) -> None:
    """With the moments as `engine.optimizers` keeps them: without their factors ``1 - beta``."""
    root = math.sqrt((1.0 - beta_2**step) / (1.0 - beta_2))
    kind = theta.dtype.type
    kept_1, kept_2, least = kind(beta_1), kind(beta_2), kind(eps * root)
    rate = kind(beta * root * (1.0 - beta_1) / (1.0 - beta_1**step))
    for i in range(theta.size):
        m[i] = kept_1 * m[i] + gradient[i]
        v[i] = kept_2 * v[i] + gradient[i] * gradient[i]
        theta[i] -= rate * (m[i] / (np.sqrt(v[i]) + least))


@inlined
def _update(
    optimizer: int, numbers: Array, step: int, beta: float, theta: Array, gradient: Array, slots: Array
) -> None:
    """Step number ``step`` (1 for the first) of an optimizer, with its parameters as ``numbers`` and the learning rate ``beta``."""
    if optimizer == ADAM:
        _adam(theta, gradient, slots[0], slots[1], step, beta, numbers[0], numbers[1], numbers[2])
    elif optimizer == MOMENTUM:
        undamped = 1.0 if step == 1 else 1.0 - numbers[1]
        _momentum(theta, gradient, slots[0], beta, numbers[0], undamped)
    else:
        _descend(theta, gradient, beta)


@compiled
def update(optimizer: int, numbers: Array, step: int, beta: float, theta: Array, gradient: Array, slots: Array) -> None:
    """An update alone, for steps whose products are not made here."""
    before = _flush_denormals()
    _update(optimizer, numbers, step, beta, theta, gradient, slots)
    _swap_control_word(before)


@inlined
def _forward(
    layers: Array, theta: Array, x: Array, x_at: int, rows: int, z: Array, a: Array, activations: Array, panel: Array
) -> None:
    """Feed a batch forward, from the first layer to the last."""
    last = len(layers) - 1
    a_prev, at = x, x_at
    for i in range(last + 1):
        layer = layers[i]
        if i < last:
            start = layer[A_AT] * rows
            z_i = a_i = activations[start : start + rows * layer[N]]
        else:
            start, z_i, a_i = 0, z, a
        _feed_forward(layer, theta, a_prev, at, z_i, a_i, panel)
        a_prev, at = activations, start


@inlined
def _backward(
    layers: Array, theta: Array, x: Array, x_at: int, rows: int, activations: Array, deltas: Array, gradient: Array
) -> None:
    """All other errors from the error of the output, then the gradients."""
    last = len(layers) - 1
    for i in range(last - 1, -1, -1):
        layer, after = layers[i], layers[i + 1]
        a = activations[layer[A_AT] * rows : (layer[A_AT] + layer[N]) * rows]
        _hidden_error(after, layer[ACT], theta, deltas, after[DELTA_AT] * rows, layer[DELTA_AT] * rows, a)
    for i in range(last + 1):
        layer = layers[i]
        delta_at = layer[DELTA_AT] * rows
        if i == 0:
            _weight_gradient(layer, deltas, delta_at, x, x_at, rows, gradient)
        else:
            _weight_gradient(layer, deltas, delta_at, activations, layers[i - 1][A_AT] * rows, rows, gradient)
        if layer[B_AT] >= 0:
            delta = deltas[delta_at : delta_at + layer[N] * rows]
            _bias_gradient(delta, gradient[layer[B_AT] : layer[B_AT] + layer[N]])


@compiled
def take_steps(
    layers: Array, share: float, collapses: bool, optimizer: int, numbers: Array, step: int, rates: Array,
    batch_rows: int, n_rows: int, x: Array, y: Array, z: Array, a: Array,
    theta: Array, gradient: Array, slots: Array, activations: Array, deltas: Array, panel: Array,
) -> None:  # fmt: skip
    """A step for each batch of a block of ``n_rows`` rows, of which ``step`` were made before, with their learning ``rates``."""
    before = _flush_denormals()
    last = layers[len(layers) - 1]
    n, n_inputs = last[N], layers[0][N_PREV]
    for number, start in enumerate(range(0, n_rows, batch_rows)):
        rows = min(batch_rows, n_rows - start)
        of_batch = slice(start * n, (start + rows) * n)
        x_at, z_b, a_b, y_b = start * n_inputs, z[of_batch], a[of_batch], y[of_batch]
        _forward(layers, theta, x, x_at, rows, z_b, a_b, activations, panel)
        delta = deltas[last[DELTA_AT] * rows : (last[DELTA_AT] + n) * rows]
        _output_error(last[ACT], collapses, share / rows, a_b, y_b, delta, n)
        _backward(layers, theta, x, x_at, rows, activations, deltas, gradient)
        _update(optimizer, numbers, step + number + 1, rates[number], theta, gradient, slots)
    _swap_control_word(before)
