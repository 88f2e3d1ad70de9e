"""Products of matrices in machine code: panels of columns of one, and in each the tiles of `engine.tiles`.

Every array is flat and C-ordered; ``_at`` is where a matrix begins in it. A matrix that does not fit into the nearer
caches is copied as it is used, panel by panel or strip by strip: read in place, every row would be a page of its own.
"""

from typing import NamedTuple

import numpy as np

from engine.amx import DEEP, LEFT_PLACES, PACKED, RIGHT_PLACES, SIDE, TALL, WIDE, multiply_blocks, pack, pack_turned
from engine.arrays import Array
from engine.jit import inlined
from engine.tiles import copy, low_placed_tile, low_tile, placed_tile, tile, transpose_block
from engine.vectors import (
    DEPTH,
    HAS_AMX,
    LARGE_BYTES,
    LINE_BYTES,
    LOW_ROWS,
    NEAR_BYTES,
    PARTS_BYTES,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    address_of,
    itemsize_of,
)


class Soon(NamedTuple):
    """Rows that are needed soon, fetched part by part on the way.

    Attributes:
        source: where they are.
        order: the places that ``noted`` counts, as numbers of rows; empty where those are as they are stored.
        noted: `ROW`, the next place, and `STOP`, the one at which to stop; `AT`, where the next part begins in the row,
            and `WIDTH`, where the row ends; `PART`, how long a part is, and `STEP`, how far it is fetched at once.
        fetches: what tiles are told of it, two numbers each: nothing first, then what the tiles of a panel fetch.
    """

    source: Array
    order: Array
    noted: Array
    fetches: Array


class Later(NamedTuple):
    """The panel after one that is copied: ``rows`` of which ``length`` numbers are wanted, from ``at`` on and ``row`` apart."""

    b: Array
    at: int
    row: int
    rows: int
    length: int


ROW, STOP, AT, WIDTH, PART, STEP = range(6)


class Places(NamedTuple):
    """Where the numbers of a matrix are that need not be evenly apart: that in row *i* and column *p* at ``rows[i] + columns[p]``.

    One of both is the numbers from 0 on: the matrix has rows that are whole, or is the transpose of such a one. After ``rows``
    there are `TILE_ROWS` more places, of anything in the array: tiles look so far ahead.
    """

    rows: Array
    columns: Array


FEW_USES, FEW_PANELS_BYTES = 4 * TILE_ROWS, 4 * TILE_VECTORS * VECTOR_BYTES
"""To copy the right side of a product pays only for more rows than these, the left side for longer ones of the result."""
LEAST_COPIED, MOST_COPIED, COPIED_BYTES = 64, 2048, 1 << 18
"""Columns of rows that lie apart are copied where there are so many rows; about so many bytes at once."""
ROWS_IN_TURN = 32
"""So many rows, each of a page of its own, a machine finds at once."""
PACKED_BYTES, LEAST_DEPTH = 3 << 16, 8
"""What the left side of a product may take, packed, so that it stays near; but so many blocks of depth at least."""
PAYS, LEAST_PRODUCTS = 24, 1 << 18
"""From so much of ``m n / (m + n)`` on, and so many multiplications, AMX is faster, packing included."""


@inlined
def up(number: int, step: int) -> int:
    """The least multiple of ``step`` that is no less than ``number``."""
    return (number + step - 1) // step * step


@inlined
def _next_part(soon: Soon) -> tuple[int, int]:
    """The address of the next part, and how many bytes are fetched at once: none if there is nothing left."""
    noted, itemsize = soon.noted, itemsize_of(soon.source)
    row, at = noted[ROW], noted[AT]
    if row >= noted[STOP]:
        return address_of(soon.source, 0), 0
    is_last = at + noted[PART] >= noted[WIDTH]
    noted[ROW], noted[AT] = (row + 1, 0) if is_last else (row, at + noted[PART])
    stored = soon.order[row] if soon.order.size else row
    return address_of(soon.source, stored * noted[WIDTH] + at), noted[STEP] * itemsize


@inlined
def fetch_nothing(soon: Soon) -> None:
    """Note what tiles find where nothing is to be fetched: an address that is near anyway."""
    soon.fetches[0], soon.fetches[1] = address_of(soon.fetches, 0), 0


def fetches_size(rows: int, widths: tuple[int, ...]) -> int:
    """How many numbers ``Soon.fetches`` has at most in the products of a batch and layers of these widths."""
    return 2 * max(rows, *widths) // TILE_ROWS + 4


@inlined
def _plan(soon: Soon, tiles: int, later: Later, k: int) -> tuple[int, int]:
    """Note what so many tiles of depth ``k`` fetch, one after the other: the panel after theirs, then what is needed soon.

    That is where it is noted for the first of them, and how far apart from one to the next.
    """
    fetches, itemsize, in_rows = soon.fetches, itemsize_of(later.b), 0
    # Either a line of each row for each of the k, or a row that is k long.
    across = later.rows == k
    if later.rows > 0:
        in_rows = (later.length * itemsize + LINE_BYTES - 1) // LINE_BYTES if across else later.rows
    if in_rows == 0 and soon.noted[ROW] >= soon.noted[STOP]:
        return 0, 0
    for number in range(tiles):
        place, step = 0, 0
        if number >= in_rows:
            place, step = _next_part(soon)
        elif across:
            place, step = address_of(later.b, later.at) + number * LINE_BYTES, later.row * itemsize
        else:
            place, step = address_of(later.b, later.at + number * later.row), itemsize
        fetches[2 * number + 2], fetches[2 * number + 3] = place, step
    return 2, 2


@inlined
def _columns_at_once(columns: int, itemsize: int) -> int:
    """How many of the ``columns`` that are left the next panel has: as many as fit, but leaving no single vector."""
    length = VECTOR_BYTES // itemsize
    vectors = (columns + length - 1) // length
    if vectors == TILE_VECTORS + 1:
        vectors = (vectors + 1) // 2
    return min(columns, min(vectors, TILE_VECTORS) * length)


@inlined
def _height(rows: int) -> int:
    """The rows of the next low tile where so many are left below the others."""
    return LOW_ROWS[0] if rows <= LOW_ROWS[0] else LOW_ROWS[1]


@inlined
def _multiply_panel(
    a: Array, a_at: int, a_row: int, a_step: int, a_strip: int, b: Array, b_at: int, b_step: int,
    c: Array, c_at: int, m: int, n: int, k: int, columns: int, start: Array, start_at: int, floor: float,
    slope: Array, slope_at: int, totals: Array, totals_at: int, factor: float, later: Later, soon: Soon,
) -> None:  # fmt: skip
    """The first ``columns`` columns, a panel or less, of ``c = a b + start``; strips of ``a`` are ``a_strip`` a row apart.

    On the way the panel for ``later`` is fetched, and what is needed ``soon``.
    """
    tiles, done = m // TILE_ROWS, m // TILE_ROWS * TILE_ROWS
    fetches_at, fetches_step = _plan(soon, max(tiles, 1), later, k)
    if tiles > 0:
        tile(
            a, a_at, a_row, a_step, a_strip * TILE_ROWS, tiles, b, b_at, b_step, c, c_at, n, m, k, columns,
            start, start_at, floor, slope, slope_at, totals, totals_at, factor, soon.fetches, fetches_at, fetches_step,
        )  # fmt: skip
        fetches_at = 0
    if m - done > LOW_ROWS[-1] and tiles > 0 and factor == 0.0 and a_strip == a_row:
        # The last tile makes some rows again, rather than two low ones.
        i = m - TILE_ROWS
        tile(
            a, a_at + i * a_strip, a_row, a_step, 0, 1, b, b_at, b_step, c, c_at + i * n, n, m, k, columns,
            start, start_at, floor, slope, slope_at + i * n if slope_at >= 0 else -1, totals, -1, factor, soon.fetches, 0, 0,
        )  # fmt: skip
        done = m
    i = done
    while i < m:
        # These are in one strip.
        at, below, left = a_at + done * a_strip + (i - done) * a_row, c_at + i * n, m - i
        low_tile(
            a, at, a_row, a_step, 0, _height(left), b, b_at, b_step, c, below, n, left, k, columns, start, start_at, floor,
            slope, slope_at + i * n if slope_at >= 0 else -1, totals, -1, factor, soon.fetches, fetches_at, 0,
        )  # fmt: skip
        i += _height(left)


@inlined
def is_large(rows: int, columns: int, itemsize: int) -> bool:
    """Whether a matrix is copied as it is the right side of a product, if it is used often."""
    return rows * columns * itemsize >= LARGE_BYTES


@inlined
def goes_in_parts(m: int, n: int, k: int, itemsize: int) -> bool:
    """Whether the left side of a product of ``(m, k)`` and ``(k, n)`` is copied as it is multiplied: if that is used often."""
    return m * k * itemsize >= PARTS_BYTES and n * itemsize > FEW_PANELS_BYTES


@inlined
def lines_at_once(length: int, itemsize: int) -> int:
    """How many rows of a gradient, so long, are made at once, if they are used before they are far away."""
    return max(4 * TILE_ROWS, NEAR_BYTES // (length * itemsize) // TILE_ROWS * TILE_ROWS)


@inlined
def _depth(k: int, itemsize: int) -> int:
    """Parts of about the same size, of whole vectors."""
    length, parts = VECTOR_BYTES // itemsize, (k + DEPTH - 1) // DEPTH
    return ((k + parts - 1) // parts + length - 1) // length * length


@inlined
def _strips(
    a: Array, a_at: int, a_row: int, a_step: int, m: int, k: int, copied: bool, strips: Array
) -> tuple[Array, int, int, int, int]:
    """Where ``m`` rows and ``k`` columns are to be read, how far rows and columns are apart, and strips, a row."""
    if not copied:
        return a, a_at, a_row, a_step, a_row
    if a_step == 1:
        for i in range(m):
            copy(a, a_at + i * a_row, k, strips, i * k)
        return strips, 0, k, 1, k
    # Whole vectors are faster, and what is too much is written over; behind the last rows there may be nothing to read.
    whole = up(TILE_ROWS, VECTOR_BYTES // itemsize_of(a))
    exactly = max(k - whole, 0)
    for i in range(0, m, TILE_ROWS):
        for p in range(exactly):
            copy(a, a_at + p * a_step + i, whole, strips, i * k + p * TILE_ROWS)
        for p in range(exactly, k):
            copy(a, a_at + p * a_step + i, min(TILE_ROWS, m - i), strips, i * k + p * TILE_ROWS)
    return strips, 0, 1, TILE_ROWS, k


@inlined
def _strips_of_rows(a: Array, a_at: int, rows_at: Array, m: int, k: int, strips: Array) -> None:
    """Copy strips of ``m`` columns of ``k`` rows that begin at ``rows_at``, counted from ``a_at``: all of a few rows at once."""
    whole = m // TILE_ROWS * TILE_ROWS
    for begin in range(0, k, ROWS_IN_TURN):
        end = min(begin + ROWS_IN_TURN, k)
        for i in range(0, whole, TILE_ROWS):
            for p in range(begin, end):
                copy(a, a_at + rows_at[p] + i, TILE_ROWS, strips, i * k + p * TILE_ROWS)
        for p in range(begin, end):
            copy(a, a_at + rows_at[p] + whole, m - whole, strips, whole * k + p * TILE_ROWS)


@inlined
def panel_of(
    b: Array, b_at: int, b_row: int, b_step: int, k: int, columns: int, copied: bool, panel: Array, vectors: int
) -> tuple[Array, int, int]:
    """Where ``k`` rows and the ``columns`` of a panel are to be read, and how far its rows are apart: in a copy, ``vectors``."""
    length, width = VECTOR_BYTES // itemsize_of(b), vectors * VECTOR_BYTES // itemsize_of(b)
    if b_row == 1:
        for i in range(0, columns, length):
            for j in range(0, k, length):
                transpose_block(b, b_at + i * b_step + j, b_step, columns - i, k - j, panel, i + j * width, width)
        return panel, 0, width
    if not copied:
        return b, b_at, b_row
    for p in range(k):
        copy(b, b_at + p * b_row, columns, panel, p * width)
    return panel, 0, width


@inlined
def turn(x: Array, at: int, rows: int, columns: int, spare: Array) -> None:
    """Transpose a matrix where it is; ``spare`` holds its transpose, and a vector more in both directions.

    A block that goes beyond a row's end writes into the next row, which is why the last block of a row comes first.
    """
    length = VECTOR_BYTES // itemsize_of(x)
    for j in range(0, columns, length):
        for i in range((rows - 1) // length * length, -1, -length):
            transpose_block(x, at + i * columns + j, columns, rows - i, columns - j, spare, j * rows + i, rows)
    copy(spare, 0, rows * columns, x, at)


@inlined
def is_for_amx(m: int, n: int, k: int, itemsize: int) -> bool:
    """Whether a product of ``(m, k)`` and ``(k, n)`` is made of packed blocks.

    The machine can; they are about full; and what is packed is used often enough, ``n`` and ``m`` times, to pay for it.
    """
    return HAS_AMX and itemsize == 4 and 4 * k >= 3 * DEEP and m * n >= PAYS * (m + n) and m * n * k >= LEAST_PRODUCTS


@inlined
def totalled(m: int, n: int, k: int, itemsize: int) -> int:
    """How many rows of a product of ``(m, k)`` and ``(k, n)`` with slopes are summed as they are made: those in whole tiles."""
    return 0 if is_for_amx(m, n, k, itemsize) else m - m % TILE_ROWS


@inlined
def _packed_depth(m: int, k: int) -> int:
    """How much of ``k`` is packed at once: what ``m`` rows take is to stay near; parts of about the same size."""
    a_depth = 4 * PACKED // SIDE * up(m, TALL)
    most = max(LEAST_DEPTH, PACKED_BYTES // a_depth) * DEEP
    parts = (k + most - 1) // most
    return up((k + parts - 1) // parts, DEEP)


@inlined
def _pack_side(x: Array, x_at: int, x_line: int, x_step: int, n_lines: int, k: int, is_left: bool, out: Array) -> None:
    """Pack the ``n_lines`` rows of a left side, or columns of a right one: of length ``k``, and ``x_line`` apart."""
    depth, along = (k + DEEP - 1) // DEEP, x_step == 1
    high, middle, low = LEFT_PLACES if is_left else RIGHT_PLACES
    for i in range(0, n_lines, SIDE):
        for q in range(depth):
            place, at = (
                x_at + i * x_line + q * DEEP * x_step,
                (i // TALL * depth + q) * 2 * PACKED + i % TALL * SIDE + high,
            )
            lines, left = n_lines - i, k - q * DEEP
            step, second = (x_line, SIDE) if along else (x_step, SIDE * x_step)
            rows, second_rows = (lines, lines) if along else (left, left - SIDE)
            columns, second_columns = (left, left - SIDE) if along else (lines, lines)
            if along == is_left:
                pack(
                    x, place, step, second, rows, second_rows, columns, second_columns, out, at, middle - high, low - high
                )  # fmt: skip
            else:
                pack_turned(
                    x, place, step, second, rows, second_rows, columns, second_columns, out, at, middle - high, low - high
                )  # fmt: skip


@inlined
def _multiply_packed(
    a: Array, a_at: int, a_row: int, a_step: int, b: Array, b_at: int, b_row: int, b_step: int, c: Array, c_at: int,
    m: int, n: int, k: int, start: Array, start_at: int, floor: float, slope: Array, slope_at: int, factor: float,
    panel: Array, strips: Array,
) -> None:  # fmt: skip
    """`multiply` on `engine.amx`: the left side is packed part by part of ``k``, the right side panel by panel."""
    depth, no_floor, one = _packed_depth(m, k), a.dtype.type(-np.inf), a.dtype.type(1.0)
    for p in range(0, k, depth):
        part, is_last = min(depth, k - p), p + depth >= k
        share, least = one if p > 0 and factor == 0.0 else factor, floor if is_last else no_floor
        deep = (part + DEEP - 1) // DEEP
        _pack_side(a, a_at + p * a_step, a_row, a_step, m, part, True, strips)
        for j in range(0, n, WIDE):
            columns = min(WIDE, n - j)
            _pack_side(b, b_at + p * b_row + j * b_step, b_step, b_row, columns, part, False, panel)
            for i in range(0, m, TALL):
                at = i * n + j
                multiply_blocks(
                    strips, i // TALL * deep * 2 * PACKED, panel, 0, deep, c, c_at + at, n, min(TALL, m - i), columns,
                    start, start_at + j if start_at >= 0 and p == 0 else -1, least,
                    slope, slope_at + at if slope_at >= 0 and is_last else -1, share,
                )  # fmt: skip


def packed_sizes(rows: int, width: int) -> tuple[int, int]:
    """How many numbers the right and the left side take at most, packed, where no side is longer than these two."""
    if not HAS_AMX:
        return 0, 0
    most = -(-max(rows, width) // TALL) * TALL
    deep = 4 * PACKED // SIDE * most
    return PACKED // SIDE * WIDE * most // DEEP, max(LEAST_DEPTH * deep, PACKED_BYTES) // 4


def room(rows: int, widths: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """How many numbers a panel and strips take at most in the products of a batch and layers of these widths.

    A batch may have a million rows where layers are narrow; what depends on them is only made where a product can need it.
    """
    vector, widest = VECTOR_BYTES // itemsize, max(widths)
    right, left = packed_sizes(rows, widest) if widest > PAYS else (0, 0)
    # Rows of activations go through a panel where they are copied, or are one number each: columns, as it were.
    longest = max(rows, widest) if widest > FEW_USES or 1 in widths[:-1] else widest
    panel = TILE_VECTORS * vector * (longest + vector)
    strips = 0
    if widest * itemsize > FEW_PANELS_BYTES:
        strips = max(
            (m + max(vector, TILE_ROWS)) * (min(k, DEPTH) + vector)
            for m, k in ((rows, widest), (widest, rows), (widest, widest))
        )
    if rows >= LEAST_COPIED and widths[1] * itemsize > TILE_VECTORS * VECTOR_BYTES:
        deep = min(rows, MOST_COPIED)
        most = max(COPIED_BYTES // itemsize, 4 * TILE_ROWS * deep)
        strips = max(strips, min(most, (widths[0] + TILE_ROWS) * deep) + vector)
    return max(panel, right), max(strips, left)


@inlined
def multiply(
    a: Array, a_at: int, a_row: int, a_step: int, b: Array, b_at: int, b_row: int, b_step: int, c: Array, c_at: int,
    m: int, n: int, k: int, start: Array, start_at: int, floor: float, slope: Array, slope_at: int, totals: Array,
    totals_at: int, factor: float, panel: Array, strips: Array, soon: Soon,
) -> None:  # fmt: skip
    """``c = a b + start`` for an ``(m, k)`` and a ``(k, n)`` matrix, of which rows and columns are so far apart.

    One of both distances is 1: the other way round it is a transpose. ``start``, ``floor``, ``slope``, ``totals`` (of
    `totalled` rows) and ``factor`` are as in a tile. What is large goes part by part of ``k``, so that a part of ``a`` stays
    near for all panels.
    """
    if is_for_amx(m, n, k, itemsize_of(a)):
        _multiply_packed(
            a, a_at, a_row, a_step, b, b_at, b_row, b_step, c, c_at, m, n, k, start, start_at, floor, slope, slope_at,
            factor, panel, strips,
        )  # fmt: skip
        return
    # To copy pays only where what is copied is used several times.
    in_parts = goes_in_parts(m, n, k, itemsize_of(a))
    copied = is_large(k, n, itemsize_of(a)) and m > FEW_USES
    depth, no_floor, one = _depth(k, itemsize_of(a)) if in_parts else k, a.dtype.type(-np.inf), a.dtype.type(1.0)
    for p in range(0, k, depth):
        part, is_last = min(depth, k - p), p + depth >= k
        left, left_at, row, step, strip = _strips(a, a_at + p * a_step, a_row, a_step, m, part, in_parts, strips)
        share, least = one if p > 0 and factor == 0.0 else factor, floor if is_last else no_floor
        j = 0
        while j < n:
            columns = _columns_at_once(n - j, itemsize_of(a))
            right, right_at, right_row = panel_of(
                b, b_at + p * b_row + j * b_step, b_row, b_step, part, columns, copied, panel, TILE_VECTORS
            )
            left_over, next_at = n - j - columns if copied else 0, b_at + p * b_row + (j + columns) * b_step
            later = Later(b, next_at, b_row, part if left_over > 0 else 0, columns)
            if b_row == 1:
                later = Later(b, next_at, b_step, min(columns, left_over), part)
            _multiply_panel(
                left, left_at, row, step, strip, right, right_at, right_row, c, c_at + j, m, n, part, columns,
                start, start_at + j if start_at >= 0 and p == 0 else -1, least,
                slope, slope_at + j if slope_at >= 0 and is_last else -1, totals, totals_at + j if totals_at >= 0 else -1,
                share, later, soon,
            )  # fmt: skip
            j += columns


@inlined
def multiply_placed(
    a: Array, a_at: int, places: Places, b: Array, b_at: int, c: Array, c_at: int, m: int, n: int, k: int, start: Array,
    start_at: int, floor: float, factor: float, panel: Array, soon: Soon,
) -> None:  # fmt: skip
    """`multiply` for an ``(m, k)`` matrix whose numbers are at ``places``, counted from ``a_at``, and whole rows of ``b``."""
    length = VECTOR_BYTES // itemsize_of(a)
    copied = is_large(k, n, itemsize_of(a)) and m > FEW_USES
    j = 0
    while j < n:
        columns, first_at = _columns_at_once(n - j, itemsize_of(a)), start_at + j if start_at >= 0 else -1
        right, right_at, right_row = b, b_at + j, n
        if copied:
            right, right_at, right_row = panel, 0, TILE_VECTORS * length
            for p in range(k):
                copy(b, b_at + j + p * n, columns, panel, p * right_row)
        tiles, done = m // TILE_ROWS, m // TILE_ROWS * TILE_ROWS
        fetches_at, fetches_step = _plan(soon, max(tiles, 1), Later(b, 0, 0, 0, 0), k)
        if tiles > 0:
            placed_tile(
                a, a_at, places.rows, places.columns, 0, tiles, right, right_at, right_row, c, c_at + j, n, m, k, columns,
                start, first_at, floor, c, -1, c, -1, factor, soon.fetches, fetches_at, fetches_step,
            )  # fmt: skip
            fetches_at = 0
        if m - done > LOW_ROWS[-1] and tiles > 0 and factor == 0.0:
            i = m - TILE_ROWS
            placed_tile(
                a, a_at, places.rows, places.columns, i, 1, right, right_at, right_row, c, c_at + i * n + j, n, m, k,
                columns, start, first_at, floor, c, -1, c, -1, factor, soon.fetches, 0, 0,
            )  # fmt: skip
            done = m
        i = done
        while i < m:
            left = m - i
            low_placed_tile(
                a, a_at, places.rows, places.columns, i, _height(left), right, right_at, right_row, c, c_at + i * n + j, n,
                left, k, columns, start, first_at, floor, c, -1, c, -1, factor, soon.fetches, fetches_at, 0,
            )  # fmt: skip
            i += _height(left)
        j += columns


@inlined
def are_copied(n: int, k: int, itemsize: int) -> bool:
    """Whether columns of ``k`` rows that lie apart are better copied than read where they are: for more panels than one."""
    return LEAST_COPIED <= k <= MOST_COPIED and n * itemsize > TILE_VECTORS * VECTOR_BYTES


@inlined
def columns_at_once(n: int, k: int, itemsize: int) -> int:
    """How many of these columns are copied at once: rows of a gradient, of ``n`` numbers, that are made at once."""
    most = max(4 * TILE_ROWS, COPIED_BYTES // (k * itemsize) // TILE_ROWS * TILE_ROWS)
    return min(most, lines_at_once(n, itemsize))


@inlined
def multiply_columns(
    a: Array, a_at: int, rows_at: Array, b: Array, b_at: int, c: Array, c_at: int, m: int, n: int, k: int,
    factor: float, panel: Array, strips: Array, soon: Soon,
) -> None:  # fmt: skip
    """`multiply_placed` for the transpose of ``k`` rows that begin at ``rows_at``, counted from ``a_at``: copied strip by strip."""
    _strips_of_rows(a, a_at, rows_at, m, k, strips)
    copied = is_large(k, n, itemsize_of(a)) and m > FEW_USES
    j, none = 0, a.dtype.type(-np.inf)
    while j < n:
        columns = _columns_at_once(n - j, itemsize_of(a))
        right, right_at, right_row = panel_of(b, b_at + j, n, 1, k, columns, copied, panel, TILE_VECTORS)
        _multiply_panel(
            strips, 0, 1, TILE_ROWS, k, right, right_at, right_row, c, c_at + j, m, n, k, columns, c, -1, none,
            c, -1, c, -1, factor, Later(b, 0, 0, 0, 0), soon,
        )  # fmt: skip
        j += columns
