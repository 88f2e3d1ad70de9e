"""Products of float32 matrices on Intel's Advanced Matrix Extensions (AMX), as exact as without them.

AMX multiplies matrices of bfloat16, numbers of 8 significant bits, and adds up in float32. A float32 has 24 bits: it is the
sum of three such numbers, without any rest. Of the nine products of two such sums, six are made; what the other three
would add is at most 2^-24 of the product, as much as one rounding in float32 may take away.

What is multiplied is packed first. A packed block has 16 rows (or columns) of 32 numbers that are summed over, as 16 pairs:
pair *j* has those of places *j* and *j + 16*. It is there three times, for the three parts of its numbers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from engine.vectors import HAS_AMX, VECTOR_BYTES, Vectors, apart, pointer_to

SIDE = 16
"""Rows of a block, and its columns of float32 or of pairs of bfloat16."""
DEEP = 2 * SIDE
"""Products that a block sums up."""
BLOCK = SIDE * SIDE
PARTS = HIGH, MIDDLE, LOW = range(3)
LEFT, RIGHT = (HIGH, LOW, MIDDLE), (LOW, MIDDLE, HIGH)
"""In which order the parts of two neighbouring blocks follow one another: the one in which they are needed."""
LEFT_PLACES, RIGHT_PLACES = (tuple(2 * BLOCK * order.index(part) for part in PARTS) for order in (LEFT, RIGHT))
"""Where each of the parts begins."""
PACKED = len(PARTS) * BLOCK
"""How much a packed block takes, counted in float32."""
TALL = WIDE = 2 * SIDE
"""Rows and columns that are made at once: four blocks of sums, which leaves four registers for what is multiplied."""


def _is_for(kind: Any) -> bool:
    return HAS_AMX and kind.dtype == types.float32


def _instruction(builder: Any, name: str, *arguments: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments)


def _register(number: int) -> Any:
    return ir.Constant(ir.IntType(8), number)


def _integer(number: int) -> Any:
    return ir.Constant(ir.IntType(64), number)


@intrinsic  # type: ignore[untyped-decorator]
def begin(typing: Any) -> Any:
    """Set all eight registers to blocks of 16 rows of 64 bytes."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del signature, arguments
        if HAS_AMX:
            settings = bytes([1] + 15 * [0]) + 8 * b"\x40\x00" + bytes(16) + 8 * b"\x10" + bytes(8)
            where = cgutils.global_constant(builder, "amx_settings", cgutils.make_bytearray(settings))
            _instruction(builder, "ldtilecfg", builder.bitcast(where, ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic  # type: ignore[untyped-decorator]
def end(typing: Any) -> Any:
    """Give the registers back: a process that uses none of them is switched to and from faster."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del signature, arguments
        if HAS_AMX:
            _instruction(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


class _Source(NamedTuple):
    """What is packed, as LLVM's values; see `_pack`."""

    pointer: Any
    step: Any
    second: Any
    rows: Any
    second_rows: Any
    columns: Any
    second_columns: Any
    out: Any
    middle: Any
    low: Any


def _pack(name: str, *, turned: bool) -> Any:
    """Pack a block.

    ``pack(source, at, step, second, rows, second_rows, columns, second_columns, out, out_at, middle, low)`` pairs the numbers of 16
    rows, ``step`` apart, with those of 16 others, which begin ``second`` after them; each row has 16 columns. Where there are
    fewer ``rows`` or ``columns`` (none if negative), zeros take their place. A row is a row of the block; ``turned``, a column.
    """

    def lines(vector: Vectors, source: _Source, whole: bool, row: Any) -> tuple[Any, Any]:
        builder = vector.builder
        found = []
        for offset, rows, columns in (
            (None, source.rows, source.columns),
            (source.second, source.second_rows, source.second_columns),
        ):
            place = builder.mul(row, source.step)
            mask = None
            if not whole:
                is_there = builder.icmp_signed("<", row, rows)
                mask = vector.first(builder.select(is_there, columns, _integer(0)))
            place = builder.add(place, offset) if offset is not None else place
            found.append(vector.load(builder.gep(source.pointer, [place]), mask))
        return found[0], found[1]

    def store(vector: Vectors, pair: tuple[Any, Any], source: _Source, row: Any) -> None:
        """The three parts of a row of pairs; a number is rounded to 8 bits by adding a half of the last, and cut there."""
        builder = vector.builder
        bits = ir.VectorType(ir.IntType(32), SIDE)
        half, kept, up = (ir.Constant(bits, [number] * SIDE) for number in (0x8000, 0xFFFF0000, 16))
        first, second = pair
        out = builder.gep(source.out, [builder.mul(row, _integer(SIDE))])
        for part, after in enumerate((_integer(0), source.middle, source.low)):
            cut = []
            for number in (first, second):
                of_it = builder.bitcast(number, bits)
                cut.append(of_it if part == LOW else builder.and_(builder.add(of_it, half), kept))
            both = builder.or_(builder.lshr(cut[0], up), cut[1])
            vector.store(builder.bitcast(both, first.type), builder.gep(out, [after]), None)
            if part != LOW:
                first, second = (
                    vector.difference(number, builder.bitcast(its, number.type))
                    for number, its in zip((first, second), cut, strict=True)
                )

    def body(dtype: Any, whole: bool, builder: Any, *arguments: Any) -> None:
        vector, source = Vectors(builder, dtype), _Source(*arguments)
        if not turned:
            with cgutils.for_range(builder, _integer(SIDE)) as loop:
                pair = lines(vector, source, whole, loop.index)
                store(vector, pair, source, loop.index)
            return
        pairs = [lines(vector, source, whole, _integer(row)) for row in range(SIDE)]
        columns = [vector.turned([pair[number] for pair in pairs]) for number in range(2)]
        for row, pair in enumerate(zip(*columns, strict=True)):
            store(vector, pair, source, _integer(row))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, at, *numbers, out, out_at, middle, low = arguments
        kind = signature.args[0]
        if _is_for(kind):
            source, out = (pointer_to(context, builder, kind, x, place) for x, place in ((source, at), (out, out_at)))
            places = source, *numbers, out, middle, low
            whole, masked = (
                apart(builder, f"amx_{name}_{is_whole}", partial(body, kind.dtype, is_whole), *places)
                for is_whole in (True, False)
            )
            are_whole = [builder.icmp_signed(">=", number, _integer(SIDE)) for number in numbers[2:]]
            is_whole = builder.and_(builder.and_(*are_whole[:2]), builder.and_(*are_whole[2:]))
            builder.call(builder.select(is_whole, whole, masked), places)
        return context.get_dummy_value()

    def pack(
        typing: Any, source: Any, at: Any, step: Any, second: Any, rows: Any, second_rows: Any, columns: Any,
        second_columns: Any, out: Any, out_at: Any, middle: Any, low: Any,
    ) -> Any:  # fmt: skip
        del typing, at, step, second, rows, second_rows, columns, second_columns, out_at, middle, low
        i = types.intp
        return types.void(source, i, i, i, i, i, i, i, out, i, i, i), generate

    return intrinsic(pack)


class _Places(NamedTuple):
    """What the code of a few blocks is given, as LLVM's values; see `multiply_blocks`."""

    a: Any
    b: Any
    depth: Any
    c: Any
    c_row: Any
    rows: Any
    columns: Any
    start: Any
    given: Any
    floor: Any
    slope: Any
    slopes: Any
    added: Any


def _sum_up(builder: Any, high: int, wide: int, places: _Places) -> None:
    """The products of ``high`` rows of packed blocks with ``wide`` columns of them, to registers 0 to 3.

    Registers 4 and 5 have a part of two blocks of ``a``, 6 and 7 of ``b``. What is in them is used as often as may be.
    """
    stride, size = _integer(4 * SIDE), _integer(2 * PACKED)
    for number in range(high * wide):
        _instruction(builder, "tilezero", _register(number))

    def load(register: int, pointer: Any, blocks: int, place: int, at: Any) -> None:
        for number in range(blocks):
            after = builder.add(at, _integer((2 * place + number) * BLOCK))
            where = builder.bitcast(builder.gep(pointer, [after]), ir.IntType(8).as_pointer())
            _instruction(builder, "tileloadd64", _register(register + number), where, stride)

    with cgutils.for_range(builder, places.depth) as loop:
        at = builder.mul(loop.index, size)
        before = (-1, -1)
        for of_a, of_b in ((HIGH, LOW), (HIGH, MIDDLE), (HIGH, HIGH), (LOW, HIGH), (MIDDLE, HIGH), (MIDDLE, MIDDLE)):
            if of_a != before[0]:
                load(4, places.a, high, LEFT.index(of_a), at)
            if of_b != before[1]:
                load(6, places.b, wide, RIGHT.index(of_b), at)
            before = of_a, of_b
            for i in range(high):
                for j in range(wide):
                    _instruction(builder, "tdpbf16ps", *map(_register, (i * wide + j, 4 + i, 6 + j)))


def _finish(builder: Any, high: int, wide: int, places: _Places) -> None:
    """Write the sums to ``c``, with all that is done to them on the way."""
    vector = Vectors(builder, types.float32)
    sums = builder.alloca(ir.ArrayType(ir.FloatType(), high * wide * BLOCK))
    sums.align = VECTOR_BYTES
    sums = builder.bitcast(sums, ir.FloatType().as_pointer())
    for number in range(high * wide):
        i, j = divmod(number, wide)
        where = builder.gep(sums, [_integer(i * SIDE * SIDE * wide + j * SIDE)])
        where = builder.bitcast(where, ir.IntType(8).as_pointer())
        _instruction(builder, "tilestored64", _register(number), where, _integer(4 * SIDE * wide))
    lengths = [_integer(SIDE * j) for j in range(wide)]
    masks = [vector.first(builder.sub(places.columns, length)) for length in lengths]
    first = [
        vector.load(builder.gep(places.start, [length]), vector.first(builder.sub(places.given, length)))
        for length in lengths
    ]
    is_added = builder.fcmp_ordered("!=", places.added, ir.Constant(places.added.type, 0.0))
    times = vector.fill(places.added)
    with cgutils.for_range(builder, places.rows) as loop:
        below = builder.mul(loop.index, places.c_row)
        for j, (length, mask) in enumerate(zip(lengths, masks, strict=True)):
            place = builder.add(below, length)
            from_here = builder.add(builder.mul(loop.index, _integer(SIDE * wide)), _integer(SIDE * j))
            total = vector.load(builder.gep(sums, [from_here]), None)
            value = cgutils.alloca_once_value(builder, vector.sum(total, first[j]))
            with builder.if_then(is_added):
                before = vector.load(builder.gep(places.c, [place]), mask)
                builder.store(vector.add_product(times, builder.load(value), before), value)
            with builder.if_then(places.slopes):
                a_i = vector.load(builder.gep(places.slope, [place]), mask)
                builder.store(vector.where_positive(a_i, builder.load(value)), value)
            result = vector.at_least(places.floor, builder.load(value))
            vector.store(result, builder.gep(places.c, [place]), mask)


def _blocks(high: int, wide: int) -> Callable[..., None]:
    def body(builder: Any, *arguments: Any) -> None:
        places = _Places(*arguments)
        _sum_up(builder, high, wide, places)
        _finish(builder, high, wide, places)

    return body


@intrinsic  # type: ignore[untyped-decorator]
def multiply_blocks(
    typing: Any, a: Any, a_at: Any, b: Any, b_at: Any, depth: Any, c: Any, c_at: Any, c_row: Any, rows: Any, columns: Any,
    start: Any, start_at: Any, floor: Any, slope: Any, slope_at: Any, factor: Any,
) -> Any:  # fmt: skip
    """Up to `TALL` rows and `WIDE` columns of ``c``, of packed ``a`` and ``b``: ``depth`` blocks after one another.

    The next 16 rows, or columns, are as many blocks further. ``start``, ``floor``, ``slope`` and ``factor`` are as in
    `engine.tiles`.
    """
    del typing, a_at, b_at, depth, c_at, c_row, rows, columns, start_at, floor, slope_at, factor

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_at, b, b_at, depth, c, c_at, c_row, rows, columns, start, start_at, floor = arguments[:13]
        slope, slope_at, factor = arguments[13:]
        kind = signature.args[0]
        if not _is_for(kind):
            return context.get_dummy_value()
        begins = ((a, a_at), (b, b_at), (c, c_at), (start, start_at), (slope, slope_at))
        a, b, c, start, slope = (pointer_to(context, builder, kind, x, at) for x, at in begins)
        given = builder.select(builder.icmp_signed("<", start_at, _integer(0)), _integer(0), columns)
        slopes = builder.icmp_signed(">=", slope_at, _integer(0))
        places = _Places(a, b, depth, c, c_row, rows, columns, start, given, floor, slope, slopes, factor)
        made = {
            (high, wide): apart(builder, f"amx_{high}_{wide}", _blocks(high, wide), *places)
            for high in (1, 2)
            for wide in (1, 2)
        }
        is_high, is_wide = (builder.icmp_signed(">", number, _integer(SIDE)) for number in (rows, columns))
        low, tall = (builder.select(is_wide, made[high, 2], made[high, 1]) for high in (1, 2))
        builder.call(builder.select(is_high, tall, low), places)
        return context.get_dummy_value()

    i, one = types.intp, a.dtype
    return types.void(a, i, b, i, i, c, i, i, i, i, start, i, one, slope, i, one), generate


pack, pack_turned = _pack("pack", turned=False), _pack("turned", turned=True)
