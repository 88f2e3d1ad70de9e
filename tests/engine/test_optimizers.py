"""Update rules against their plain formulas."""

import numpy as np
import pytest

from engine.optimizers import CHUNK, OPTIMIZERS, Stepper

STEPS = 50


def trajectory(name, learning_rate, parameters, n, dtype="float64"):
    """Parameters after each of 50 steps down the gradient ``theta + sin(10 theta) + step``."""
    theta = np.random.default_rng(5).standard_normal(n).astype(dtype)
    gradient, slots = np.empty_like(theta), np.zeros((len(OPTIMIZERS[name].slots), n), dtype)
    stepper = Stepper(OPTIMIZERS[name], parameters, theta=theta, gradient=gradient, slots=slots)
    for step in range(1, STEPS + 1):
        gradient[:] = slope(theta, step)
        stepper.step(step, learning_rate)
        yield theta.copy()


def slope(theta, step):
    return theta + np.sin(10 * theta) + 0.01 * step


def plain_adam(theta, learning_rate, betas=(0.9, 0.999), eps=1e-8):
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t in range(1, STEPS + 1):
        g = slope(theta, t)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        theta = theta - learning_rate * m_hat / (np.sqrt(v_hat) + eps)
        yield theta


def plain_momentum(theta, learning_rate, momentum=0.9, dampening=0.0):
    v = None
    for t in range(1, STEPS + 1):
        g = slope(theta, t)
        v = g if v is None else momentum * v + (1 - dampening) * g
        theta = theta - learning_rate * v
        yield theta


def plain_gradient_descent(theta, learning_rate):
    for t in range(1, STEPS + 1):
        theta = theta - learning_rate * slope(theta, t)
        yield theta


@pytest.mark.parametrize(
    ("name", "plain", "parameters"),
    [
        ("gradient_descent", plain_gradient_descent, {}),
        ("momentum", plain_momentum, {}),
        ("momentum", plain_momentum, {"momentum": 0.5, "dampening": 0.3}),
        ("adam", plain_adam, {}),
        ("adam", plain_adam, {"betas": (0.0, 0.5), "eps": 0.1}),
        ("adam", plain_adam, {"betas": (0.95, 0.9999), "eps": 1e-3}),
    ],
)
@pytest.mark.parametrize("n", [3, CHUNK + 7])
def test_fifty_steps_are_those_of_the_plain_formula(name, plain, parameters, n):
    start = np.random.default_rng(5).standard_normal(n)
    for theta, wanted in zip(trajectory(name, 0.03, parameters, n), plain(start, 0.03, **parameters), strict=True):
        assert np.abs(theta - wanted).max() <= 1e-10


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if OPTIMIZERS[name].search is None])
def test_single_precision_follows_double(name):
    for single, double in zip(trajectory(name, 0.01, {}, 9, "float32"), trajectory(name, 0.01, {}, 9), strict=True):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=2e-4, atol=2e-4)


def test_every_default_is_within_its_bounds():
    for optimizer in OPTIMIZERS.values():
        for parameter in optimizer.parameters:
            numbers = parameter.default if isinstance(parameter.default, tuple) else (parameter.default,)
            low, high = parameter.minimum, parameter.maximum
            assert all(low is None or number >= low for number in numbers)
            assert all(high is None or number <= high for number in numbers)
