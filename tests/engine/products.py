"""Multiply matrices as machine code does, and print how exact that is: a line of JSON.

A process of its own, so that it may be told by ``NUMBA_CPU_FEATURES`` not to use all that its machine has.
"""

import json
import sys

import numpy as np
from numba import njit

from engine import amx
from engine.arrays import Array, empty
from engine.products import (
    Places,
    Soon,
    fetch_nothing,
    fetches_size,
    is_for_amx,
    multiply,
    multiply_columns,
    multiply_placed,
    room,
    totalled,
    turn,
)
from engine.sparse import COPIED, MOST_FILLED, NOTED_BYTES, Ending, Side, filled, multiply_sparse
from engine.sparse import room as room_of_sparse
from engine.vectors import HAS_AMX, TILE_ROWS, VECTOR_BYTES

SHAPES = [
    (128, 128, 784),
    (130, 170, 130),
    (200, 100, 1000),
    (33, 2000, 40),
    (1100, 90, 90),
    (256, 64, 30),
    (64, 64, 64),
]
"""Rows, columns, and what is summed over: all large enough for AMX, most in no whole number of blocks."""
SMALL_SHAPES = [
    (1, 1, 1),
    (1, 30, 5),
    (3, 5, 7),
    (5, 33, 2),
    (7, 48, 9),
    (9, 17, 3),
    (12, 50, 1),
    (17, 70, 33),
    (24, 50, 7),
    (9, 200, 15000),
]
"""Too small for AMX, and around a tile; the last goes in parts, though a row of it is less than a vector when it is turned."""
SPARSE_SHAPES = [(64, 64, 64), (100, 65, 127), (300, 200, 130), (128, 128, 784), (70, 300, 2048), (65, 257, 2000)]
"""Of which one side is not copied at once, or in no whole number of blocks."""
SPARSE_SIDES = [
    ("rows", "rows"), ("rows", "turned"), ("rows", "rows, placed"), ("turned", "rows"), ("turned", "turned"),
    ("turned", "rows, placed"), ("rows, placed", "rows"), ("turned, placed", "rows"),
]  # fmt: skip
"""How the left and the right side are stored."""
GUARDED = 1 << 12
"""So many numbers before and after the product are not to be touched."""


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _soon(source: Array, fetches: Array) -> Soon:
    """Nothing is needed soon."""
    soon = Soon(source, np.zeros(0, np.int64), np.zeros(6, np.int64), fetches)
    fetch_nothing(soon)
    return soon


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _multiply(
    a: Array, a_row: int, a_step: int, b: Array, b_row: int, b_step: int, c: Array, m: int, n: int, k: int,
    start: Array, start_at: int, floor: float, slope: Array, slope_at: int, totals: Array, totals_at: int, factor: float,
    panel: Array, strips: Array, fetches: Array,
) -> None:  # fmt: skip
    amx.begin()
    soon = _soon(a, fetches)
    multiply(
        a, 0, a_row, a_step, b, 0, b_row, b_step, c, 0, m, n, k, start, start_at, floor, slope, slope_at, totals, totals_at,
        factor, panel, strips, soon,
    )  # fmt: skip
    amx.end()


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _multiply_placed(
    a: Array, rows: Array, columns: Array, b: Array, c: Array, m: int, n: int, k: int, start: Array, start_at: int,
    floor: float, factor: float, panel: Array, fetches: Array,
) -> None:  # fmt: skip
    soon = _soon(a, fetches)
    multiply_placed(a, 1, Places(rows, columns), b, 0, c, 0, m, n, k, start, start_at, floor, factor, panel, soon)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _multiply_columns(
    a: Array, rows_at: Array, b: Array, c: Array, m: int, n: int, k: int, factor: float, panel: Array, strips: Array,
    fetches: Array,
) -> None:  # fmt: skip
    multiply_columns(a, 1, rows_at, b, 0, c, 0, m, n, k, factor, panel, strips, _soon(a, fetches))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _multiply_sparse(
    a: Array, a_at: int, a_row: int, a_step: int, a_places: Array, b: Array, b_at: int, b_row: int, b_step: int,
    b_places: Array, c: Array, m: int, n: int, k: int, start: Array, start_at: int, floor: float, slope: Array,
    slope_at: int, totals: Array, totals_at: int, factor: float, is_turned: bool, panel: Array, strips: Array,
) -> None:  # fmt: skip
    left, right = Side(a, a_at, a_row, a_step, a_places), Side(b, b_at, b_row, b_step, b_places)
    ending = Ending(start, start_at, floor, slope, slope_at, totals, totals_at, factor, is_turned)
    multiply_sparse(left, right, c, 0, m, n, k, ending, False, panel, strips)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _is_sparse(a: Array, a_row: int, a_step: int, m: int, n: int, k: int) -> bool:
    return filled(Side(a, 0, a_row, a_step, np.zeros(0, np.int64)), m, n, k) <= MOST_FILLED


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _turn(x: Array, at: int, rows: int, columns: int, spare: Array) -> None:
    turn(x, at, rows, columns, spare)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _totalled(m: int, n: int, k: int) -> int:
    return int(totalled(m, n, k, 4))


def _flat(matrix: Array) -> Array:
    flat = empty((matrix.size,), np.float32)
    flat[:] = matrix.reshape(-1)
    return flat


def _scattered(matrix: Array, *, along_rows: bool) -> tuple[Array, Array, Array]:
    """A matrix of which one of the two kinds of lines is whole, in any order among others: the array, its rows and columns.

    Both end with places that are looked ahead to.
    """
    lines, length = matrix.shape if along_rows else matrix.shape[::-1]
    stored = np.full((2 * lines, length), np.nan, np.float32)
    chosen = np.random.default_rng(lines).permutation(2 * lines)[:lines]
    stored[chosen] = matrix if along_rows else matrix.T
    flat = empty((1 + stored.size,), np.float32)
    flat[0], flat[1:] = np.nan, stored.reshape(-1)
    places = [np.append(numbers, np.zeros(TILE_ROWS, np.int64)) for numbers in (chosen * length, np.arange(length))]
    return flat, *(places if along_rows else places[::-1])


def _error(
    shape: tuple[int, int, int], turned: tuple[bool, bool], ending: str, *, with_nan: bool = False, placed: bool = False,
    copied: bool = False,
) -> float:  # fmt: skip
    """The largest difference from the product in float64, as a share of the sum of what is added up there."""
    (m, n, k), rng = shape, np.random.default_rng(sum(shape))
    a, b, c, slope = (rng.standard_normal(size, np.float32) for size in ((m, k), (k, n), (m, n), (m, n)))
    start = rng.standard_normal(n, np.float32)
    if with_nan:
        a[m // 2, k // 2], a[0, 0] = np.nan, np.inf
    sizes, fetches = room(m, (k, n), 4), np.zeros(fetches_size(m, (k, n)), np.int64)
    if copied:
        sizes = sizes[0], (m + TILE_ROWS) * k
    panel, strips = (np.full(size + GUARDED, np.nan, np.float32) for size in sizes)
    guarded = np.full(m * n + 2 * GUARDED, 7.0, np.float32)
    flat = guarded[GUARDED : GUARDED + m * n]
    flat[:] = c.reshape(-1)
    added = start, 0 if ending == "floor" else -1, np.float32(0.0 if ending == "floor" else -np.inf)
    factor = np.float32(-0.5 if ending == "added" else 0.0)
    totals = start.copy()
    summed = _totalled(m, n, k) if ending == "slope" else 0
    if copied:
        a_flat, _, rows_at = _scattered(a, along_rows=False)
        _multiply_columns(a_flat, rows_at, _flat(b), flat, m, n, k, factor, panel, strips, fetches)
    elif placed:
        _multiply_placed(
            *_scattered(a, along_rows=not turned[0]), _flat(b), flat, m, n, k, *added, factor, panel, fetches
        )
    else:
        _multiply(
            _flat(a.T if turned[0] else a), *((1, m) if turned[0] else (k, 1)),
            _flat(b.T if turned[1] else b), *((1, k) if turned[1] else (n, 1)), flat, m, n, k, *added,
            _flat(slope), 0 if ending == "slope" else -1, totals, 0 if summed else -1, factor, panel, strips, fetches,
        )  # fmt: skip
    assert (np.delete(guarded, np.s_[GUARDED : GUARDED + m * n]) == 7.0).all(), (
        f"{shape} {turned} {ending}: written beyond"
    )
    assert all(np.isnan(one[size:]).all() for one, size in zip((panel, strips), sizes, strict=True)), (
        f"{shape} {turned} {ending}: more is packed than there is room for"
    )
    got = flat.reshape(m, n)
    if with_nan:
        return float(np.isfinite(got[m // 2]).sum() + np.isfinite(got[0]).sum() + (~np.isfinite(got)).sum() - 2 * n)
    wanted, scale = a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b) + 1.0
    if ending == "floor":
        wanted = np.maximum(wanted + start, 0.0)
    if ending == "slope":
        wanted = wanted * (slope > 0.0)
    if ending == "added":
        wanted = c - 0.5 * wanted
    off = (np.abs(totals - start - (wanted[:summed].sum(0) if summed else 0.0)) / scale.sum(0)).max()
    return float(max(off, (np.abs(got - wanted) / scale).max()))


def _with_zeros(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> Array:
    """Numbers of which such a share is not 0, as relu leaves them."""
    return np.where(rng.random(shape) < share, rng.standard_normal(shape, np.float32), np.float32(0.0))


def _stored(matrix: Array, how: str) -> tuple[Array, int, int, int, Array]:
    """What a `Side` is made of, for a matrix that has whole ``rows``, or is ``turned``, or either of them ``placed``."""
    is_turned = how.startswith("turned")
    apart, step = (1, len(matrix)) if is_turned else (matrix.shape[1], 1)
    if "placed" not in how:
        return _flat(matrix.T if is_turned else matrix), 0, apart, step, np.zeros(0, np.int64)
    flat, rows, columns = _scattered(matrix, along_rows=not is_turned)
    places = columns[: matrix.shape[1]] if is_turned else rows[: len(matrix)]
    return flat, 1, apart, step, places


def _error_of_sparse(shape: tuple[int, int, int], left: str, right: str, ending: str) -> float:
    """`_error` where half of the left side is 0; each side is stored as `_stored` says."""
    (m, n, k), rng = shape, np.random.default_rng(sum(shape))
    a, b = _with_zeros((m, k), 0.5, rng), rng.standard_normal((k, n), np.float32)
    a[0], a[:, 1], a[1, :] = 0.0, 0.0, 1.0
    c, slope = (rng.standard_normal((m, n), np.float32) for _ in range(2))
    start = rng.standard_normal(n, np.float32)
    is_turned, factor = "turned" in ending, np.float32(-0.5 if "added" in ending else 0.0)
    sizes = room_of_sparse(max(m, k), (k, n, m), 4)
    assert sizes[1] == COPIED + NOTED_BYTES // 4
    panel, strips = (np.full(size + GUARDED, np.nan, np.float32) for size in sizes)
    guarded = np.full(m * n + 2 * GUARDED, 7.0, np.float32)
    flat = guarded[GUARDED : GUARDED + m * n]
    flat[:] = (c.T if is_turned else c).reshape(-1)
    added = start, 0 if ending == "floor" else -1, np.float32(0.0 if ending == "floor" else -np.inf)
    totals = start.copy()
    _multiply_sparse(
        *_stored(a, left), *_stored(b, right), flat, m, n, k, *added, _flat(slope), 0 if ending == "slope" else -1,
        totals, 0 if ending == "slope" else -1, factor, is_turned, panel, strips,
    )  # fmt: skip
    assert (np.delete(guarded, np.s_[GUARDED : GUARDED + m * n]) == 7.0).all(), f"{shape} {ending}: written beyond"
    assert all(np.isnan(one[size:]).all() for one, size in zip((panel, strips), sizes, strict=True)), shape
    got = flat.reshape(n, m).T if is_turned else flat.reshape(m, n)
    wanted, scale = a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b) + 1.0
    wanted = {
        "floor": np.maximum(wanted + start, 0.0),
        "slope": wanted * (slope > 0.0),
        "added": c - 0.5 * wanted,
        "turned": wanted,
        "turned, added": c - 0.5 * wanted,
        "plain": wanted,
    }[ending]
    summed = _totalled(m, n, k) if ending == "slope" else 0
    off = (np.abs(totals - start - (wanted[:summed].sum(0) if summed else 0.0)) / scale.sum(0)).max()
    return float(max(off, (np.abs(got - wanted) / scale).max()))


def _sparse_by_filling() -> dict[str, bool]:
    """Whether what is filled so far is multiplied as what has zeros is; both ways that it may be stored, and what is too small."""
    rng, found = np.random.default_rng(5), {}
    for share in (0.0, 0.5, 0.8, 1.0):
        a = _with_zeros((128, 256), share, rng)
        found[f"rows {share}"] = _is_sparse(_flat(a), 256, 1, 128, 100, 256)
        found[f"columns {share}"] = _is_sparse(_flat(a.T), 1, 128, 128, 100, 256)
    none = _flat(np.zeros((128, 4096), np.float32))
    for name, shape in {
        "short": (128, 100, 63),
        "few": (63, 100, 256),
        "slim": (128, 15, 256),
        "deep": (128, 100, 4096),
    }.items():
        found[name] = _is_sparse(none, shape[2], 1, *shape)
    return found


def _is_turned_exactly(rows: int, columns: int) -> bool:
    """Whether a matrix is its transpose afterwards, and nothing is written beside it and the room that is to be spared."""
    vector, at = VECTOR_BYTES // 4, GUARDED + 3
    x, spare = (
        np.full(size + 2 * GUARDED, 7.0, np.float32) for size in (rows * columns, (rows + vector) * (columns + vector))
    )
    matrix = np.random.default_rng(rows).standard_normal((rows, columns), np.float32)
    x[at : at + matrix.size] = matrix.reshape(-1)
    _turn(x, at, rows, columns, spare[GUARDED:])
    around = np.delete(x, np.s_[at : at + matrix.size]), spare[:GUARDED], spare[-GUARDED:]
    return bool((x[at : at + matrix.size] == matrix.T.reshape(-1)).all()) and all(
        (part == 7.0).all() for part in around
    )


def main() -> None:
    """Every shape, with each side as it is and turned, and with each of the endings that a product may have."""
    errors = {
        f"{shape} {turned} {ending}": _error(shape, turned, ending)
        for shape in SHAPES + SMALL_SHAPES
        for turned in ((False, False), (False, True), (True, False), (True, True))
        for ending in ("plain", "floor", "slope", "added")
    }
    for shape in SHAPES + SMALL_SHAPES:
        for turned in (False, True):
            for ending in ("plain", "floor", "added"):
                errors[f"placed {shape} {turned} {ending}"] = _error(shape, (turned, False), ending, placed=True)
        for ending in ("plain", "added"):
            errors[f"copied {shape} {ending}"] = _error(shape, (True, False), ending, copied=True)
    for shape in SPARSE_SHAPES:
        for left, right in SPARSE_SIDES:
            for ending in ("plain", "floor", "slope", "added", "turned", "turned, added"):
                errors[f"sparse {shape} {left} {right} {ending}"] = _error_of_sparse(shape, left, right, ending)
    edges = 1, 2, 7, 15, 16, 17, 33, 100
    found = {
        "has_amx": HAS_AMX,
        "vector_bytes": VECTOR_BYTES,
        "made_by_amx": sum(bool(is_for_amx.py_func(*shape, 4)) for shape in SHAPES),
        "shapes": len(SHAPES),
        "sparse": _sparse_by_filling(),
        "errors": errors,
        "turned_wrongly": [(m, n) for m in edges for n in edges if not _is_turned_exactly(m, n)],
        "finite_where_they_should_not_be": _error(SHAPES[1], (False, False), "plain", with_nan=True),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
