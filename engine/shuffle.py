"""The order of an epoch in machine code, as `engine.batches.draw_order` draws it: the same rows in the same places."""

import numpy as np

from engine import pcg
from engine.arrays import Array
from engine.jit import compiled, inlined

AT_ONCE = 1 << 9
"""So many numbers are counted together, while they are near."""


@inlined
def _begin(counts: Array) -> None:
    """Make of how many there are of each where the first of each goes."""
    begin = np.uint64(0)
    for i in range(len(counts)):
        count = counts[i]
        counts[i] = begin
        begin += count


@inlined
def _spread(numbers: Array, place: np.uint64, begins: Array, out: Array) -> None:
    """Copy the numbers to ``out`` in the order of the bits from ``place`` on; those with equal ones begin at ``begins``.

    They stay in their order (counting sort).
    """
    mask, one = np.uint64(len(begins) - 1), np.uint64(1)
    for number in numbers:
        digit = number >> place & mask
        at = begins[digit]
        begins[digit] = at + one
        out[at] = number


@inlined
def _insert(numbers: Array) -> None:
    """Sort numbers that are near their places."""
    for i in range(1, len(numbers)):
        number, j = numbers[i], i
        while j > 0 and numbers[j - 1] > number:
            numbers[j] = numbers[j - 1]
            j -= 1
        if j < i:
            numbers[j] = number


@compiled
def draw_order(state: Array, bits: int, half: int, numbers: Array, spare: Array, counts: Array) -> None:
    """Draw the order of an epoch from a generator; see `engine.pcg.number_rows`.

    Random numbers are spread evenly: in the order of their first bits, if these are a few more than the ``bits`` that
    rows are numbered with, almost all are in their places. Two passes see to that, each to ``half`` of them, so that
    the time grows as the number of rows. There are two times ``2**half`` ``counts``.
    """
    low, high = counts[: len(counts) // 2], counts[len(counts) // 2 :]
    low_place, high_place = np.uint64(64 - 2 * half), np.uint64(64 - half)
    mask, one = np.uint64(len(low) - 1), np.uint64(1)
    counts[:] = 0
    for begin in range(0, len(numbers), AT_ONCE):
        part = numbers[begin : begin + AT_ONCE]
        pcg.number_rows(state, np.uint64(bits), begin, part)
        for number in part:
            low[number >> low_place & mask] += one
            high[number >> high_place] += one
    _begin(low)
    _begin(high)
    _spread(numbers, low_place, low, spare)
    _spread(spare, high_place, high, numbers)
    _insert(numbers)
    for i in range(len(numbers)):
        numbers[i] &= np.uint64((1 << bits) - 1)
