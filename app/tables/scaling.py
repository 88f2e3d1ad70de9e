"""Offset, scale and fill of a column of numbers, at magnitudes from the smallest to the largest float."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def affine(present: Numbers, encoding: str, missing: str) -> tuple[float, float, float | None]:
    """Give offset, scale and fill of the values that are there; a column of one value gets scale 1.

    The fill is None where missing values are refused or their rows left out.
    """
    if not present.size:
        return 0.0, 1.0, 0.0 if missing in {"mean", "median", "constant"} else None
    low, high = float(present.min()), float(present.max())
    unit = 2.0 ** int(
        np.clip(np.frexp(max(abs(low), abs(high)))[1], -1000, 1000)
    )  # sums cannot overflow, nor squares vanish
    scaled = present / unit
    mean = low if low == high else float(np.mean(scaled)) * unit
    fills = {"mean": mean, "median": float(np.median(scaled)) * unit, "constant": 0.0}
    fill = fills.get(missing)
    if encoding == "none":
        return 0.0, 1.0, fill
    with np.errstate(over="ignore"):
        scale = float(np.std(scaled)) * unit if encoding == "standardize" else float(np.subtract(high, low))
    return mean if encoding == "standardize" else low, scale if scale > 0 and low < high else 1.0, fill
