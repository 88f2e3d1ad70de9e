"""Element-wise parts of machine code: the activations and their slopes. LLVM makes vectors of the loops by itself."""

import numpy as np

from engine.arrays import Array
from engine.curves import exp_of, sigmoid_of, tanh_of
from engine.jit import inlined
from engine.vectors import itemsize_of

LINEAR, SIGMOID, TANH, RELU, SOFTMAX = range(5)
ACTIVATIONS = {"linear": LINEAR, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU, "softmax": SOFTMAX}


@inlined
def _exp(x: float, short: bool) -> float:
    """The exponential of one number; in float64, without a branch. `engine.curves` has it for whole vectors.

    ``x = n log 2 + r``, with ``n`` rounded to the last places of a number so large that it has no others. With ``short`` it
    is off by 2e-10, less than single precision shows.
    """
    x = -708.0 if x < -708.0 else x
    x = 708.0 if x > 708.0 else x
    shifted = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    n = shifted - 6755399441055744.0
    r = x - n * 0.693147180369123816490 - n * 1.90821492927058770002e-10
    series = 1.0 / 40320.0
    if not short:
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
    return scale + scale * (series * r)


@inlined
def _log(x: float, short: bool) -> float:
    """The logarithm of a normal number above 0, or of NaN; in float64, without a branch.

    ``x = 2^n m`` with ``m`` around 1, and ``log m = 2 artanh((m - 1) / (m + 1))``; ``short`` is off by 2e-10, too.
    """
    bits = np.float64(x).view(np.int64)
    n = (bits - 0x3FE6A09E667F3BCD) >> 52  # how often 2 goes into it, beyond the root of 1 / 2
    m = np.int64(bits - (n << 52)).view(np.float64)
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    series = 1.0 / 11.0
    if not short:
        series = 1.0 / 21.0
        series = series * s + 1.0 / 19.0
        series = series * s + 1.0 / 17.0
        series = series * s + 1.0 / 15.0
        series = series * s + 1.0 / 13.0
        series = series * s + 1.0 / 11.0
    series = series * s + 1.0 / 9.0
    series = series * s + 1.0 / 7.0
    series = series * s + 1.0 / 5.0
    series = series * s + 1.0 / 3.0
    log_m = 2.0 * f + 2.0 * f * s * series
    # NaN has bits like a number's.
    return (log_m + np.float64(n) * 0.6931471805599453) + 0.0 * x


@inlined
def _softmax(z: Array, a: Array, n: int, scratch: Array) -> None:
    """As `engine.activations`: the rows of ``z`` are left as the logarithms of those of ``a``."""
    rows = z.size // n
    totals = scratch.view(np.float64)
    for row in range(rows):
        largest = z[row * n]
        for j in range(1, n):
            # A NaN is neither larger nor smaller: it stays where it is, and makes the sum one.
            largest = z[row * n + j] if z[row * n + j] > largest else largest
        for j in range(n):
            z[row * n + j] -= largest
    exp_of(z, a)
    for row in range(rows):
        total = 0.0
        for j in range(n):
            total += a[row * n + j]
        totals[row] = total
    for row in range(rows):
        totals[rows + row] = _log(totals[row], itemsize_of(a) == 4)
        totals[row] = 1.0 / totals[row]
    for row in range(rows):
        for j in range(n):
            z[row * n + j] -= totals[rows + row]
            a[row * n + j] *= totals[row]


@inlined
def _softmax_of_two(z: Array, a: Array) -> None:
    """`_softmax` of rows of two: what is left of the larger is 0, so that only the smaller has an exponential."""
    for row in range(z.size // 2):
        first, second = np.float64(z[2 * row]), np.float64(z[2 * row + 1])
        # A NaN, or an infinity that is the larger, is a NaN in the sum of both, and so in both answers.
        largest = second if second > first else first
        first, second = first - largest, second - largest
        smaller = _exp(first + second, itemsize_of(a) == 4)
        share, log_total = 1.0 / (1.0 + smaller), _log(1.0 + smaller, itemsize_of(a) == 4)
        z[2 * row], z[2 * row + 1] = first - log_total, second - log_total
        a[2 * row] = share if first == 0.0 else smaller * share
        a[2 * row + 1] = share if second == 0.0 else smaller * share


@inlined
def activate(act: int, z: Array, a: Array, n: int, scratch: Array) -> None:
    """``a = act(z)``; ``a`` may be ``z`` but for softmax, whose ``scratch`` holds at least four numbers a row.

    A product's floor has seen to relu already.
    """
    if act == SIGMOID:
        sigmoid_of(z, a)
    elif act == TANH:
        tanh_of(z, a)
    elif act == SOFTMAX and n == 2:
        _softmax_of_two(z, a)
    elif act == SOFTMAX:
        _softmax(z, a, n, scratch)


@inlined
def times_slope(act: int, a: Array, delta: Array, n: int) -> None:
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
