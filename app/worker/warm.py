"""Compiles the engine's steps, or loads them from Numba's cache: `python -m app.worker.warm` when an image is built."""

from engine import kernels

DTYPES = ("float32", "float64")


def warm_all() -> None:
    """Have the compiled steps ready in this process, if they can be had at all."""
    if kernels.is_installed():
        for dtype in DTYPES:
            kernels.warm(dtype)


if __name__ == "__main__":
    warm_all()
