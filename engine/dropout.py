"""Inverted dropout: in a step of the training each unit is silent with probability ``p``, the others ``1 / (1 - p)`` louder."""

import numpy as np
from jaxtyping import Float

from engine.arrays import Array


def drop(
    a: Float[Array, "batch n"],
    p: float,
    generator: np.random.Generator,
    *,
    out: Float[Array, "batch n"],
    mask: Float[Array, "batch n"],
) -> None:
    """``out = m (.) a`` with a new mask ``m`` of ``0`` and ``1 / (1 - p)``; the next layer sees ``out``."""
    generator.random(dtype=mask.dtype, out=mask)
    np.greater_equal(mask, p, mask)
    np.multiply(mask, 1.0 / (1.0 - p), mask)
    np.multiply(a, mask, out)


def drop_error(mask: Float[Array, "batch n"], *, out: Float[Array, "batch n"]) -> None:
    """The error of what was dropped is dropped: ``delta <- m (.) delta``."""
    np.multiply(out, mask, out)
