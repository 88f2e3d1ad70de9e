"""Which rows are held out for validation. The same seed gives the same rows, for ever."""

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

_STREAM = 0x5B117  # sets this use of a seed apart from all others


def split_rows(n_rows: int, *, fraction: float, seed: int, labels: IntArray | None) -> tuple[IntArray, IntArray]:
    """Divide the rows into training and validation; each side is sorted, and has a row if there are two.

    Args:
        fraction: Share of the rows that is held out, rounded to whole rows.
        labels: Class of each row (0, 1, …): each class is then held out by its share (the largest remainders are rounded up),
            and keeps at least one training row.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAM])))
    n_validation = min(max(round(n_rows * fraction), 1), n_rows - 1) if n_rows > 1 else 0
    order = generator.permutation(n_rows).astype(np.int64)
    held_out = np.zeros(n_rows, bool)
    if labels is None:
        held_out[order[:n_validation]] = True
    else:
        grouped = order[np.argsort(labels[order], kind="stable")]
        sizes = np.bincount(labels)
        starts = np.cumsum(sizes) - sizes
        for start, share in zip(starts, _shares(sizes, n_validation, fraction), strict=True):
            held_out[grouped[start : start + share]] = True
    rows = np.arange(n_rows, dtype=np.int64)
    return rows[~held_out], rows[held_out]


def _shares(sizes: IntArray, n_validation: int, fraction: float) -> IntArray:
    """Give how many rows of each class are held out: `n_validation` in all, or fewer where classes are too small."""
    most = np.maximum(sizes - 1, 0)
    exact = sizes * fraction
    shares: IntArray = np.minimum(np.floor(exact).astype(np.int64), most)
    while (lacking := n_validation - int(shares.sum())) > 0 and (open_ := np.flatnonzero(shares < most)).size:
        by_remainder = open_[np.argsort(shares[open_] - exact[open_], kind="stable")]
        shares[by_remainder[:lacking]] += 1
    return shares
