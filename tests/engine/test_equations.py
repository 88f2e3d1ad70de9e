"""Each equation against the paper in column form."""

import numpy as np
import pytest

from engine.activations import ACTIVATIONS
from engine.equations import bias_gradient, descend, feed_forward, hidden_error, output_error, weight_gradient
from engine.losses import LOSSES
from tests.engine import paper
from tests.engine.cases import HIDDEN, PAIRS

BATCH, N_PREV, N, N_NEXT = 5, 4, 3, 6
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


@pytest.fixture
def generator():
    return np.random.default_rng(7)


def cost(loss, z, a, y):
    """The sum of a cost over rows and outputs, without its share."""
    out = np.empty_like(a)
    LOSSES[loss].each(z.copy(), a, y, out, np.empty_like(a), LOSSES[loss].values)
    return out.sum()


def activation(name, z):
    """``a``, and ``z`` as the activation leaves it."""
    z, a = z.copy(), np.empty_like(z)
    ACTIVATIONS[name].apply(z, a, np.empty_like(z))
    return z, a


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_feed_forward_is_the_papers_for_each_example(generator, name):
    W, b = generator.standard_normal((N, N_PREV)), generator.standard_normal(N)
    a_prev = generator.standard_normal((BATCH, N_PREV))
    z, out, scratch = (np.empty((BATCH, N)) for _ in range(3))
    feed_forward(W, b, a_prev, ACTIVATIONS[name], z=z, out=out, scratch=scratch)
    for row, x in zip(out, a_prev, strict=True):
        np.testing.assert_allclose(row, paper.feed_forward([(W, b, name)], x)[1][-1], **CLOSE)


@pytest.mark.parametrize("name", [name for name in HIDDEN if not ACTIVATIONS[name].leaves_slope])
def test_feed_forward_in_place_gives_the_same_activation(generator, name):
    W, a_prev = generator.standard_normal((N, N_PREV)), generator.standard_normal((BATCH, N_PREV))
    z, apart, scratch, in_place = (np.empty((BATCH, N)) for _ in range(4))
    feed_forward(W, None, a_prev, ACTIVATIONS[name], z=z, out=apart, scratch=scratch)
    feed_forward(W, None, a_prev, ACTIVATIONS[name], z=in_place, out=in_place, scratch=scratch)
    np.testing.assert_array_equal(in_place, apart)


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_output_error_is_the_papers_for_each_example(generator, name, loss):
    z = generator.standard_normal((BATCH, N)) + (2.0 if loss == "poisson" else 0.0)
    y = np.eye(N)[generator.integers(0, N, BATCH)]
    kept, a = activation(name, z)
    out, scratch = np.empty_like(a), np.empty_like(a)
    scale = LOSSES[loss].share(N) / BATCH
    output_error(kept, a, y, LOSSES[loss], ACTIVATIONS[name], scale=scale, out=out, scratch=scratch)
    for i in range(BATCH):
        delta = paper.jacobian(name, z[i]).T @ paper.cost_gradient(loss, paper.act(name, z[i]), y[i])
        np.testing.assert_allclose(out[i], delta / BATCH, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_error_is_the_papers_for_each_example(generator, name):
    W_next, delta_next = generator.standard_normal((N_NEXT, N)), generator.standard_normal((BATCH, N_NEXT))
    z = generator.standard_normal((BATCH, N))
    kept, a = activation(name, z)
    out, scratch = np.empty_like(a), np.empty_like(a)
    hidden_error(W_next, delta_next, kept, a, ACTIVATIONS[name], out=out, scratch=scratch)
    for i in range(BATCH):
        np.testing.assert_allclose(out[i], paper.jacobian(name, z[i]) @ (W_next.T @ delta_next[i]), **CLOSE)


def test_gradients_are_sums_of_the_papers_outer_products(generator):
    delta, a_prev = generator.standard_normal((BATCH, N)), generator.standard_normal((BATCH, N_PREV))
    dW, db = np.empty((N, N_PREV)), np.empty(N)
    weight_gradient(delta, a_prev, out=dW)
    bias_gradient(delta, np.ones(BATCH), out=db)
    np.testing.assert_allclose(dW, sum(np.outer(delta[i], a_prev[i]) for i in range(BATCH)), **CLOSE)
    np.testing.assert_allclose(db, sum(delta[i] for i in range(BATCH)), **CLOSE)


def test_descend_goes_beta_times_the_gradient_downhill(generator):
    theta, gradient = generator.standard_normal(9), generator.standard_normal(9)
    wanted = theta - 0.3 * gradient
    descend(theta, gradient, 0.3, scratch=np.empty(9))
    np.testing.assert_allclose(theta, wanted, **CLOSE)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_are_finite_at_ten_thousand(name, dtype):
    z = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4]], dtype)
    with np.errstate(over="ignore"):
        _, a = activation(name, z)
    assert np.isfinite(a).all()
    if name == "softmax":
        np.testing.assert_array_equal(a, np.array([[1, 0, 0], [0, 0, 1]], dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropies_are_exact_at_ten_thousand(dtype):
    z = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype)
    right, wrong = np.array([[1, 0], [0, 1]], dtype), np.array([[0, 1], [1, 0]], dtype)
    for name, loss in (("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")):
        with np.errstate(over="ignore"):
            log_a, a = activation(name, z)
            costs = [cost(loss, log_a, a, y) for y in (right, wrong)]
        assert costs == [0.0, 4e4]


def test_costs_of_confident_right_answers_do_not_cancel():
    z, y = np.array([[20.0], [-20.0]], "float32"), np.array([[1.0], [0.0]], "float32")
    z_left, a = activation("sigmoid", z)
    assert cost("binary_cross_entropy", z_left, a, y) == pytest.approx(2 * np.log1p(np.exp(-20.0)), rel=1e-5)


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_cost_is_the_papers(generator, name, loss):
    z = generator.standard_normal((BATCH, N)) + (2.0 if loss == "poisson" else 0.0)
    y = np.eye(N)[generator.integers(0, N, BATCH)]
    z_left, a = activation(name, z)
    total = LOSSES[loss].share(N) * cost(loss, z_left, a, y)
    assert total == pytest.approx(sum(paper.cost(loss, paper.act(name, z[i]), y[i]) for i in range(BATCH)), rel=1e-12)
