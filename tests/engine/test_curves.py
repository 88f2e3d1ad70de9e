"""What machine code makes of the exponential: right to the last bits, for arrays of any length."""

import numpy as np
import pytest
from numba import njit

from engine.curves import exp_of, sigmoid_of, tanh_of

EXACT = {
    "exp": (exp_of, np.exp),
    "sigmoid": (sigmoid_of, lambda z: 1.0 / (1.0 + np.exp(-z))),
    "tanh": (tanh_of, np.tanh),
}
FARTHEST = {"float32": 87.0, "float64": 708.0}


@pytest.fixture(scope="module", params=EXACT)
def curve(request):
    of, exact = EXACT[request.param]
    return njit(lambda z, a: of(z, a)), exact


@pytest.mark.parametrize("dtype", FARTHEST)
def test_a_curve_is_right_within_two_of_the_last_places(curve, dtype):
    apply, exact = curve
    small, far = np.logspace(-30, 0, 5_000), FARTHEST[dtype]
    z = np.concatenate([small, -small, np.linspace(-far, far, 30_001), np.linspace(-10, 10, 100_003)]).astype(dtype)
    a = np.empty_like(z)
    apply(z, a)
    wanted = exact(z.astype(np.longdouble))
    is_normal = np.abs(wanted) >= np.finfo(dtype).tiny
    assert np.count_nonzero(is_normal) > 0.99 * z.size
    errors = np.abs(a[is_normal] - wanted[is_normal]) / np.spacing(np.abs(wanted[is_normal]).astype(dtype))
    assert errors.max() < 2.5


@pytest.mark.parametrize("dtype", FARTHEST)
@pytest.mark.parametrize("far", [1e3, 1e4, 1e30, np.inf])
def test_beyond_what_numbers_hold_a_curve_is_at_its_end(curve, dtype, far):
    apply, exact = curve
    a = np.empty(2, dtype)
    apply(np.array([-far, far], dtype), a)
    assert np.isfinite(a).all()
    ends = exact(np.array([-1e4, 1e4], np.longdouble))
    assert np.allclose(a[np.abs(ends) <= 1.0], ends[np.abs(ends) <= 1.0].astype(dtype), rtol=1e-7, atol=1e-37)


@pytest.mark.parametrize("dtype", FARTHEST)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 15, 16, 17, 33])
def test_every_number_is_the_same_wherever_it_is_and_nothing_else_is_written(curve, dtype, n):
    apply, _ = curve
    z = np.linspace(-3.0, 4.0, n).astype(dtype)
    guarded = np.full(n + 64, 7.0, dtype)
    apply(z, guarded[32 : 32 + n])
    assert (guarded[:32] == 7.0).all()
    assert (guarded[32 + n :] == 7.0).all()
    alone = np.empty(1, dtype)
    for i in range(n):
        apply(z[i : i + 1], alone)
        assert alone[0] == guarded[32 + i]
    in_place = z.copy()
    apply(in_place, in_place)
    assert (in_place == guarded[32 : 32 + n]).all()


@pytest.mark.parametrize("dtype", FARTHEST)
def test_what_is_no_number_stays_so_and_nothing_else_becomes_it(curve, dtype):
    apply, _ = curve
    z = np.arange(21, dtype=dtype)
    z[[3, 18]] = np.nan
    a = np.empty_like(z)
    apply(z, a)
    assert np.flatnonzero(np.isnan(a)).tolist() == [3, 18]
