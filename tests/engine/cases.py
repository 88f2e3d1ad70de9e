"""Small networks, trainings and rows that the tests share."""

import numpy as np

from engine import LayerSpec, NetworkSpec, OptimizerSpec, Rows, TrainingSpec, initial_state
from engine.activations import ACTIVATIONS
from engine.batches import training_layout
from engine.evaluation import loss_of
from engine.losses import LOSSES
from engine.network import Workspace, backward, forward, layer_views

HIDDEN = tuple(name for name, act in ACTIVATIONS.items() if act.elementwise)
PAIRS = tuple((out, loss.name) for loss in LOSSES.values() for out in loss.outputs or ACTIVATIONS)
"""Every output activation with every loss that it is allowed with."""
TRIPLES = tuple((HIDDEN[i % len(HIDDEN)], *pair) for i, pair in enumerate(PAIRS))
"""Every pair with a hidden activation: each of these comes up, too."""


def network(*widths, hidden="tanh", output="linear", **kwargs):
    layers = [LayerSpec(units, hidden) for units in widths[1:-1]]
    return NetworkSpec(widths[0], (*layers, LayerSpec(widths[-1], output)), **kwargs)


def training(loss="quadratic", optimizer="gradient_descent", learning_rate=0.1, parameters=None, **kwargs):
    given = {"dtype": "float64", "task": "regression", "batch_size": None} | kwargs
    return TrainingSpec(loss, OptimizerSpec(optimizer, learning_rate, parameters or {}), **given)


def rows(n, n_inputs, n_outputs, *, dtype="float64", classes=False, seed=1):
    """Normal inputs; targets of one-hot classes (0 and 1 for one output), or numbers between 0 and 1."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, n_inputs))
    if classes and n_outputs > 1:
        y = np.eye(n_outputs)[generator.integers(0, n_outputs, n)]
    else:
        y = generator.random((n, n_outputs))
        y = (y > 0.5) if classes else y
    return Rows(x.astype(dtype), y.astype(dtype))


def xor():
    return Rows(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [1], [1], [0]]))


def random_state(net, spec, seed=3):
    """A state whose weights and biases are all normal: no bias is 0."""
    state = initial_state(net, spec)
    state.parameters[:] = 0.7 * np.random.default_rng(seed).standard_normal(net.n_parameters)
    return state


def bound_pass(net, spec, parameters, data):
    """A workspace that holds all the rows, and its pass over them as one batch."""
    layout = training_layout(net, parameters.itemsize, len(data), None)
    statistics = np.zeros(net.n_statistics, parameters.dtype)
    workspace = Workspace(net, loss_of(spec), layout, parameters, statistics, generator=np.random.default_rng(0))
    workspace.x[:], workspace.y[:] = data.x, data.y
    return workspace, workspace.pass_over(0, len(data), len(data))


def gradient_of(net, spec, parameters, data):
    """``(C, grad C)`` of the rows as one batch."""
    with np.errstate(all="ignore"):
        workspace, batch = bound_pass(net, spec, parameters, data)
        forward(batch)
        backward(batch)
        return workspace.cost(len(data)) / len(data), workspace.gradient.copy()


def as_paper(net, parameters):
    """The layers as `tests.engine.paper` takes them."""
    return [
        (W.copy(), np.zeros(len(W)) if b is None else b.copy(), layer.activation)
        for (W, b), layer in zip(layer_views(net, parameters), net.layers, strict=True)
    ]


def flat(layers, *, bias=True):
    """The flat vector of ``(W, b, ...)`` layers."""
    return np.concatenate([part.reshape(-1) for W, b, *_ in layers for part in ((W, b) if bias else (W,))])
