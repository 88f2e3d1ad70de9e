"""What the machine has: LLVM's vectors for the tiles, and the sizes that suit it."""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name, get_process_triple
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic


def _features() -> dict[str, bool]:
    """What the machine can do, or what Numba has been told to use of it by ``NUMBA_CPU_FEATURES``."""
    if config.CPU_FEATURES is None:
        return dict(get_host_cpu_features())
    return {name[1:]: name[0] == "+" for name in config.CPU_FEATURES.split(",") if name}


def _amx_is_permitted() -> bool:
    """Ask Linux for the registers of AMX, which no process has from the start: they are large."""
    arch_prctl, ask_for_state, tile_data = 158, 0x1023, 18
    return sys.platform == "linux" and ctypes.CDLL(None).syscall(arch_prctl, ask_for_state, tile_data) == 0


IS_X86 = get_process_triple().startswith("x86_64")
FEATURES = _features()
CPU_NAME: str = config.CPU_NAME or get_host_cpu_name()
"""As LLVM calls it, or what Numba has been told by ``NUMBA_CPU_NAME``."""
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx") else 16
HAS_AMX = bool(FEATURES.get("amx-tile") and FEATURES.get("amx-bf16") and VECTOR_BYTES == 64 and _amx_is_permitted())
"""Whether this process multiplies large float32 matrices by `engine.amx`."""
TILE_ROWS = 6
"""With `TILE_VECTORS`, as many sums as the registers hold: there are 16 of 32 bytes, and 32 of the others."""
TILE_VECTORS = 2 if VECTOR_BYTES == 32 else 4
LOW_ROWS = 2, 4
"""The rows of the tiles that are for what is left below those."""
VECTORS_AHEAD = 3
"""So much of rows that may be anywhere is fetched before the tile that begins with them; a machine goes on by itself."""
ROOTS_ASIDE = CPU_NAME == "znver4"
"""Whether exact roots are taken, not made better from estimates: Zen 4 has them beside its products, in two thirds of the time."""
SLOW_LOADS = CPU_NAME == "icelake-server"
"""Whether vectors take longer to load than to multiply: of 64 bytes, 0.26 ns and 0.17 on Ice Lake."""
STORES_IN_PARTS = VECTOR_BYTES < 64
"""Whether a masked store takes as long as many others: on AMD before AVX-512, 18 cycles; before AVX there is none."""
DOTS, NARROW_ROWS = ((3, 3), 4) if VECTOR_BYTES == 32 else ((5, 5), 8)
FEW_ROWS, LONG_ROW = 16, 64
"""Up to so many rows, and from so many inputs on, transposing ``W`` takes longer than it gains."""
LINE_BYTES = 64
WIDE_ROW_BYTES, ROWS_AHEAD = 512, 4
"""A row that is so long is fetched so many rows before it is copied; of shorter ones a machine is several ahead by itself."""
LARGE_BYTES, PARTS_BYTES = 1 << 18 if VECTOR_BYTES == 32 else 1 << 19, 1 << 19
"""The right side of a product that is so large is copied as it is used; so large a left side, too, and goes in parts."""
TURNED_BYTES = 1 << 18 if VECTOR_BYTES == 32 else 1 << 30
"""Weights that take less are kept transposed where that pays; larger ones are better copied panel by panel."""
DEPTH = 512 if VECTOR_BYTES == 32 else 192
"""So many columns of the left side are a part at most: a panel of as many rows is about as large as the nearest cache."""
NEAR_BYTES = 1 << 16
"""What is used soon after it was made."""
FAR_BYTES = 1 << 21
"""Rows of so many bytes are so far away that they are fetched before they are needed."""


def _bytes() -> Any:
    return ir.IntType(8).as_pointer()


class Mask(NamedTuple):
    """The first ``count`` places of a vector: none if it is negative, all if it is large; ``places`` is true in these."""

    count: Any
    places: Any


class Vectors:
    """Vectors of one dtype, as LLVM's instructions on them."""

    def __init__(self, builder: Any, dtype: Any) -> None:
        self.builder = builder
        self._itemsize = dtype.bitwidth // 8
        self.length = VECTOR_BYTES // self._itemsize
        self._type = ir.VectorType(ir.FloatType() if self._itemsize == 4 else ir.DoubleType(), self.length)
        self._name = f"v{self.length}f{dtype.bitwidth}"

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}")
        return self.builder.call(function, arguments)

    @property
    def is_short(self) -> bool:
        """Whether the numbers are of single precision."""
        return self._itemsize == 4

    def _places(self, places: list[int]) -> Any:
        return ir.Constant(ir.VectorType(ir.IntType(32), self.length), places)

    def _at(self, pointer: Any) -> Any:
        return self.builder.bitcast(pointer, self._type.as_pointer())

    def fill(self, number: Any) -> Any:
        """The number in every place."""
        nothing = ir.Constant(ir.VectorType(number.type, self.length), ir.Undefined)
        first = self.builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(first, nothing, self._places([0] * self.length))

    def zero(self) -> Any:
        """0 in every place."""
        return ir.Constant(self._type, [0.0] * self.length)

    def first(self, count: Any) -> Mask:
        """The mask of the first ``count`` places."""
        places = ir.Constant(ir.VectorType(ir.IntType(64), self.length), list(range(self.length)))
        return Mask(count, self.builder.icmp_signed("<", places, self.fill(count)))

    def load(self, pointer: Any, mask: Mask | None) -> Any:
        """What is in memory, and 0 where the mask is not: nothing is touched there. Without a mask all is loaded."""
        if mask is None:
            return self.builder.load(self._at(pointer), align=self._itemsize)
        align = ir.Constant(ir.IntType(32), self._itemsize)
        return self._call(
            f"masked.load.{self._name}.p0", self._type, self._at(pointer), align, mask.places, self.zero()
        )

    def store(self, vector: Any, pointer: Any, mask: Mask | None) -> None:
        """Write to memory where the mask is."""
        if mask is None:
            self.builder.store(vector, self._at(pointer), align=self._itemsize)
            return
        if STORES_IN_PARTS:
            self._store_in_parts(vector, pointer, mask.count)
            return
        align = ir.Constant(ir.IntType(32), self._itemsize)
        self._call(f"masked.store.{self._name}.p0", ir.VoidType(), vector, self._at(pointer), align, mask.places)

    def _store_in_parts(self, vector: Any, pointer: Any, count: Any) -> None:
        """Write the first ``count`` numbers, by code that is made once: it is much, for every row of every kind of tile."""
        source = cgutils.alloca_once(self.builder, self._type)
        self.builder.store(vector, source)
        arguments = source, self._at(pointer), count
        self.builder.call(apart(self.builder, f"store_{self._name}", self._copy_in_parts, *arguments), arguments)

    def _copy_in_parts(self, builder: Any, source: Any, target: Any, count: Any) -> None:
        """Copy a vector's first ``count`` numbers: half of it, a quarter, and so on, where the count has that binary digit."""
        none, most = (ir.Constant(count.type, number) for number in (0, self.length))
        with builder.if_then(builder.icmp_signed(">=", count, most)):
            builder.store(builder.load(source), target, align=self._itemsize)
            builder.ret_void()
        with builder.if_then(builder.icmp_signed("<=", count, none)):
            builder.ret_void()
        places = [cgutils.alloca_once_value(builder, builder.bitcast(p, _bytes())) for p in (source, target)]
        size = self.length // 2
        while size:
            part = ir.VectorType(self._type.element, size).as_pointer()
            digit = builder.and_(count, ir.Constant(count.type, size))
            with builder.if_then(builder.icmp_signed("!=", digit, none)):
                read, written = (builder.load(place) for place in places)
                value = builder.load(builder.bitcast(read, part), align=self._itemsize)
                builder.store(value, builder.bitcast(written, part), align=self._itemsize)
                for place, pointer in zip(places, (read, written), strict=True):
                    after = builder.gep(pointer, [ir.Constant(count.type, size * self._itemsize)])
                    builder.store(after, place)
            size //= 2

    def add_product(self, x: Any, y: Any, total: Any) -> Any:
        """``x y + total``, in one go where the machine can."""
        return self._call(f"fmuladd.{self._name}", self._type, x, y, total)

    def product(self, x: Any, y: Any) -> Any:
        """``x y``."""
        return self.builder.fmul(x, y)

    def sum(self, x: Any, y: Any) -> Any:
        """``x + y``."""
        return self.builder.fadd(x, y)

    def difference(self, x: Any, y: Any) -> Any:
        """``x - y``."""
        return self.builder.fsub(x, y)

    def after(self, pointer: Any, number: int) -> Any:
        """So many vectors further."""
        return self.builder.gep(pointer, [ir.Constant(ir.IntType(64), number * self.length)])

    def fetch(self, pointer: Any, vectors: int = 1) -> None:
        """Have so many vectors brought nearer, without waiting for them."""
        byte, flag = _bytes(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        instruction = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        read, near, data = (ir.Constant(flag, number) for number in (0, 2, 1))
        for number in range(vectors):
            place = self.builder.bitcast(self.after(pointer, number), byte)
            self.builder.call(instruction, [place, read, near, data])

    def constant(self, number: float) -> Any:
        """The number, known now, in every place."""
        return ir.Constant(self._type, [number] * self.length)

    def largest(self, x: Any) -> Any:
        """The largest number, in every place. Of a number and a NaN either may be it."""
        size = self.length // 2
        while size:
            other = self.builder.shuffle_vector(x, x, self._places([place ^ size for place in range(self.length)]))
            x = self.builder.select(self.builder.fcmp_ordered(">", x, other), x, other)
            size //= 2
        return x

    def _whole_type(self) -> Any:
        return ir.VectorType(ir.IntType(8 * self._itemsize), self.length)

    def whole(self, number: int) -> Any:
        """The whole number in every place."""
        return ir.Constant(self._whole_type(), [number] * self.length)

    def bits(self, x: Any) -> Any:
        """The bits of the numbers, as whole ones."""
        return self.builder.bitcast(x, self._whole_type())

    def from_bits(self, bits: Any) -> Any:
        """The numbers that have these bits."""
        return self.builder.bitcast(bits, self._type)

    def magnitude(self, x: Any) -> Any:
        """``|x|``."""
        return self._call(f"fabs.{self._name}", self._type, x)

    def signed(self, x: Any, y: Any) -> Any:
        """``|x|`` with the sign of ``y``."""
        return self._call(f"copysign.{self._name}", self._type, x, y)

    def within(self, least: float, most: float, x: Any) -> Any:
        """``x``, or the bound that it is beyond; a NaN is neither smaller nor larger, and stays."""
        for comparison, bound in (("<", least), (">", most)):
            limit = self.constant(bound)
            x = self.builder.select(self.builder.fcmp_ordered(comparison, x, limit), limit, x)
        return x

    def where_positive(self, x: Any, y: Any) -> Any:
        """``y`` where ``x`` is positive, and 0 elsewhere. Of a NaN or a -0 it may be either.

        Bit by bit where it can: on AMD, a comparison that makes a mask takes the place of a product.
        """
        builder = self.builder
        if VECTOR_BYTES < 64:
            return builder.select(builder.fcmp_ordered(">", x, self.zero()), y, self.zero())
        below = builder.sub(self.whole(0), self.bits(x))
        # LLVM would make a comparison of it again.
        positive = unrelated(builder, builder.ashr(below, self.whole(8 * self._itemsize - 1)))
        return self.from_bits(builder.and_(positive, self.bits(y)))

    def over(self, count: Any, act: Callable[[Any, Mask | None], None]) -> None:
        """Do ``act(place, mask)`` for each vector of ``count`` numbers; only the last one has a mask."""
        builder, length = self.builder, ir.Constant(ir.IntType(64), self.length)
        whole = builder.udiv(count, length)
        with cgutils.for_range(builder, whole) as loop:
            act(builder.mul(loop.index, length), None)
        done = builder.mul(whole, length)
        with builder.if_then(builder.icmp_signed("<", done, count)):
            act(done, self.first(builder.sub(count, done)))

    def _estimates(self) -> bool:
        """Whether the machine has estimates that a step of Newton's makes as good as single precision."""
        return bool(IS_X86 and VECTOR_BYTES == 64 and self._itemsize == 4)

    def _estimate(self, name: str, x: Any) -> Any:
        every = ir.IntType(16)
        kind = ir.FunctionType(self._type, [self._type, self._type, every])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.x86.avx512.{name}14.ps.512")
        return self.builder.call(function, [x, self.zero(), ir.Constant(every, 0xFFFF)])

    def root(self, x: Any) -> Any:
        """The square root of numbers of at least 0."""
        if ROOTS_ASIDE or not self._estimates():
            return self._call(f"sqrt.{self._name}", self._type, x)
        builder = self.builder
        x = self.within(1.2e-38, 3.4e38, x)  # the normal numbers
        guess = self._estimate("rsqrt", x)
        root = builder.fmul(x, guess)
        error = self.add_product(builder.fneg(root), guess, self.constant(1.0))
        return self.add_product(builder.fmul(root, self.constant(0.5)), error, root)

    def quotient(self, x: Any, y: Any) -> Any:
        """``x / y``."""
        if not self._estimates():
            return self.builder.fdiv(x, y)
        builder = self.builder
        guess = self._estimate("rcp", y)
        quotient = builder.fmul(x, guess)
        error = self.add_product(builder.fneg(quotient), y, x)
        return self.add_product(error, guess, quotient)

    def totals(self, vectors: list[Any]) -> list[Any]:
        """The sum of the places of each vector, one after the other in the places of as many vectors as that takes."""
        builder, found = self.builder, []
        for begin in range(0, len(vectors), self.length):
            group = vectors[begin : begin + self.length]
            lines = group + [self.zero()] * (self.length - len(group))
            size = self.length // 2
            while size:
                lines = [builder.fadd(*self.swap(lines[i], lines[i + size], size)) for i in range(size)]
                size //= 2
            found.append(lines[0])
        return found

    def numbers(self, vectors: list[Any], count: int) -> list[Any]:
        """The first ``count`` numbers that are in the vectors."""
        places = (divmod(number, self.length) for number in range(count))
        return [self.builder.extract_element(vectors[number], ir.Constant(ir.IntType(32), at)) for number, at in places]

    def again(self, x: Any, count: int) -> Any:
        """The first ``count`` places, again and again."""
        return self.builder.shuffle_vector(x, x, self._places([place % count for place in range(self.length)]))

    def at_least(self, least: Any, x: Any) -> Any:
        """``x``, or the number ``least`` where that is larger; a NaN stays."""
        floor = self.fill(least)
        return self.builder.select(self.builder.fcmp_ordered("<", x, floor), floor, x)

    def turned(self, lines: list[Any]) -> list[Any]:
        """The columns of as many vectors as one has places."""
        lines, size = list(lines), self.length // 2
        while size:
            for i in (i for i in range(self.length) if not i & size):
                lines[i], lines[i + size] = self.swap(lines[i], lines[i + size], size)
            size //= 2
        return lines

    def swap(self, upper: Any, lower: Any, size: int) -> tuple[Any, Any]:
        """Exchange the blocks of ``size`` places off the diagonal of two rows: a step of a transposition."""
        n = self.length
        first = [i if not i & size else n + i - size for i in range(n)]
        second = [i + size if not i & size else n + i for i in range(n)]
        shuffle = self.builder.shuffle_vector
        return shuffle(upper, lower, self._places(first)), shuffle(upper, lower, self._places(second))


def apart(builder: Any, name: str, generate: Callable[..., None], *arguments: Any) -> Any:
    """A function of its own for code that takes these arguments, made once by ``generate(builder, *arguments)``.

    What is called from many places is then compiled once, and has the registers for itself.
    """
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        function = ir.Function(builder.module, kind, name)
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        inside = ir.IRBuilder(function.append_basic_block())
        generate(inside, *function.args)
        inside.ret_void()
    return function


def unrelated(builder: Any, value: Any) -> Any:
    """The pointer, number or vector of 64 bytes, of which LLVM does not know how it comes from others.

    Else it counts pointers in a loop from each to the next, and all of them wait for one another.
    """
    kind = ir.FunctionType(value.type, [value.type])
    register = "v" if isinstance(value.type, ir.VectorType) else "r"
    return builder.asm(kind, "", f"={register},0", [value], side_effect=False)


@contextmanager
def repeated(builder: Any, times: Any) -> Iterator[Any]:
    """A loop that LLVM leaves as it is: it cannot tell how many times are left. The number is one less than those.

    Unrolled, a tile's loop needs twice the pointers, which are then kept in memory, and more before it than it saves.
    """
    body, end = builder.append_basic_block("body"), builder.append_basic_block("end")
    left, none = cgutils.alloca_once_value(builder, times), ir.Constant(times.type, 0)
    builder.cbranch(builder.icmp_signed(">", times, none), body, end)
    builder.position_at_end(body)
    after = unrelated(builder, builder.sub(builder.load(left), ir.Constant(times.type, 1)))
    yield after
    builder.store(after, left)
    builder.cbranch(builder.icmp_signed(">", after, none), body, end)
    builder.position_at_end(end)


def pointer_to(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """The address of a number of a flat array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


@intrinsic  # type: ignore[untyped-decorator]
def address_of(typing: Any, array: Any, at: Any) -> Any:
    """The address of a number of a flat array, to be fetched."""
    del typing, at

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(pointer_to(context, builder, signature.args[0], *arguments), ir.IntType(64))

    return types.intp(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def itemsize_of(typing: Any, array: Any) -> Any:
    """The bytes of a number of an array, known as the code is made: ``array.itemsize`` is read as it runs."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, builder, arguments
        return ir.Constant(ir.IntType(64), signature.args[0].dtype.bitwidth // 8)

    return types.intp(array), generate


@intrinsic  # type: ignore[untyped-decorator]
def swap_control_word(typing: Any, word: Any) -> Any:
    """Set how the machine treats special numbers, and give what was set before; 0 is for "read, and change nothing"."""
    del typing, word

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        kind = ir.IntType(32)
        before = cgutils.alloca_once_value(builder, ir.Constant(kind, 0))
        if IS_X86:
            wanted = cgutils.alloca_once_value(builder, arguments[0])
            byte = ir.IntType(8).as_pointer()
            instruction = ir.FunctionType(ir.VoidType(), [byte])
            read, write = (
                cgutils.get_or_insert_function(builder.module, instruction, f"llvm.x86.sse.{name}")
                for name in ("stmxcsr", "ldmxcsr")
            )
            builder.call(read, [builder.bitcast(before, byte)])
            with builder.if_then(builder.icmp_unsigned("!=", arguments[0], ir.Constant(kind, 0))):
                builder.call(write, [builder.bitcast(wanted, byte)])
        return builder.load(before)

    return types.uint32(types.uint32), generate
