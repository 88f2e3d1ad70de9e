"""Offset, scale and fill of a column of numbers, at magnitudes from the smallest to the largest float."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

Numbers = NDArray[np.float64]

LARGE = 2.0**1000


@dataclass(frozen=True)
class Affine:
    """How a number is scaled: `(number * unit - offset) / scale`.

    Args:
        unit: A power of two, 1 but for numbers so large that their differences overflow.
        fill: What stands in for a missing number.
    """

    offset: float = 0.0
    scale: float = 1.0
    fill: float = 0.0
    unit: float = 1.0

    def fits(self, numbers: Numbers, dtype: DTypeLike) -> bool:
        """Tell whether all of the numbers are finite when they are scaled, in that precision."""
        if not numbers.size:
            return True
        with np.errstate(over="ignore", invalid="ignore"):
            ends = (np.array([numbers.min(), numbers.max()]) * self.unit - self.offset) / self.scale
            return bool(np.isfinite(ends.astype(dtype)).all())


def affine(present: Numbers, encoding: str, missing: str) -> Affine:
    """Fit the scaling to the values that are there; a column of one value gets scale 1.

    Where missing values are refused in training or their rows left out, the fill is the mean: a prediction must go on.
    """
    if not present.size:
        return Affine()
    low, high = float(present.min()), float(present.max())
    largest = max(abs(low), abs(high))
    # Sums cannot overflow at this scale, nor squares vanish.
    size = 2.0 ** int(np.clip(np.frexp(largest)[1], -1000, 1000))
    scaled = present / size
    mean = low if low == high else float(np.mean(scaled)) * size
    fills = {"median": float(np.median(scaled)) * size, "constant": 0.0}
    fill = fills.get(missing, mean)
    if encoding == "none":
        return Affine(fill=fill)
    unit = 2.0**-64 if largest > LARGE else 1.0
    low, high, size = low * unit, high * unit, size * unit
    scale = float(np.std(scaled)) * size if encoding == "standardize" else high - low
    return Affine(
        mean * unit if encoding == "standardize" else low, scale if scale > 0 and low < high else 1.0, fill, unit
    )
