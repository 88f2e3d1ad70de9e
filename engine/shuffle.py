"""The order of an epoch in machine code, as `engine.batches.draw_order` draws it: the same rows in the same places."""

import numpy as np

from engine import pcg
from engine.arrays import Array
from engine.jit import compiled, inlined


@inlined
def _spread(numbers: Array, place: int, counts: Array, out: Array) -> None:
    """Copy the numbers to ``out`` in the order of the bits from ``place`` on, as many as there are ``counts`` for.

    Those with equal bits stay in their order (counting sort).
    """
    shift, mask, begin = np.uint64(place), np.uint64(len(counts) - 1), 0
    counts[:] = 0
    for number in numbers:
        counts[number >> shift & mask] += 1
    for i in range(len(counts)):
        count = counts[i]
        counts[i] = begin
        begin += count
    for number in numbers:
        at = counts[number >> shift & mask]
        counts[number >> shift & mask] = at + 1
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
    the time grows as the number of rows. There are ``2**half`` ``counts``.
    """
    pcg.number_rows(state, np.uint64(bits), numbers)
    _spread(numbers, 64 - 2 * half, counts, spare)
    _spread(spare, 64 - half, counts, numbers)
    _insert(numbers)
    for i in range(len(numbers)):
        numbers[i] &= np.uint64((1 << bits) - 1)
