"""Products of matrices of which the left one is 0 in many places, as relu leaves them: what would be multiplied by 0 is left out.

A tile multiplies several rows at once, and hardly a number is 0 in all of them; so here it is one row at a time, or two, with as
much of a row of the product as the registers hold. That loads a vector for every product, twice as often as a tile does, so it
pays only where about a third is 0. The sums have the same terms in the same order as a tile's, but for those that are 0; but what
is infinite or no number on the right side need not be in a sum where the left one is 0.
"""

from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from engine.arrays import Array
from engine.jit import called, inlined
from engine.products import is_for_amx, panel_of, totalled, up
from engine.tiles import copy, transpose_block
from engine.vectors import SLOW_LOADS, VECTOR_BYTES, Vectors, apart, itemsize_of, pointer_to

BITS = 64
"""So much of a row of the left side is looked at together: where it is not 0 is in the bits of a number."""
MOST_VECTORS, LEAST_VECTORS = 8, 4
"""How much of a row of the product is made at once."""
TOGETHER = 2 if SLOW_LOADS else 1
"""So many rows of the left side are multiplied at once, wherever one of them is not 0."""
LEAST_SIDE, MOST_DEPTH = 64, 2048
"""To copy both sides pays from so many rows on, and so much that is summed over; beyond so much, a copy is of too few rows."""
MOST_LINES, COPIED = 256, 1 << 17
"""How many rows of the left side are copied at once, and how many numbers."""
NOTED_BYTES = COPIED // BITS * 8
"""What the bits take that say where these are not 0."""
MOST_FILLED = 0.65
"""Up to such a share of the left side that is not 0, it is faster to look for it."""
SAMPLES = 8
"""About so many lines of a matrix are looked at."""


class Side(NamedTuple):
    """A side of a product: its rows are ``row`` apart and its columns ``step``, one of which is 1.

    Unless ``places`` are not empty: then the lines that are whole, rows if ``step`` is 1 and columns else, begin there.
    """

    x: Array
    at: int
    row: int
    step: int
    places: Array


@inlined
def transposed(side: Side) -> Side:
    """Its columns as rows."""
    return Side(side.x, side.at, side.step, side.row, side.places)


class Ending(NamedTuple):
    """What becomes of a product as it is written, see `engine.tiles`; of one that ``is_turned``, the transpose is."""

    start: Array
    start_at: int
    floor: float
    slope: Array
    slope_at: int
    totals: Array
    totals_at: int
    factor: float
    is_turned: bool


def _nonzero(vector: Vectors, line: Any) -> Any:
    """The bits of the places where a line of `BITS` numbers is not 0; a NaN is not 0."""
    builder, bits = vector.builder, ir.Constant(ir.IntType(64), 0)
    for begin in range(0, BITS, vector.length):
        numbers = vector.load(builder.gep(line, [ir.Constant(ir.IntType(64), begin)]), None)
        are = builder.fcmp_unordered("!=", numbers, vector.zero())
        found = builder.zext(builder.bitcast(are, ir.IntType(vector.length)), ir.IntType(64))
        bits = builder.or_(bits, builder.shl(found, ir.Constant(ir.IntType(64), begin)))
    return bits


@intrinsic  # type: ignore[untyped-decorator]
def _note_nonzero(typing: Any, lines: Any, rows: Any, found: Any) -> Any:
    """Note for each of so many lines of `BITS` numbers where they are not 0."""
    del typing, rows

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lines, rows, found = arguments
        none = ir.Constant(ir.IntType(64), 0)
        lines = pointer_to(context, builder, signature.args[0], lines, none)
        found = pointer_to(context, builder, signature.args[2], found, none)
        vector = Vectors(builder, signature.args[0].dtype)
        with cgutils.for_range(builder, rows) as loop:
            line = builder.gep(lines, [builder.mul(loop.index, ir.Constant(ir.IntType(64), BITS))])
            builder.store(_nonzero(vector, line), builder.gep(found, [loop.index]))
        return context.get_dummy_value()

    return types.void(lines, types.intp, found), generate


def _add_rows(
    vectors: int, dtype: Any, builder: Any, lines: Any, found: Any, rows: Any, panel: Any, before: Any, distance: Any, sums: Any
) -> None:  # fmt: skip
    """The code of `_add_products` for so many vectors."""
    vector, integer = Vectors(builder, dtype), ir.IntType(64)
    none, one, width, bits, together = (
        ir.Constant(integer, number) for number in (0, 1, MOST_VECTORS * vector.length, BITS, TOGETHER)
    )
    with cgutils.for_range(
        builder, builder.udiv(builder.add(rows, ir.Constant(integer, TOGETHER - 1)), together)
    ) as loop:
        first = builder.mul(loop.index, together)
        numbers = [builder.add(first, ir.Constant(integer, number)) for number in range(TOGETHER)]
        at = [builder.gep(lines, [builder.mul(number, bits)]) for number in numbers]
        totals = [
            [cgutils.alloca_once_value(builder, vector.load(vector.after(begin, v), None)) for v in range(vectors)]
            for begin in (builder.gep(before, [builder.mul(number, distance)]) for number in numbers)
        ]
        are_left = reduce(builder.or_, (builder.load(builder.gep(found, [number])) for number in numbers))
        left = cgutils.alloca_once_value(builder, are_left)
        body, end = builder.append_basic_block("body"), builder.append_basic_block("end")
        builder.cbranch(builder.icmp_unsigned("!=", are_left, none), body, end)
        builder.position_at_end(body)
        are_left = builder.load(left)
        place = builder.cttz(are_left, ir.Constant(ir.IntType(1), 1))
        factors = [vector.fill(builder.load(builder.gep(line, [place]))) for line in at]
        row = builder.gep(panel, [builder.mul(place, width)])
        for v in range(vectors):
            part = vector.load(vector.after(row, v), None)
            for factor, of_line in zip(factors, totals, strict=True):
                builder.store(vector.add_product(factor, part, builder.load(of_line[v])), of_line[v])
        after = builder.and_(are_left, builder.sub(are_left, one))
        builder.store(after, left)
        builder.cbranch(builder.icmp_unsigned("!=", after, none), body, end)
        builder.position_at_end(end)
        for number, of_line in zip(numbers, totals, strict=True):
            kept = builder.gep(sums, [builder.mul(number, width)])
            for v, total in enumerate(of_line):
                vector.store(builder.load(total), vector.after(kept, v), None)


@intrinsic  # type: ignore[untyped-decorator]
def _add_products(
    typing: Any, lines: Any, lines_at: Any, found: Any, found_at: Any, rows: Any, panel: Any, before: Any, distance: Any,
    sums: Any, vectors: Any,
) -> Any:  # fmt: skip
    """Add the products of lines of `BITS` numbers with a panel's rows to what was ``before``: ``vectors`` of a sum for each line.

    ``found`` says where the lines are not 0. Rows of the sums and of the panel are `MOST_VECTORS` wide; those before are at such a
    ``distance``.
    """
    del typing, lines_at, found_at, rows, distance, vectors

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lines, lines_at, found, found_at, rows, panel, before, distance, sums, vectors = arguments
        kind, none = signature.args[0], ir.Constant(ir.IntType(64), 0)
        begins = (lines, lines_at), (panel, none), (before, none), (sums, none)
        lines, panel, before, sums = (pointer_to(context, builder, kind, x, at) for x, at in begins)
        found = pointer_to(context, builder, signature.args[2], found, found_at)
        given = lines, found, rows, panel, before, distance, sums
        few, many = (
            apart(builder, f"sparse_{number}_{kind.dtype}", partial(_add_rows, number, kind.dtype), *given)
            for number in (LEAST_VECTORS, MOST_VECTORS)
        )
        are_few = builder.icmp_signed("<=", vectors, ir.Constant(ir.IntType(64), LEAST_VECTORS))
        builder.call(builder.select(are_few, few, many), given)
        return context.get_dummy_value()

    i = types.intp
    return types.void(lines, i, found, i, i, panel, before, i, sums, i), generate


@inlined
def _line(side: Side, number: int) -> int:
    """Where a whole line begins."""
    if side.places.size:
        return int(side.at + side.places[number])
    return side.at + number * (side.row if side.step == 1 else side.step)


@called
def filled(left: Side, m: int, n: int, k: int) -> float:
    """How much of an ``(m, k)`` matrix is not 0, by some of its lines: of one that is multiplied by a ``(k, n)`` one.

    All of it, where that product is not to be made here.
    """
    itemsize = itemsize_of(left.x)
    if min(m, k) < LEAST_SIDE or n * itemsize < LEAST_VECTORS * VECTOR_BYTES:
        return 1.0
    if VECTOR_BYTES < 32 or k > MOST_DEPTH or is_for_amx(m, n, k, itemsize):
        return 1.0
    lines, length = (m, k) if left.step == 1 else (k, m)
    found, seen = 0, 0
    for i in range(0, lines, lines // SAMPLES):
        begin = _line(left, i)
        for number in left.x[begin : begin + length]:
            found += number != 0.0
        seen += length
    return found / seen


def room(rows: int, widths: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """How many numbers a panel and strips take at most in the products of a batch and layers of these widths."""
    if min(rows, max(widths)) < LEAST_SIDE:
        return 0, 0
    return (BITS + 1 + MOST_LINES) * MOST_VECTORS * VECTOR_BYTES // itemsize, COPIED + NOTED_BYTES // itemsize


@called
def _copy_left(left: Side, begin: int, lines: int, distance: int, k: int, out: Array, spare: Array) -> None:
    """Copy ``lines`` rows of the left side, from row ``begin`` on: `BITS` numbers of each, then the next of each.

    They are at such a ``distance``. After the last number there are 0. ``spare`` is for as many columns as a vector is long.
    """
    x, length = left.x, VECTOR_BYTES // itemsize_of(left.x)
    for p in range(0, k, BITS):
        part, out_at = min(BITS, k - p), p * distance
        if left.step == 1:
            for i in range(lines):
                copy(x, _line(left, begin + i) + p, part, out, out_at + i * BITS)
        else:
            for q in range(0, part, length):
                columns, at, step = x, _line(left, p + q) + begin, left.step
                if left.places.size:
                    columns, at, step = spare, 0, MOST_LINES
                    for r in range(min(length, part - q)):
                        copy(x, _line(left, p + q + r) + begin, lines, spare, r * MOST_LINES)
                for i in range(0, lines, length):
                    transpose_block(columns, at + i, step, part - q, lines - i, out, out_at + i * BITS + q, BITS)
        if part < BITS:
            for i in range(lines):
                for q in range(out_at + i * BITS + part, out_at + (i + 1) * BITS):
                    out[q] = 0.0


@called
def _copy_right(right: Side, p: int, j: int, rows: int, columns: int, panel: Array) -> None:
    """Copy so many rows, from row ``p`` on, and columns, from ``j`` on, of the right side."""
    if right.places.size:
        width = MOST_VECTORS * VECTOR_BYTES // itemsize_of(right.x)
        for q in range(rows):
            copy(right.x, _line(right, p + q) + j, columns, panel, q * width)
        return
    at = right.at + p * right.row + j * right.step
    panel_of(right.x, at, right.row, right.step, rows, columns, True, panel, MOST_VECTORS)


@inlined
def _finish(
    sums: Array, lines: int, columns: int, c: Array, c_at: int, c_row: int, ending: Ending, slope_at: int, totals_at: int,
    summed: int,
) -> None:  # fmt: skip
    """Write rows of sums, of which the first ``summed`` are added up, too."""
    width = MOST_VECTORS * VECTOR_BYTES // itemsize_of(sums)
    for i in range(lines):
        line, out = sums[i * width : i * width + columns], c[c_at + i * c_row : c_at + i * c_row + columns]
        if ending.factor != 0.0:
            for j in range(columns):
                out[j] += ending.factor * line[j]
        elif slope_at >= 0:
            slope = ending.slope[slope_at + i * c_row : slope_at + i * c_row + columns]
            for j in range(columns):
                out[j] = line[j] if slope[j] > 0.0 else 0.0
            if totals_at >= 0 and i < summed:
                totals = ending.totals[totals_at : totals_at + columns]
                for j in range(columns):
                    totals[j] += out[j]
        else:
            for j in range(columns):
                out[j] = max(line[j], ending.floor)


@inlined
def _finish_turned(
    panel: Array, sums: Array, lines: int, columns: int, c: Array, c_at: int, c_row: int, factor: float
) -> None:
    """Write the columns of sums as rows: whole blocks at once, others by way of the panel, which is not needed any more."""
    length = VECTOR_BYTES // itemsize_of(sums)
    width, whole, begin = MOST_VECTORS * length, up(lines, length), 0
    if factor == 0.0 and lines % length == 0:
        begin = columns // length * length
        for j in range(0, begin, length):
            for i in range(0, lines, length):
                transpose_block(sums, i * width + j, width, length, length, c, c_at + j * c_row + i, c_row)
    for j in range(begin, columns, length):
        for i in range(0, lines, length):
            transpose_block(sums, i * width + j, width, lines - i, columns - j, panel, i, whole)
        for q in range(min(length, columns - j)):
            at = c_at + (j + q) * c_row
            if factor == 0.0:
                copy(panel, q * whole, lines, c, at)
            else:
                for i in range(lines):
                    c[at + i] += factor * panel[q * whole + i]


@inlined
def _rows_at_once(k: int, itemsize: int) -> int:
    """How many rows of a left side are copied at once: whole vectors of its columns."""
    length = VECTOR_BYTES // itemsize
    return min(MOST_LINES, COPIED // up(k, BITS)) // length * length


@inlined
def lines_at_once(is_turned: bool, m: int, n: int, k: int, itemsize: int) -> int:
    """How many lines of what is written, rows or columns of a product, take as long one after the other as all at once."""
    if not is_turned:
        return _rows_at_once(k, itemsize)
    return MOST_VECTORS * VECTOR_BYTES // itemsize if m <= _rows_at_once(k, itemsize) else n


@called
def multiply_sparse(
    left: Side, right: Side, c: Array, c_at: int, m: int, n: int, k: int, ending: Ending, again: bool, spare: Array,
    strips: Array,
) -> None:  # fmt: skip
    """`engine.products.multiply` of a left side of which at most `MOST_FILLED` is `filled`.

    A right side with ``places`` has whole rows.
    Some rows of the left side, and of those a panel, are gone through at once; ``spare`` is for a part of the right side as deep
    as a number has `BITS`, for what sums begin with, and for them. If the left side is what it was before, ``again``, and no longer
    than what is copied at once, its copy is still in ``strips``.
    """
    itemsize = itemsize_of(c)
    width, depth, length = MOST_VECTORS * VECTOR_BYTES // itemsize, up(k, BITS), VECTOR_BYTES // itemsize
    found = strips[COPIED : COPIED + NOTED_BYTES // itemsize].view(np.int64)
    panel, first, sums = spare[: BITS * width], spare[BITS * width : (BITS + 1) * width], spare[(BITS + 1) * width :]
    at_once, summed = _rows_at_once(k, itemsize), totalled(m, n, k, itemsize)
    for i in range(0, m, at_once):
        lines, distance = min(at_once, m - i), up(min(at_once, m - i), length)
        if not again:
            _copy_left(left, i, lines, distance, k, strips, sums)
            _note_nonzero(strips, distance * depth // BITS, found)
        for j in range(0, n, width):
            columns = min(width, n - j)
            vectors = (columns + length - 1) // length
            first[:columns] = 0.0
            if ending.start_at >= 0:
                copy(ending.start, ending.start_at + j, columns, first, 0)
            for p in range(0, k, BITS):
                _copy_right(right, p, j, min(BITS, k - p), columns, panel)
                before, step = (first, 0) if p == 0 else (sums, width)
                at = p * distance
                _add_products(strips, at, found, at // BITS, lines, panel, before, step, sums, vectors)
            if ending.is_turned:
                _finish_turned(panel, sums, lines, columns, c, c_at + j * m + i, m, ending.factor)
            else:
                at = i * n + j
                _finish(
                    sums, lines, columns, c, c_at + at, n, ending, ending.slope_at + at if ending.slope_at >= 0 else -1,
                    ending.totals_at + j if ending.totals_at >= 0 else -1, summed - i,
                )  # fmt: skip
