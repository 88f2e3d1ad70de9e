"""The array type that every shape in the engine is written against, and how a buffer is made."""

from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]

VECTOR_BYTES = 64


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A C-ordered array of anything, which begins where a machine's widest vector may: others are read in two parts."""
    size_bytes = prod(shape) * np.dtype(dtype).itemsize
    whole = np.empty(size_bytes + VECTOR_BYTES, np.uint8)
    start = -whole.ctypes.data % VECTOR_BYTES
    return whole[start : start + size_bytes].view(dtype).reshape(shape)


def aligned_rows(n_rows: int, n: int, dtype: DTypeLike) -> Array:
    """Rows of ``n`` zeros, each of which begins as an array of `empty` does, and so has some room after it."""
    length = VECTOR_BYTES // np.dtype(dtype).itemsize
    rows = empty((n_rows, -(-n // length) * length), dtype)
    rows.fill(0.0)
    return rows[:, :n]


def with_room(rows: Array) -> Array:
    """Rows of `aligned_rows` with the room after each, so that one follows the other; others have none, and stay the same."""
    return as_strided(rows, (len(rows), rows.strides[0] // rows.itemsize))
