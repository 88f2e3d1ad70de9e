"""The entries that docs/engine.md adds to the engine do what it says of them."""

from typing import Any

import numpy as np

from engine import activations, steepest
from tests.blocks import run_by


def test_the_activation_of_the_page_has_the_slope_that_it_has() -> None:
    code, _ = run_by("engine.md", __file__)
    known: dict[str, Any] = {**vars(activations)}
    exec(code, known)
    added = known["ISRU"]
    z = np.linspace(-3, 3, 13).reshape(1, -1)
    a, above, below, scratch = (np.empty_like(z) for _ in range(4))
    added.apply(z.copy(), a, scratch)
    np.testing.assert_allclose(a, z / np.sqrt(1 + z**2), rtol=1e-15)
    added.apply(z + 1e-6, above, scratch)
    added.apply(z - 1e-6, below, scratch)
    delta = np.ones_like(z)
    added.times_slope(z, a, delta, scratch)
    np.testing.assert_allclose(delta, (above - below) / 2e-6, rtol=1e-8)


def test_the_optimizer_of_the_page_goes_along_the_signs() -> None:
    _, code = run_by("engine.md", __file__)
    known: dict[str, Any] = {**vars(steepest)}
    exec(code, known)
    added = known["SIGN_DESCENT"]
    theta = np.array([1.0, 2.0, 3.0])
    rates = [np.array(rate) for rate in added.rates(1, 0.5, {})]
    added.update(theta, np.array([7.0, -0.1, 0.0]), [], rates, np.empty(3), np.empty(3))
    assert theta.tolist() == [0.5, 2.5, 3.0]
