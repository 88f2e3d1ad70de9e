"""How a function becomes machine code.

``contract`` lets LLVM multiply and add in one go; it may not assume that numbers are finite, nor change the order of a
sum.
"""

import fcntl
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import _dynfunc, njit
from numba.core.caching import IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering

from engine.vectors import HAS_AMX

F = TypeVar("F", bound=Callable[..., Any])

SOURCES = (
    "vectors.py", "jit.py", "tiles.py", "amx.py", "products.py", "sparse.py", "curves.py", "elementwise.py", "pcg.py",
    "shuffle.py", "compiled.py",
)  # fmt: skip
"""The files that all machine code is made from."""


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """LLVM's code of a function that others are made of; they contain it, so no machine code is made of it by itself."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPart(NativeLowering):  # type: ignore[misc]
    """Makes a `_Part` of a function."""

    _name = "lower_part"

    def run_pass(self, state: Any) -> bool:
        """Do as Numba does, but for the function that Python would call: there is nothing behind it."""
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        described = lowered.fndesc
        known_by = _dynfunc.make_function(
            described.lookup_module(), described.qualname, "", 0, lowered.env, (state.library,)
        )
        state.targetctx.insert_user_function(known_by, described, [state.library])
        state.reload_init.extend(state.library._reload_init)
        state["cr"] = lowered._replace(cfunc=known_by)
        return True


class _PartCompiler(CompilerBase):  # type: ignore[misc]
    """Numba's compiler with `_LowerPart`: a third of the time was for machine code that nobody called."""

    def define_pipelines(self) -> list[PassManager]:
        """The passes of Numba's own."""
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(_LowerPart if one is NativeLowering else one, name) for one, name in manager.passes]
        manager.finalize()
        return [manager]


OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy"}
INNER = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": _PartCompiler}
"""For what is called from machine code alone."""


class _Kept(IndexDataCacheFile):  # type: ignore[misc]
    """What a function has been compiled to, in files that several processes may add to at once."""

    def save(self, key: Any, data: Any) -> None:
        """Add it to what is there: Numba reads the index, and writes another one."""
        with Path(f"{self._index_path}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            super().save(key, data)


def compiled(function: F) -> F:
    """The function as machine code, kept on disk where there is a place that can be written to.

    What is kept is out of date when any of `SOURCES` has changed: by itself, Numba looks at the function's own file only.
    With AMX it has files of its own: processes that may use it and others would else throw away what the other kept.
    """
    try:
        dispatcher = njit(cache=True, **OPTIONS)(function)
    except RuntimeError:
        return cast("F", njit(**OPTIONS)(function))
    sources = b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES)
    cache = dispatcher._cache
    name = cache._impl.filename_base + (".amx" if HAS_AMX else "")
    cache._cache_file = _Kept(cache._cache_path, name, sha256(sources).hexdigest())
    return cast("F", dispatcher)


def inlined(function: F) -> F:
    """A part of a compiled function."""
    return cast("F", njit(**INNER, forceinline=True)(function))


def called(function: F) -> F:
    """A part of a compiled function that stays a function: calls take time, but to compile it once, less."""
    # If nothing were said, it would be as in the function that it is first compiled for.
    return cast("F", njit(**INNER, forceinline=False)(function))
