"""The gradient that is descended is the gradient of the loss that is reported, and a step is the paper's step."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import train
from engine.losses import LOSSES
from tests.engine import paper
from tests.engine.cases import (
    HIDDEN,
    PAIRS,
    TRIPLES,
    as_paper,
    flat,
    gradient_of,
    network,
    random_state,
    rows,
    training,
)


def reported_loss(net, spec, parameters, data):
    """``train_loss`` of the epoch's report: of a full batch, so at the parameters as they were before the step."""
    state = random_state(net, spec)
    state.parameters[:] = parameters
    (report,) = train(net, spec, state, data)
    return report.train_loss


def central_differences(cost, parameters, h=1e-5):
    """The slope of ``cost`` in each parameter."""
    slopes = []
    for i in range(len(parameters)):
        up, down = parameters.copy(), parameters.copy()
        up[i] += h
        down[i] -= h
        slopes.append((cost(up) - cost(down)) / (up[i] - down[i]))
    return np.array(slopes)


@pytest.mark.parametrize(
    ("hidden", "output", "loss"),
    [pytest.param(*names, marks=[pytest.mark.slow] if i % 3 else []) for i, names in enumerate(TRIPLES)],
)
def test_step_follows_the_gradient_of_the_reported_cost(hidden, output, loss):
    net, data = network(2, 3, 2, hidden=hidden, output=output), rows(5, 2, 2, classes=True)
    spec = training(loss, epochs=1)
    spec = dataclasses.replace(spec, task=LOSSES[loss].tasks[0])
    parameters = random_state(net, spec).parameters
    _, gradient = gradient_of(net, spec, parameters, data)
    difference = central_differences(lambda theta: reported_loss(net, spec, theta, data), parameters)
    scale = np.abs(gradient).max()
    assert scale > 1e-3
    assert np.abs(gradient - difference).max() / scale <= 1e-6


@pytest.mark.parametrize(("hidden", "output", "loss"), TRIPLES)
def test_three_steps_are_the_papers_three_steps(hidden, output, loss):
    net, data = network(3, 4, 2, hidden=hidden, output=output), rows(6, 3, 2, classes=True)
    spec = training(loss, epochs=3, learning_rate=0.2)
    state = random_state(net, spec)
    layers = as_paper(net, state.parameters)
    for report in train(net, spec, state, data):
        layers, C = paper.descend(layers, data.x, data.y, loss, 0.2)
        assert report.train_loss == pytest.approx(C, rel=1e-12)
    np.testing.assert_allclose(state.parameters, flat(layers), rtol=1e-10, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    hidden=st.sampled_from(HIDDEN),
    pair=st.sampled_from(PAIRS),
    n_rows=st.integers(1, 6),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_network_has_the_papers_gradient(widths, hidden, pair, n_rows, bias, seed):
    output, loss = pair
    net = network(*widths, hidden=hidden, output=output, bias=bias)
    data = rows(n_rows, widths[0], widths[-1], classes=True, seed=seed)
    if output == "softmax" and widths[-1] == 1:
        data.y[:] = 1.0
    spec = training(loss)
    parameters = random_state(net, spec, seed).parameters
    C, gradient = gradient_of(net, spec, parameters, data)
    total, wanted_C = paper.gradient(as_paper(net, parameters), data.x, data.y, loss)
    assert pytest.approx(wanted_C, rel=1e-9, abs=1e-12) == C
    np.testing.assert_allclose(gradient, flat(total, bias=bias), rtol=1e-7, atol=1e-10)


def test_errors_use_the_weights_before_the_update():
    net, data = network(2, 3, 3, 2, hidden="sigmoid", output="sigmoid"), rows(4, 2, 2)
    spec = training(epochs=1, learning_rate=50.0)
    state = random_state(net, spec)
    layers, _ = paper.descend(as_paper(net, state.parameters), data.x, data.y, "quadratic", 50.0)
    list(train(net, spec, state, data))
    np.testing.assert_allclose(state.parameters, flat(layers), rtol=1e-10)
