"""The exponential, and what is made of it, of whole vectors: sigmoid, tanh and softmax, in the precision of their numbers."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from engine.vectors import Mask, Vectors, pointer_to


class _Precision(NamedTuple):
    """How ``exp`` is made of numbers of one size.

    ``log 2`` is the sum of ``log_2`` (Cody and Waite's two parts), of which the first times a whole number is exact, as far as
    ``farthest``. ``magic``, added to a number, leaves no places behind the point, and the number of the whole ones in its
    last bits.
    """

    farthest: float
    log_2: tuple[float, float]
    magic: float
    terms: int
    mantissa_bits: int
    one: int


_SHORT = _Precision(87.0, (0.693359375, -2.12194440054690583e-4), 12582912.0, 7, 23, 0x3F800000)
_LONG = _Precision(
    708.0, (0.693147180369123816490, 1.90821492927058770002e-10), 6755399441055744.0, 13, 52, 0x3FF0000000000000
)


def _exp_less_1(vector: Vectors, x: Any) -> tuple[Any, Any]:
    """``exp(x) = scale + rest``, and ``rest + (scale - 1)`` is ``exp(x) - 1``, exact near 0 too.

    ``x = n log 2 + r``, and the series of ``exp(r) - 1`` ends where its next term no longer shows. A NaN stays one; beyond what
    normal numbers can hold ``x`` is taken to be the last that they can.
    """
    builder, constant = vector.builder, vector.constant
    precision = _SHORT if vector.is_short else _LONG
    x = vector.within(-precision.farthest, precision.farthest, x)
    magic = constant(precision.magic)
    shifted = vector.add_product(x, constant(1.0 / math.log(2.0)), magic)
    n = builder.fneg(builder.fsub(shifted, magic))
    r = x
    for part in precision.log_2:
        r = vector.add_product(n, constant(part), r)
    series = constant(1.0 / math.factorial(precision.terms))
    for term in range(precision.terms - 1, 0, -1):
        series = vector.add_product(series, r, constant(1.0 / math.factorial(term)))
    # The bits of 2^n.
    bits = builder.shl(vector.bits(shifted), vector.whole(precision.mantissa_bits))
    scale = vector.from_bits(builder.add(bits, vector.whole(precision.one)))
    return scale, builder.fmul(scale, builder.fmul(series, r))


def _exp(vector: Vectors, z: Any) -> Any:
    return vector.builder.fadd(*_exp_less_1(vector, z))


def _sigmoid(vector: Vectors, z: Any) -> Any:
    """``1 / (1 + exp(-z))``."""
    builder, one = vector.builder, vector.constant(1.0)
    return vector.quotient(one, builder.fadd(one, _exp(vector, builder.fneg(z))))


def _tanh(vector: Vectors, z: Any) -> Any:
    """``(1 - e) / (1 + e)`` with ``e = exp(-2 |z|)``, and the sign of ``z``."""
    builder = vector.builder
    scale, rest = _exp_less_1(vector, builder.fmul(vector.constant(-2.0), vector.magnitude(z)))
    less_1 = builder.fadd(rest, builder.fsub(scale, vector.constant(1.0)))
    return vector.signed(vector.quotient(less_1, builder.fadd(vector.constant(2.0), less_1)), z)


def _applied(curve: Callable[[Vectors, Any], Any]) -> Callable[..., Any]:
    """Code for a whole flat array ``z``: ``curve`` of it goes to ``a``, which is as long, and may be ``z``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        vector, first = Vectors(builder, kind.dtype), ir.Constant(ir.IntType(64), 0)
        source, target = (
            pointer_to(context, builder, of, array, first) for of, array in zip(signature.args, arguments, strict=True)
        )

        def act(place: Any, mask: Mask | None) -> None:
            vector.store(
                curve(vector, vector.load(builder.gep(source, [place]), mask)), builder.gep(target, [place]), mask
            )

        vector.over(context.make_array(kind)(context, builder, arguments[0]).nitems, act)
        return context.get_dummy_value()

    return generate


@intrinsic  # type: ignore[untyped-decorator]
def exp_of(typing: Any, z: Any, a: Any) -> Any:
    """``a = exp(z)``."""
    del typing
    return types.void(z, a), _applied(_exp)


@intrinsic  # type: ignore[untyped-decorator]
def sigmoid_of(typing: Any, z: Any, a: Any) -> Any:
    """``a = 1 / (1 + exp(-z))``."""
    del typing
    return types.void(z, a), _applied(_sigmoid)


@intrinsic  # type: ignore[untyped-decorator]
def tanh_of(typing: Any, z: Any, a: Any) -> Any:
    """``a = tanh(z)``."""
    del typing
    return types.void(z, a), _applied(_tanh)
