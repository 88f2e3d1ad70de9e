"""PCG64, the generator of NumPy, in machine code: the same numbers, four steps at a time.

A state is two halves of 64 bits, ``(high, low)``. A step is ``s <- m s + c`` of 128 bits, so that several steps are one of
other ``m`` and ``c``; then the halves are combined to a number (O'Neill 2014, XSL-RR).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from engine.arrays import Array
from engine.jit import inlined

MULTIPLIER = np.uint64(0x2360ED051FC65DA4), np.uint64(0x4385DF649FCCF645)
Halves = tuple[np.uint64, np.uint64]


@intrinsic  # type: ignore[untyped-decorator]
def _times(typing: Any, x: Any, y: Any) -> Any:
    """The halves of ``x y``."""
    del typing, x, y

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half, whole = ir.IntType(64), ir.IntType(128)
        x, y = (builder.zext(argument, whole) for argument in arguments)
        product = builder.mul(x, y)
        high = builder.lshr(product, ir.Constant(whole, 64))
        halves = [builder.trunc(part, half) for part in (high, product)]
        return context.make_tuple(builder, signature.return_type, halves)

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), generate


@inlined
def _product(x: Halves, y: Halves) -> Halves:
    high, low = _times(x[1], y[1])
    return high + x[0] * y[1] + x[1] * y[0], low


@inlined
def _step(state: Halves, m: Halves, c: Halves) -> Halves:
    """``m state + c``."""
    high, low = _product(state, m)
    total = low + c[1]
    return high + c[0] + np.uint64(total < low), total


@inlined
def _number(state: Halves) -> np.uint64:
    """The number of a state: its halves, one over the other, turned by the first six bits."""
    mixed, turn = state[0] ^ state[1], state[0] >> np.uint64(58)
    return mixed >> turn | mixed << (-turn & np.uint64(63))


@inlined
def number_rows(state: Array, bits: np.uint64, begin: int, numbers: Array) -> None:
    """Fill with random numbers, of which the last ``bits`` are lost to their own places, counted from ``begin`` on.

    ``state`` is that of the generator and its ``c``, and is that of afterwards.
    """
    now, c_1 = (state[0], state[1]), (state[2], state[3])
    m_1 = MULTIPLIER
    m_2, c_2 = _product(m_1, m_1), _step(c_1, m_1, c_1)
    m_3, c_3 = _product(m_2, m_1), _step(c_2, m_1, c_1)
    m_4, c_4 = _product(m_2, m_2), _step(c_2, m_2, c_2)
    n = len(numbers)
    in_fours = n - n % 4
    for i in range(0, in_fours, 4):
        first, second, third = _step(now, m_1, c_1), _step(now, m_2, c_2), _step(now, m_3, c_3)
        now, place = _step(now, m_4, c_4), np.uint64(begin + i)
        numbers[i] = _number(first) << bits | place
        numbers[i + 1] = _number(second) << bits | place + np.uint64(1)
        numbers[i + 2] = _number(third) << bits | place + np.uint64(2)
        numbers[i + 3] = _number(now) << bits | place + np.uint64(3)
    for i in range(in_fours, n):
        now = _step(now, m_1, c_1)
        numbers[i] = _number(now) << bits | np.uint64(begin + i)
    state[0], state[1] = now
