"""Element-wise parts of machine code: the activations and their slopes. LLVM makes vectors of these loops by itself."""

import math

import numpy as np

from engine.arrays import Array
from engine.vectors import inlined

LINEAR, SIGMOID, TANH, RELU, SOFTMAX = range(5)
ACTIVATIONS = {"linear": LINEAR, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU, "softmax": SOFTMAX}


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
def activate(act: int, z: Array, a: Array, n: int) -> None:
    """``a = act(z)``; ``a`` may be ``z`` but for softmax. A product's floor has seen to relu already."""
    if act == SIGMOID:
        _sigmoid(z, a)
    elif act == TANH:
        _tanh(z, a)
    elif act == SOFTMAX:
        _softmax(z, a, n)


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
