"""The activation functions, each with its slope.

An activation is one entry of `ACTIVATIONS`. Where the slope follows from the value ``a``, nothing else is kept; where
it does not, `Activation.apply` leaves the slope in ``z``, which then has a buffer of its own. Overflow of ``exp`` in
`sigmoid` is meant (``1 / inf`` is the right answer), so callers run under ``np.errstate(all="ignore")``, as
`engine.training.train` and `engine.predict.predict` do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi, sqrt
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.normal import normal_distribution


@dataclass(frozen=True, slots=True)
class Activation:
    """One activation function.

    Attributes:
        name: what a specification calls it.
        doc: its formula, for people.
        apply: ``apply(z, out, scratch)`` writes ``act(z)`` to ``out``; all three are ``(batch, n)``. ``out`` may be
            ``z`` if the activation is element-wise and leaves no slope; ``scratch`` never is one of the others.
        times_slope: ``times_slope(z, a, delta, scratch)`` multiplies ``delta`` in place by the derivative, given ``a =
            act(z)`` and what `apply` left in ``z``: element by element, or with the Jacobian where the activation is
            not element-wise.
        elementwise: whether each output depends on its own ``z`` alone. Only such an activation may be hidden.
        initializer: the initializer that ``"auto"`` means for a layer with this activation.
        leaves_slope: whether `apply` overwrites ``z`` with ``act'(z)``; the others leave ``z`` as it is, or (softmax)
            as their loss wants it.
    """

    name: str
    doc: str
    apply: Callable[[Array, Array, Array], None]
    times_slope: Callable[[Array, Array, Array, Array], None]
    elementwise: bool
    initializer: str
    leaves_slope: bool = False


def _linear(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    del scratch
    if out is not z:
        out[:] = z


def _times_linear_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    del z, a, delta, scratch


def _sigmoid(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    del scratch
    np.negative(z, out)
    np.exp(out, out)
    np.add(out, 1.0, out)
    np.reciprocal(out, out)


def _times_sigmoid_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    del z
    np.subtract(1.0, a, scratch)
    np.multiply(scratch, a, scratch)
    np.multiply(delta, scratch, delta)


def _tanh(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    del scratch
    np.tanh(z, out)


def _times_tanh_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    del z
    np.multiply(a, a, scratch)
    np.subtract(1.0, scratch, scratch)
    np.multiply(delta, scratch, delta)


def _relu(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    del scratch
    np.maximum(z, 0.0, out=out)


def _times_relu_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    del z
    np.greater(a, 0.0, scratch)
    np.multiply(delta, scratch, delta)


def _leaky_relu(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    np.multiply(z, 0.01, scratch)
    np.maximum(z, scratch, out=out)


def _times_leaky_relu_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    del z
    np.greater(a, 0.0, scratch)
    np.multiply(scratch, 0.99, scratch)
    np.add(scratch, 0.01, scratch)
    np.multiply(delta, scratch, delta)


def _elu(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    np.minimum(z, 0.0, out=scratch)
    np.expm1(scratch, scratch)
    np.maximum(z, 0.0, out=out)
    np.add(out, scratch, out)


def _times_elu_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    """Below 0 the slope is ``exp(z) = a + 1``."""
    del z
    np.minimum(a, 0.0, out=scratch)
    np.add(scratch, 1.0, scratch)
    np.multiply(delta, scratch, delta)


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _selu(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    below = SELU_SCALE * SELU_ALPHA
    np.minimum(z, 0.0, out=scratch)
    np.expm1(scratch, scratch)
    np.multiply(scratch, below, scratch)
    np.maximum(z, 0.0, out=out)
    np.multiply(out, SELU_SCALE, out)
    np.add(out, scratch, out)
    np.greater(z, 0.0, z)
    np.multiply(z, SELU_SCALE - below, z)
    np.add(z, scratch, z)
    np.add(z, below, z)


def _gelu(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    """``a = z Phi(z)`` and ``a' = Phi(z) + z phi(z)``, the normal distribution and its density."""
    normal_distribution(z, out=out, density=scratch)
    np.multiply(scratch, z, scratch)
    np.multiply(z, out, z)
    np.add(scratch, out, scratch)
    out[:] = z
    z[:] = scratch


def _gelu_tanh(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    """``a = z h`` with ``h = (1 + tanh(u)) / 2`` and ``u = k (z + 0.044715 z^3)``; ``a' = h + 2 z h (1 - h) u'``."""
    k = sqrt(2.0 / pi)
    np.multiply(z, z, scratch)
    np.multiply(scratch, 0.044715 * k, out)
    np.add(out, k, out)
    np.multiply(out, z, out)
    np.tanh(out, out)
    np.multiply(out, 0.5, out)
    np.add(out, 0.5, out)
    np.multiply(scratch, 2.0 * 3.0 * 0.044715 * k, scratch)
    np.add(scratch, 2.0 * k, scratch)
    np.multiply(scratch, z, scratch)
    np.multiply(scratch, out, scratch)
    np.multiply(z, out, z)
    np.subtract(1.0, out, out)
    np.multiply(scratch, out, scratch)
    np.subtract(1.0, out, out)
    np.add(scratch, out, scratch)
    out[:] = z
    z[:] = scratch


def _silu(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    """``a = z s`` with ``s`` the sigmoid, and ``a' = s + a (1 - s)``."""
    _sigmoid(z, scratch, out)
    np.multiply(z, scratch, out)
    np.subtract(1.0, scratch, z)
    np.multiply(z, out, z)
    np.add(z, scratch, z)


def _softplus(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    """``max(z, 0) + log(1 + exp(-|z|))``: no term overflows."""
    np.maximum(z, 0.0, out=scratch)
    np.abs(z, out)
    np.negative(out, out)
    np.exp(out, out)
    np.log1p(out, out)
    np.add(out, scratch, out)


def _times_softplus_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    """The slope is the sigmoid of ``z``, which is ``1 - exp(-a)``."""
    del z
    np.negative(a, scratch)
    np.expm1(scratch, scratch)
    np.negative(scratch, scratch)
    np.multiply(delta, scratch, delta)


def _softsign(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    np.abs(z, scratch)
    np.add(scratch, 1.0, scratch)
    np.divide(z, scratch, out)


def _times_softsign_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    """``1 / (1 + |z|)^2 = (1 - |a|)^2``."""
    del z
    np.abs(a, scratch)
    np.subtract(1.0, scratch, scratch)
    np.multiply(scratch, scratch, scratch)
    np.multiply(delta, scratch, delta)


def _hard_sigmoid(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    del scratch
    np.add(z, 3.0, out)
    np.clip(out, 0.0, 6.0, out)
    np.divide(out, 6.0, out)


def _times_hard_sigmoid_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    """A sixth where ``0 < a < 1``, which is where ``a (1 - a) > 0``."""
    del z
    np.subtract(1.0, a, scratch)
    np.multiply(scratch, a, scratch)
    np.greater(scratch, 0.0, scratch)
    np.divide(scratch, 6.0, scratch)
    np.multiply(delta, scratch, delta)


def _times_kept_slope(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    del a, scratch
    np.multiply(delta, z, delta)


def _softmax(z: Float[Array, "batch n"], out: Float[Array, "batch n"], scratch: Float[Array, "batch n"]) -> None:
    """Write the softmax of each row to ``out`` and leave ``z`` as its logarithm, which cross-entropy then sums.

    The largest of a row is subtracted first, so nothing overflows. Rows are short: the work is done on the transpose,
    a class a row, which is several times faster.
    """
    z_t, a_t = scratch.reshape(z.shape[::-1]), out.reshape(z.shape[::-1])
    z_t[:] = z.T
    row = z.reshape(-1)[: len(z)]
    np.maximum.reduce(z_t, axis=0, out=row)
    np.subtract(z_t, row, z_t)
    np.exp(z_t, a_t)
    np.add.reduce(a_t, axis=0, out=row)
    np.divide(a_t, row, a_t)
    np.log(row, row)
    np.subtract(z_t, row, z_t)
    z[:] = z_t.T
    z_t[:] = a_t
    out[:] = z_t.T


def _times_softmax_jacobian(
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    delta: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    """``delta_i <- a_i (delta_i - sum_j a_j delta_j)``: the product with ``d a_j / d z_i = a_j ([i = j] - a_i)``."""
    del z
    row = scratch.reshape(-1)[: len(a)]
    np.vecdot(a, delta, row)
    np.subtract(delta, row[:, None], delta)
    np.multiply(delta, a, delta)


_GLOROT, _HE = "glorot_uniform", "he_uniform"
_SELU = "1.0507 (z if z > 0 else 1.67326 (exp(z) - 1))"
_GELU_TANH = "z / 2 (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3)))"

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        act.name: act
        for act in (
            Activation("linear", "z", _linear, _times_linear_slope, True, _GLOROT),
            Activation("sigmoid", "1 / (1 + exp(-z))", _sigmoid, _times_sigmoid_slope, True, _GLOROT),
            Activation("tanh", "tanh(z)", _tanh, _times_tanh_slope, True, _GLOROT),
            Activation("relu", "max(z, 0)", _relu, _times_relu_slope, True, _HE),
            Activation("leaky_relu", "max(z, 0.01 z)", _leaky_relu, _times_leaky_relu_slope, True, _HE),
            Activation("elu", "z if z > 0 else exp(z) - 1", _elu, _times_elu_slope, True, _HE),
            Activation("selu", _SELU, _selu, _times_kept_slope, True, "lecun_normal", leaves_slope=True),
            Activation("gelu", "z Phi(z), exactly", _gelu, _times_kept_slope, True, _HE, leaves_slope=True),
            Activation("gelu_tanh", _GELU_TANH, _gelu_tanh, _times_kept_slope, True, _HE, leaves_slope=True),
            Activation("silu", "z / (1 + exp(-z))", _silu, _times_kept_slope, True, _HE, leaves_slope=True),
            Activation("softplus", "log(1 + exp(z))", _softplus, _times_softplus_slope, True, _GLOROT),
            Activation("softsign", "z / (1 + |z|)", _softsign, _times_softsign_slope, True, _GLOROT),
            Activation(
                "hard_sigmoid", "min(max(z + 3, 0), 6) / 6", _hard_sigmoid, _times_hard_sigmoid_slope, True, _GLOROT
            ),
            Activation("softmax", "exp(z) / sum(exp(z))", _softmax, _times_softmax_jacobian, False, _GLOROT),
        )
    }
)
