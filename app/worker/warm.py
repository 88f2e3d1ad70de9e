"""Compiles the engine's steps, or loads them from Numba's cache: `python -m app.worker.warm` when an image is built."""

import subprocess
import sys

from engine import kernels

DTYPES = ("float32", "float64")


def warm_all() -> None:
    """Have the compiled steps ready in this process, if they can be had at all."""
    for dtype in DTYPES:
        _warm(dtype)


def _warm(dtype: str) -> None:
    if kernels.is_installed():
        kernels.warm(dtype)


def main() -> int:
    """Fill the cache, each dtype in a process of its own; give how many of them failed."""
    started = [subprocess.Popen([sys.executable, "-m", "app.worker.warm", dtype]) for dtype in DTYPES]
    return sum(process.wait() != 0 for process in started)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    _warm(sys.argv[1])
