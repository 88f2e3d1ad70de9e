"""Parts of machine code that are given to LLVM as vectors: tiles of matrix products, which stay in the registers.

Every array is flat and C-ordered; ``_at`` is where a matrix begins in it, and a row of a matrix follows the last.
Nothing is allocated.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from engine.vectors import (
    DOTS,
    LINE_BYTES,
    LOW_ROWS,
    NARROW_ROWS,
    STORES_IN_PARTS,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    VECTORS_AHEAD,
    Mask,
    Vectors,
    apart,
    pointer_to,
    repeated,
    unrelated,
)


class _Places(NamedTuple):
    """What the code of tiles is given, as LLVM's values; see `_tile`."""

    a: Any
    a_row: Any
    a_step: Any
    a_strip: Any
    tiles: Any
    b: Any
    b_step: Any
    c: Any
    c_row: Any
    m: Any
    k: Any
    columns: Any
    start: Any
    floor: Any
    slope: Any
    slopes: Any
    totals: Any
    totalled: Any
    added: Any
    fetches: Any
    fetches_step: Any


def _tile(heights: tuple[int, ...], *, placed: bool = False) -> Any:
    """The products of strips of so many rows of a matrix, one under another, with a panel of another.

    Of several ``heights``, ``tiles`` is the one that is wanted, and it is one tile; there may be as little as one row (``m``
    tells): the last one is then made again. ``placed`` is for a matrix of which neither rows nor columns need be evenly apart:
    ``a_row`` and ``a_step`` are then arrays, and the number in row *i* and column *p* is ``a[a_at + a_row[a_strip + i] +
    a_step[p]]``. What as many rows after them begin with is brought nearer.

    ``tile(a, a_at, a_row, a_step, a_strip, tiles, b, b_at, b_step, c, c_at, c_row, m, k, columns, start, start_at, floor,
    slope, slope_at, totals, totals_at, factor, fetches, fetches_at, fetches_step)`` writes, for each of the ``tiles``, the
    first row of which is ``a_strip`` after that of the one before, for each row *i* and each *j* before ``columns``,
    ``c[c_at + i c_row + j] = sum_p a[a_at + i a_row + p a_step] b[b_at + p b_step + j]``. It adds ``start[start_at + j]`` unless
    ``start_at`` is negative, and gives at least ``floor``; or, unless ``slope_at`` is negative, 0 where ``slope[slope_at +
    i c_row + j]`` is not positive. Sums of these over the rows are added to ``totals[totals_at + j]`` unless ``totals_at`` is
    negative: only of tiles that have slopes, one height, and rows evenly apart. With a ``factor`` that is not 0, ``factor``
    times all that is added to ``c``: no two tiles may then have a row in common. The widest tiles, and all placed ones, also
    have memory brought nearer: for each *p*, what is *p* times the second of two numbers of ``fetches`` after the address that
    is the first. Those of the first tile are at ``fetches_at``, those of each other one ``fetches_step`` after those of the
    tile before.
    """
    few = len(heights) > 1

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_at, a_row, a_step, a_strip, tiles, b, b_at, b_step, c, c_at, c_row, m, k, columns = arguments[:15]
        start, start_at, floor, slope, slope_at, totals, totals_at, added, fetches, fetches_at, fetches_step = (
            arguments[15:]
        )
        kind = signature.args[0]
        begins = ((a, a_at), (b, b_at), (c, c_at), (start, start_at), (slope, slope_at), (totals, totals_at))
        a, b, c, start, slope, totals = (pointer_to(context, builder, kind, x, at) for x, at in begins)
        fetches = pointer_to(context, builder, signature.args[23], fetches, fetches_at)
        zero = ir.Constant(ir.IntType(64), 0)
        if placed:
            a_row = pointer_to(context, builder, signature.args[2], a_row, a_strip)
            a_step = pointer_to(context, builder, signature.args[3], a_step, zero)
        start = builder.select(builder.icmp_signed("<", start_at, zero), _zeros(builder, start.type), start)
        slopes, totalled = (builder.icmp_signed(">=", at, zero) for at in (slope_at, totals_at))
        places = _Places(
            a, a_row, a_step, a_strip, tiles, b, b_step, c, c_row, m, k, columns, start, floor, slope, slopes, totals, totalled,
            added, fetches, fetches_step,
        )  # fmt: skip
        if few:
            places = places._replace(tiles=ir.Constant(ir.IntType(64), 1))
        chosen: Any = None
        for rows in heights:
            name, body = f"tile_{rows}{'_few' * few}{'_placed' * placed}", partial(all_tiles, rows, kind.dtype)
            code = _code_for(columns, builder, name, body, places, kind.dtype, fast=not few)
            is_it = builder.icmp_signed("==", tiles, ir.Constant(ir.IntType(64), rows))
            chosen = code if chosen is None else builder.select(is_it, code, chosen)
        builder.call(chosen, places)
        return context.get_dummy_value()

    def all_tiles(rows: int, dtype: Any, vectors: int, whole: bool, builder: Any, *arguments: Any) -> None:
        vector, places = Vectors(builder, dtype), _Places(*arguments)
        masks = _masks(vector, places.columns, vectors, whole)
        height = ir.Constant(ir.IntType(64), rows)
        down = builder.mul(places.c_row, height)
        with cgutils.for_range(builder, places.tiles) as loop:
            below = builder.mul(loop.index, down)
            c, slope = builder.gep(places.c, [below]), builder.gep(places.slope, [below])
            a, a_row = places.a, places.a_row
            if placed:
                a_row = builder.gep(a_row, [builder.mul(loop.index, height)])
            else:
                a = builder.gep(a, [builder.mul(loop.index, places.a_strip)])
            fetches = builder.gep(places.fetches, [builder.mul(loop.index, places.fetches_step)])
            one_tile(vector, rows, masks, places._replace(a=a, a_row=a_row, c=c, slope=slope, fetches=fetches))

    def one_tile(vector: Vectors, rows: int, masks: list[Mask | None], places: _Places) -> None:
        builder, one = vector.builder, ir.Constant(ir.IntType(64), 1)
        lengths = [ir.Constant(ir.IntType(64), v * vector.length) for v in range(len(masks))]
        numbers = [ir.Constant(ir.IntType(64), i) for i in range(rows)]
        if few:
            numbers = [_at_most(builder, number, builder.sub(places.m, one)) for number in numbers]
        first = [
            vector.load(builder.gep(places.start, [length]), mask) for length, mask in zip(lengths, masks, strict=True)
        ]
        sums = [[cgutils.alloca_once_value(builder, part) for part in first] for _ in numbers]
        is_added = builder.fcmp_ordered("!=", places.added, ir.Constant(places.added.type, 0.0))
        with builder.if_then(is_added):
            for number in numbers:
                vector.fetch(builder.gep(places.c, [builder.mul(places.c_row, number)]), len(masks))
        if placed:
            from_a = [builder.load(builder.gep(places.a_row, [number])) for number in numbers]
            for number in range(rows, 2 * rows):
                following = builder.load(builder.gep(places.a_row, [ir.Constant(ir.IntType(64), number)]))
                vector.fetch(builder.gep(places.a, [following]), VECTORS_AHEAD)
        else:
            from_a = [builder.mul(places.a_row, number) for number in numbers]
        _add_products(vector, sums, masks, places, from_a, placed)
        results = [
            (builder.add(builder.mul(places.c_row, number), length), mask, total)
            for number, row in zip(numbers, sums, strict=True)
            for length, mask, total in zip(lengths, masks, row, strict=True)
        ]
        with builder.if_then(is_added):
            times = vector.fill(places.added)
            for place, mask, total in results:
                before = vector.load(builder.gep(places.c, [place]), mask)
                builder.store(vector.add_product(times, builder.load(total), before), total)
        if placed:
            give(vector, places, results)
            return
        with builder.if_else(places.slopes) as (then, otherwise):
            with then:
                values = []
                for place, mask, total in results:
                    a_i = vector.load(builder.gep(places.slope, [place]), mask)
                    values.append(vector.where_positive(a_i, builder.load(total)))
                    vector.store(values[-1], builder.gep(places.c, [place]), mask)
                if not few:
                    with builder.if_then(places.totalled):
                        for v, (length, mask) in enumerate(zip(lengths, masks, strict=True)):
                            at = builder.gep(places.totals, [length])
                            total = reduce(vector.sum, values[v :: len(masks)])
                            vector.store(vector.sum(vector.load(at, mask), total), at, mask)
            with otherwise:
                give(vector, places, results)

    def give(vector: Vectors, places: _Places, results: list[tuple[Any, Mask | None, Any]]) -> None:
        for place, mask, total in results:
            value = vector.at_least(places.floor, vector.builder.load(total))
            vector.store(value, vector.builder.gep(places.c, [place]), mask)

    def tile(
        typing: Any, a: Any, a_at: Any, a_row: Any, a_step: Any, a_strip: Any, tiles: Any, b: Any, b_at: Any, b_step: Any,
        c: Any, c_at: Any, c_row: Any, m: Any, k: Any, columns: Any, start: Any, start_at: Any, floor: Any,
        slope: Any, slope_at: Any, totals: Any, totals_at: Any, factor: Any, fetches: Any, fetches_at: Any, fetches_step: Any,
    ) -> Any:  # fmt: skip
        del typing, a_at, a_strip, tiles, b_at, b_step, c_at, c_row, m, k, columns, start_at, floor
        del slope_at, totals_at, factor, fetches_at, fetches_step
        i = types.intp
        row, step = (a_row, a_step) if placed else (i, i)
        left, right = (a, i, row, step, i, i), (b, i, i, c, i, i, i, i, i)
        done = start, i, a.dtype, slope, i, totals, i, a.dtype
        numbers = *left, *right, *done, fetches, i, i
        return types.void(*numbers), generate

    return intrinsic(tile)


def _zeros(builder: Any, pointer: Any) -> Any:
    """Where the widest row of a tile finds nothing but 0."""
    nothing = ir.Constant(ir.ArrayType(ir.IntType(8), TILE_VECTORS * VECTOR_BYTES), None)
    return builder.bitcast(cgutils.global_constant(builder, "zeros", nothing), pointer)


def _masks(vector: Vectors, columns: Any, vectors: int, whole: bool) -> list[Mask | None]:
    """The masks of a row of so many vectors: only the last may have one."""
    before = ir.Constant(ir.IntType(64), (vectors - 1) * vector.length)
    return [None] * (vectors - 1) + [None if whole else vector.first(vector.builder.sub(columns, before))]


def _code_for(
    columns: Any,
    builder: Any,
    name: str,
    body: Callable[..., None],
    arguments: tuple[Any, ...],
    dtype: Any,
    *,
    fast: bool,
) -> Any:
    """The code that is made for as many vectors as there are columns, masked where the last one is not whole.

    If that need not be ``fast``, there is none without masks where they cost little: it would be as much again to compile.
    """
    length = Vectors(builder, dtype).length
    chosen: Any = None
    for columns_up_to in range(TILE_VECTORS * length, 0, -length):
        vectors, most = columns_up_to // length, ir.Constant(ir.IntType(64), columns_up_to)
        whole, masked = (
            apart(builder, f"{name}_{vectors}_{kind}_{dtype}", partial(body, vectors, kind == "whole"), *arguments)
            for kind in ("whole" if fast or STORES_IN_PARTS else "masked", "masked")
        )
        is_whole = builder.icmp_signed("==", columns, most)
        fits = masked if chosen is None else builder.select(builder.icmp_signed("<", columns, most), masked, chosen)
        chosen = builder.select(is_whole, whole, fits)
    return chosen


def _add_products(
    vector: Vectors, sums: list[list[Any]], masks: list[Mask | None], places: _Places, rows: list[Any], placed: bool
) -> None:
    """Add the products of ``k`` columns of a matrix and as many rows of another to a tile's sums."""
    builder = vector.builder
    lines = [unrelated(builder, builder.gep(places.a, [row])) for row in rows]
    one = ir.Constant(ir.IntType(64), 1)
    fetched = builder.inttoptr(builder.load(places.fetches), ir.IntType(8).as_pointer())
    fetched_step = builder.load(builder.gep(places.fetches, [one]))
    first = places.b, places.a_step if placed else ir.Constant(ir.IntType(64), 0), fetched
    steps = places.b_step, one if placed else places.a_step, fetched_step
    now = [cgutils.alloca_once_value(builder, value) for value in first]
    with repeated(builder, places.k):
        b_p, a_p, fetched = (builder.load(value) for value in now)
        at = builder.load(a_p) if placed else a_p
        if placed or len(masks) == TILE_VECTORS:
            vector.fetch(fetched)
        parts = [vector.load(vector.after(b_p, number), mask) for number, mask in enumerate(masks)]
        for line, row in zip(lines, sums, strict=True):
            factor = vector.fill(builder.load(builder.gep(line, [at])))
            for part, total in zip(parts, row, strict=True):
                builder.store(vector.add_product(factor, part, builder.load(total)), total)
        a_after = builder.gep(a_p, [steps[1]]) if placed else builder.add(a_p, steps[1])
        following = builder.gep(b_p, [steps[0]]), a_after, builder.gep(fetched, [steps[2]])
        for value, after in zip(now, following, strict=True):
            builder.store(after, value)


def _at_most(builder: Any, number: Any, most: Any) -> Any:
    return builder.select(builder.icmp_signed("<", number, most), number, most)


def _dots(rows: int, columns: int, *, is_together: bool = False) -> Any:
    """The products of ``rows`` rows of one matrix with ``columns`` rows of another, both along their rows.

    ``dots(a, a_at, a_row, w, w_at, c, c_at, c_row, k, m, n, start, start_at, floor)`` writes, for *i* before ``m`` and *j*
    before ``n``, ``c[c_at + i c_row + j] = sum_p a[a_at + i a_row + p] w[w_at + j k + p]``, with ``start`` and ``floor`` as
    in a tile. Where there are fewer rows or columns, the last is made again. With ``is_together`` all of ``c`` is written
    in one go: there are no fewer columns, and a row of it follows the last.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_at, a_row, w, w_at, c, c_at, c_row, k, m, n, start, start_at, floor = arguments
        kind, integer = signature.args[0], ir.IntType(64)
        vector = Vectors(builder, kind.dtype)
        a, w, c, start = (
            pointer_to(context, builder, kind, x, at) for x, at in ((a, a_at), (w, w_at), (c, c_at), (start, start_at))
        )
        one, zero, length = (ir.Constant(integer, number) for number in (1, 0, vector.length))
        lines = [_at_most(builder, ir.Constant(integer, i), builder.sub(m, one)) for i in range(rows)]
        units = [_at_most(builder, ir.Constant(integer, j), builder.sub(n, one)) for j in range(columns)]
        from_a = [builder.gep(a, [builder.mul(line, a_row)]) for line in lines]
        from_w = [builder.gep(w, [builder.mul(unit, k)]) for unit in units]
        sums = [[cgutils.alloca_once_value(builder, vector.zero()) for _ in units] for _ in lines]

        def add(at: Any, mask: Mask | None) -> None:
            parts = [vector.load(builder.gep(pointer, [at]), mask) for pointer in from_w]
            for pointer, row in zip(from_a, sums, strict=True):
                factor = vector.load(builder.gep(pointer, [at]), mask)
                for part, total in zip(parts, row, strict=True):
                    builder.store(vector.add_product(factor, part, builder.load(total)), total)

        whole = builder.udiv(k, length)
        with cgutils.for_range(builder, whole) as loop:
            add(builder.mul(loop.index, length), None)
        done = builder.mul(whole, length)
        rest = builder.sub(k, done)
        with builder.if_then(builder.icmp_signed(">", rest, zero)):
            add(done, vector.first(rest))

        totals = [builder.load(total) for row in sums for total in row]
        has_start = builder.icmp_signed(">=", start_at, zero)
        if is_together:
            given = vector.first(builder.select(has_start, n, zero))
            first, count = vector.again(vector.load(start, given), columns), builder.mul(m, n)
            for part, total in enumerate(vector.totals(totals)):
                value = vector.at_least(floor, vector.sum(total, first))
                mask = vector.first(builder.sub(count, ir.Constant(integer, part * vector.length)))
                vector.store(value, vector.after(c, part), mask)
            return context.get_dummy_value()
        numbers = vector.numbers(vector.totals(totals), len(totals))
        for j, unit in enumerate(units):
            first = cgutils.alloca_once_value(builder, ir.Constant(floor.type, 0.0))
            with builder.if_then(has_start):
                builder.store(builder.load(builder.gep(start, [unit])), first)
            for i, line in enumerate(lines):
                value = builder.fadd(numbers[i * columns + j], builder.load(first))
                value = builder.select(builder.fcmp_ordered("<", value, floor), floor, value)
                builder.store(value, builder.gep(c, [builder.add(builder.mul(line, c_row), unit)]))
        return context.get_dummy_value()

    def dots(
        typing: Any, a: Any, a_at: Any, a_row: Any, w: Any, w_at: Any, c: Any, c_at: Any, c_row: Any, k: Any, m: Any,
        n: Any, start: Any, start_at: Any, floor: Any,
    ) -> Any:  # fmt: skip
        del typing, a_at, a_row, w_at, c_at, c_row, k, m, n, start_at, floor
        i = types.intp
        return types.void(a, i, i, w, i, c, i, i, i, i, i, start, i, a.dtype), generate

    return intrinsic(dots)


def _sums_of_rows(vectors: int, rows_at_once: int, *, whole: bool = False) -> Any:
    """The sums over the rows of the first ``columns`` columns, so many vectors or less, of a matrix of ``n`` columns.

    ``whole`` says that it is so many vectors: masks take time.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, at, rows, n, columns, out, out_at = arguments
        kind, integer = signature.args[0], ir.IntType(64)
        vector = Vectors(builder, kind.dtype)
        a, out = (pointer_to(context, builder, kind, x, where) for x, where in ((a, at), (out, out_at)))
        lengths = [ir.Constant(integer, v * vector.length) for v in range(vectors)]
        masks = [None if whole else vector.first(builder.sub(columns, length)) for length in lengths]
        sums = [[cgutils.alloca_once_value(builder, vector.zero()) for _ in lengths] for _ in range(rows_at_once)]
        at_once = ir.Constant(integer, rows_at_once)
        done = builder.mul(builder.udiv(rows, at_once), at_once)

        def add(row: Any, totals: list[Any]) -> None:
            place = builder.gep(a, [builder.mul(row, n)])
            for length, mask, total in zip(lengths, masks, totals, strict=True):
                part = vector.load(builder.gep(place, [length]), mask)
                builder.store(builder.fadd(builder.load(total), part), total)

        with cgutils.for_range_slice(builder, ir.Constant(integer, 0), done, at_once) as (row, _):
            for number, totals in enumerate(sums):
                add(builder.add(row, ir.Constant(integer, number)), totals)
        with cgutils.for_range_slice(builder, done, rows, ir.Constant(integer, 1)) as (row, _):
            add(row, sums[0])
        for v, (length, mask) in enumerate(zip(lengths, masks, strict=True)):
            total = builder.load(sums[0][v])
            for other in sums[1:]:
                total = builder.fadd(total, builder.load(other[v]))
            vector.store(total, builder.gep(out, [length]), mask)
        return context.get_dummy_value()

    def sums_of_rows(typing: Any, a: Any, at: Any, rows: Any, n: Any, columns: Any, out: Any, out_at: Any) -> Any:
        del typing, at, rows, n, columns, out_at
        i = types.intp
        return types.void(a, i, i, i, i, out, i), generate

    return intrinsic(sums_of_rows)


@intrinsic  # type: ignore[untyped-decorator]
def copy(typing: Any, source: Any, at: Any, width: Any, out: Any, out_at: Any) -> Any:
    """Copy ``width`` numbers."""
    del typing, at, width, out_at

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, at, width, out, out_at = arguments
        kind = signature.args[0]
        vector = Vectors(builder, kind.dtype)
        source, out = (pointer_to(context, builder, kind, x, where) for x, where in ((source, at), (out, out_at)))

        def copy(place: Any, mask: Mask | None) -> None:
            if mask is None or not STORES_IN_PARTS:
                vector.store(vector.load(builder.gep(source, [place]), mask), builder.gep(out, [place]), mask)
                return
            with repeated(builder, mask.count) as number:
                at = builder.add(place, number)
                builder.store(builder.load(builder.gep(source, [at])), builder.gep(out, [at]))

        vector.over(width, copy)
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i, out, i), generate


@intrinsic  # type: ignore[untyped-decorator]
def fetch(typing: Any, source: Any, at: Any, width: Any) -> Any:
    """Have ``width`` numbers brought nearer, without waiting for them."""
    del typing, at, width

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, at, width = arguments
        kind, byte, flag = signature.args[0], ir.IntType(8).as_pointer(), ir.IntType(32)
        source = pointer_to(context, builder, kind, source, at)
        instruction = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        prefetch = cgutils.get_or_insert_function(builder.module, instruction, "llvm.prefetch.p0")
        line = ir.Constant(ir.IntType(64), LINE_BYTES // (kind.dtype.bitwidth // 8))
        read, near, data = (ir.Constant(flag, number) for number in (0, 3, 1))
        lines = builder.udiv(builder.add(width, builder.sub(line, ir.Constant(ir.IntType(64), 1))), line)
        with cgutils.for_range(builder, lines) as loop:
            place = builder.gep(source, [builder.mul(loop.index, line)])
            builder.call(prefetch, [builder.bitcast(place, byte), read, near, data])
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i), generate


@intrinsic  # type: ignore[untyped-decorator]
def first_largest(typing: Any, a: Any, at: Any, n: Any) -> Any:
    """The place in a row of ``n`` numbers, a vector or less, of the first of the largest; of a row with a NaN, any number."""
    del typing, at, n

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, at, n = arguments
        vector = Vectors(builder, signature.args[0].dtype)
        mask = vector.first(n)
        row = vector.load(pointer_to(context, builder, signature.args[0], a, at), mask)
        row = builder.select(mask.places, row, vector.constant(-np.inf))
        are_it = builder.fcmp_ordered("==", row, vector.largest(row))
        places = builder.zext(builder.bitcast(are_it, ir.IntType(vector.length)), ir.IntType(64))
        return builder.cttz(places, ir.Constant(ir.IntType(1), 0))

    return types.intp(a, types.intp, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def unowned(typing: Any, array: Any) -> Any:
    """The array without its owner, the references to which would else be counted at every slice."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), generate


def _adam_on(vector: Vectors, pointers: list[Any], gradient: Any, rates: list[Any], mask: Mask | None) -> None:
    """Adam's step of a vector: ``m = kept_1 m + g``, ``v = kept_2 v + g^2``, ``theta -= rate m / (sqrt(v) + least)``."""
    kept_1, kept_2, least, rate = rates
    theta, m, v = (vector.load(pointer, mask) for pointer in pointers)
    m = vector.add_product(kept_1, m, gradient)
    v = vector.add_product(kept_2, v, vector.product(gradient, gradient))
    step = vector.quotient(vector.product(rate, m), vector.sum(vector.root(v), least))
    for value, pointer in zip((vector.difference(theta, step), m, v), pointers, strict=True):
        vector.store(value, pointer, mask)


@intrinsic  # type: ignore[untyped-decorator]
def adam_vectors(
    typing: Any, theta: Any, m: Any, v: Any, at: Any, gradient: Any, gradient_at: Any, n: Any,
    kept_1: Any, kept_2: Any, least: Any, rate: Any,
) -> Any:  # fmt: skip
    """Adam's step of ``n`` numbers; see `_adam_on`."""
    del typing, at, gradient_at, n, kept_1, kept_2, least, rate

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        theta, m, v, at, gradient, gradient_at, n = arguments[:7]
        kind = signature.args[0]
        vector = Vectors(builder, kind.dtype)
        begins = ((theta, at), (m, at), (v, at), (gradient, gradient_at))
        pointers = [pointer_to(context, builder, kind, array, where) for array, where in begins]
        rates = [vector.fill(number) for number in arguments[7:]]

        def update(place: Any, mask: Mask | None) -> None:
            *places, from_gradient = (builder.gep(pointer, [place]) for pointer in pointers)
            _adam_on(vector, places, vector.load(from_gradient, mask), rates, mask)

        vector.over(n, update)
        return context.get_dummy_value()

    i, a = types.intp, theta.dtype
    return types.void(theta, m, v, i, gradient, i, i, a, a, a, a), generate


@intrinsic  # type: ignore[untyped-decorator]
def transpose_block(
    typing: Any, w: Any, w_at: Any, w_row: Any, rows: Any, columns: Any, out: Any, out_at: Any, out_row: Any
) -> Any:
    """Transpose a square as wide as a vector; beyond ``rows`` and ``columns`` there is anything in ``out``."""
    del typing, w_at, w_row, rows, columns, out_at, out_row

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, w_at, w_row, rows, columns, out, out_at, out_row = arguments
        vector = Vectors(builder, signature.args[0].dtype)
        w, out = (pointer_to(context, builder, signature.args[0], x, at) for x, at in ((w, w_at), (out, out_at)))
        mask, whole = vector.first(columns), vector.first(ir.Constant(ir.IntType(64), vector.length))
        last = builder.sub(rows, ir.Constant(ir.IntType(64), 1))
        lines = []
        for i in range(vector.length):
            number = ir.Constant(ir.IntType(64), i)
            inside = builder.select(builder.icmp_signed("<", number, last), number, last)
            lines.append(vector.load(builder.gep(w, [builder.mul(inside, w_row)]), mask))
        for i, line in enumerate(vector.turned(lines)):
            number = ir.Constant(ir.IntType(64), i)
            vector.store(line, builder.gep(out, [builder.mul(number, out_row)]), whole)
        return context.get_dummy_value()

    i = types.intp
    return types.void(w, i, i, i, i, out, i, i), generate


tile, low_tile = _tile((TILE_ROWS,)), _tile(LOW_ROWS)
placed_tile, low_placed_tile = _tile((TILE_ROWS,), placed=True), _tile(LOW_ROWS, placed=True)
slim_sums, sums_of_pairs, wide_sums = (
    _sums_of_rows(1, 4),
    _sums_of_rows(2, 4, whole=True),
    _sums_of_rows(8, 1, whole=True),
)
dots_in_a_square = _dots(*DOTS)
dots_of_one, dots_of_two = (_dots(NARROW_ROWS, n, is_together=True) for n in (1, 2))
