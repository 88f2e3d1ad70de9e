"""The array type that every shape in the engine is written against, and how a buffer is made."""

from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]

VECTOR_BYTES = 64


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A C-ordered array of anything, which begins where a machine's widest vector may: others are read in two parts."""
    size_bytes = prod(shape) * np.dtype(dtype).itemsize
    whole = np.empty(size_bytes + VECTOR_BYTES, np.uint8)
    start = -whole.ctypes.data % VECTOR_BYTES
    return whole[start : start + size_bytes].view(dtype).reshape(shape)
