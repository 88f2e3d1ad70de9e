"""What the bits of a training depend on, besides what was asked: the receipt class."""

import ctypes
import platform
from functools import cache
from hashlib import sha256
from importlib import import_module
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np

from app.contract.jobs import Resolved
from engine import __version__ as engine_version
from engine import kernels

# Recorded, but trainings on machines that differ only in these have the same bits.
WITHOUT_EFFECT = frozenset({"python"})
_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "")


def environment(resolved: Resolved) -> dict[str, Any]:
    """Say what trains here: versions, the matrix library and the kernel that it chose, threads, and compiled code."""
    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    return {
        "engine": engine_version,
        "numpy": np.__version__,
        "simd": ",".join(built["SIMD Extensions"].get("found", ())),
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "blas_kernel": blas_kernel(),
        "kernels": resolved.kernels,
        **(_compiler() if resolved.kernels == "numba" else dict.fromkeys(("numba", "llvmlite", "cpu"))),
        "threads": resolved.training["threads"],
        "dtype": resolved.training["dtype"],
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
    }


def class_of(environment: dict[str, Any]) -> str:
    """Name the class of an environment: trainings of one class have the same bits."""
    counted = {name: value for name, value in environment.items() if name not in WITHOUT_EFFECT}
    return sha256(dumps(counted, sort_keys=True).encode()).hexdigest()


@cache
def blas_kernel() -> str | None:
    """Ask OpenBLAS which kernel it took for this processor (`OPENBLAS_CORETYPE` overrides it); None for another library."""
    for path in _loaded("openblas"):
        library = ctypes.CDLL(path)
        for name in (f"{prefix}_get_corename{suffix}" for prefix in _PREFIXES for suffix in _SUFFIXES):
            ask = getattr(library, name, None)
            if ask is not None:
                ask.restype = ctypes.c_char_p
                return str(ask().decode())
    return None


def _loaded(word: str) -> list[str]:
    """The libraries of this process whose file name has a word in it."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    paths = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6}
    return sorted(path for path in paths if word in path.rpartition("/")[2] and ".so" in path)


@cache
def _compiler() -> dict[str, Any]:
    return {
        "numba": import_module("numba").__version__,
        "llvmlite": import_module("llvmlite").__version__,
        "cpu": kernels.cpu(),
    }
