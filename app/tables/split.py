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
    n_validation = min(max(round(n_rows * fraction), 1), n_rows - 1) if n_rows > 1 else 0
    order = _generator(seed).permutation(n_rows).astype(np.int64)
    held_out = np.zeros(n_rows, bool)
    if labels is None:
        held_out[order[:n_validation]] = True
    else:
        grouped = order[np.argsort(labels[order], kind="stable")]
        sizes = np.bincount(labels)
        starts = np.cumsum(sizes) - sizes
        for start, share in zip(starts, _shares(sizes, n_validation, fraction), strict=True):
            held_out[grouped[start : start + share]] = True
    return sides(held_out)


def split_groups(groups: IntArray, *, fraction: float, seed: int) -> tuple[IntArray, IntArray]:
    """Divide the rows by their groups (0, 1, …), each of which is whole on one side.

    Groups are drawn one after the other, and held out as long as they fit into the share; then the one more that leads closest
    to it, if that is closer. Each side has a group if there are two.
    """
    sizes = np.bincount(groups) if len(groups) else np.zeros(0, np.int64)
    there = np.flatnonzero(sizes)
    wanted = len(groups) * fraction
    chosen: list[int] = []
    left: list[int] = []
    n_held_out = 0
    for group in there[_generator(seed).permutation(len(there))].tolist():
        size = int(sizes[group])
        fits = n_held_out + size <= wanted
        (chosen if fits else left).append(group)
        n_held_out += size if fits else 0
    if len(left) > 1:
        nearest = min(left, key=lambda group: abs(n_held_out + int(sizes[group]) - wanted))
        if not chosen or abs(n_held_out + int(sizes[nearest]) - wanted) < abs(n_held_out - wanted):
            chosen.append(nearest)
    held_out = np.zeros(len(sizes), bool)
    held_out[chosen] = True
    return sides(held_out[groups])


def split_times(times: NDArray[np.float64], *, fraction: float) -> tuple[IntArray, IntArray]:
    """Divide the rows so that those held out are the latest, as near to the share as equal times, which stay together, allow.

    Each side has a row if there are two times.
    """
    ordered = np.sort(times, kind="stable")
    begins = np.flatnonzero(np.diff(ordered, prepend=np.nan) != 0)[1:]  # where a later time begins
    if not len(begins):
        return sides(np.zeros(len(times), bool))
    cut = begins[np.abs(len(times) - begins - len(times) * fraction).argmin()]
    return sides(times >= ordered[cut])


def sides(held_out: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Give the places of the rows to learn from, and of those that are held out."""
    return np.flatnonzero(~held_out).astype(np.int64), np.flatnonzero(held_out).astype(np.int64)


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAM])))


def _shares(sizes: IntArray, n_validation: int, fraction: float) -> IntArray:
    """Give how many rows of each class are held out: `n_validation` in all, or fewer where classes are too small."""
    most = np.maximum(sizes - 1, 0)
    exact = sizes * fraction
    shares: IntArray = np.minimum(np.floor(exact).astype(np.int64), most)
    while (lacking := n_validation - int(shares.sum())) > 0 and (open_ := np.flatnonzero(shares < most)).size:
        by_remainder = open_[np.argsort(shares[open_] - exact[open_], kind="stable")]
        shares[by_remainder[:lacking]] += 1
    return shares
