"""What is asked of a whole gradient: its length, whether it is finite, and that it is not too long."""

from math import isfinite, sqrt

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.spec import TrainingSpec


def norm_of(gradient: Float[Array, " n"]) -> float:
    """L2 norm; scaled first only where the squares would overflow."""
    square = float(np.dot(gradient, gradient))
    if isfinite(square):
        return sqrt(square)
    largest = float(np.maximum(gradient.max(), -gradient.min()))
    return largest * float(np.linalg.norm(gradient / largest)) if isfinite(largest) else largest


def are_finite(parameters: Float[Array, " n"]) -> bool:
    """Whether all are finite; element by element only where the sum of squares overflows."""
    return isfinite(np.dot(parameters, parameters)) or bool(np.isfinite(parameters).all())


def clip(gradient: Float[Array, " n"], training: TrainingSpec) -> float:
    """Clip in place, by norm and then by value, as PyTorch does; the answer is the norm before."""
    norm = norm_of(gradient)
    limit = training.gradient_clip_norm
    if limit is not None and norm > limit:
        np.multiply(gradient, limit / (norm + 1e-6), gradient)
    if (bound := training.gradient_clip_value) is not None:
        np.clip(gradient, -bound, bound, gradient)
    return norm
