"""Specifications: every fault is found, at its place, with what is allowed."""

import dataclasses

import numpy as np
import pytest

from engine import EarlyStopping, LayerSpec, NetworkSpec, OptimizerSpec, TrainingSpec, check
from engine.activations import ACTIVATIONS
from engine.initializers import INITIALIZERS
from engine.losses import LOSSES
from engine.optimizers import OPTIMIZERS
from engine.parameters import complete
from tests.engine.cases import HIDDEN, TRIPLES, network, training


def places(net, spec):
    return {fault.field: fault for fault in check(net, spec)}


@pytest.mark.parametrize(("hidden", "output", "loss"), TRIPLES)
def test_allowed_combination_has_no_fault(hidden, output, loss):
    spec = training(loss, task=LOSSES[loss].tasks[0])
    assert check(network(3, 4, 2, hidden=hidden, output=output), spec) == []


def test_all_faults_are_found_at_once():
    net = NetworkSpec(0, (LayerSpec(0, "swish"), LayerSpec(2, "softmax"), LayerSpec(2, "step")), "magic")
    stopping = EarlyStopping(patience=0, min_delta=-1.0)
    spec = TrainingSpec(
        "zero_one", OptimizerSpec("newton", -1.0), 0, 0, seed=-1,
        gradient_clip_norm=0.0, gradient_clip_value=float("nan"), early_stopping=stopping,
    )  # fmt: skip
    # Names that the types forbid, and that a caller may pass on all the same.
    object.__setattr__(stopping, "monitor", "loss")
    object.__setattr__(spec, "dtype", "float16")
    object.__setattr__(spec, "task", "ranking")
    assert set(places(net, spec)) == {
        "network.n_inputs", "network.initializer", "network.layers.0.units", "network.layers.0.activation",
        "network.layers.1.activation", "network.layers.2.activation", "training.loss", "training.dtype",
        "training.task", "training.epochs", "training.batch_size", "training.seed", "training.gradient_clip_norm",
        "training.gradient_clip_value", "training.early_stopping.monitor", "training.early_stopping.patience",
        "training.early_stopping.min_delta", "training.optimizer.learning_rate", "training.optimizer.name",
    }  # fmt: skip


def test_unknown_name_is_answered_with_the_known_ones():
    net, spec = network(2, 3, 1, hidden="swish", output="step"), training("zero_one", "newton")
    faults = places(net, dataclasses.replace(spec))
    assert faults["network.layers.0.activation"].allowed == HIDDEN
    assert faults["network.layers.1.activation"].allowed == tuple(ACTIVATIONS)
    assert faults["training.loss"].allowed == tuple(LOSSES)
    assert faults["training.optimizer.name"].allowed == tuple(OPTIMIZERS)
    assert places(network(1, 1, initializer="x"), spec)["network.initializer"].allowed == ("auto", *INITIALIZERS)


def test_softmax_on_a_hidden_layer_is_refused():
    fault = places(network(2, 3, 2, hidden="softmax"), training())["network.layers.0.activation"]
    assert (fault.code, fault.allowed) == ("activation_is_for_outputs", HIDDEN)


@pytest.mark.parametrize(("loss", "needed"), [("binary_cross_entropy", "sigmoid"), ("cross_entropy", "softmax")])
@pytest.mark.parametrize("output", ACTIVATIONS)
def test_cross_entropies_need_their_output_activation(loss, needed, output):
    faults = places(network(2, 3, output=output), training(loss, task="classification"))
    if output == needed:
        assert faults == {}
    else:
        assert faults["network.layers.0.activation"].allowed == (needed,)


def test_cross_entropy_of_a_regression_is_refused():
    faults = places(network(2, 3, output="softmax"), training("cross_entropy"))
    assert faults["training.loss"].allowed == (
        "quadratic", "mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "quantile", "poisson",
    )  # fmt: skip


def test_softmax_of_one_unit_is_refused():
    assert "network.layers.0.units" in places(network(2, 1, output="softmax"), training())


@pytest.mark.parametrize(
    ("optimizer", "parameters", "code"),
    [
        ("adam", {"betas": (0.9, 1.0)}, "out_of_range"),
        ("adam", {"betas": (0.9,)}, "wrong_type"),
        ("adam", {"betas": 0.9}, "wrong_type"),
        ("adam", {"eps": (1e-8,)}, "wrong_type"),
        ("adam", {"eps": True}, "wrong_type"),
        ("adam", {"eps": float("inf")}, "out_of_range"),
        ("adam", {"momentum": 0.9}, "unknown_parameter"),
        ("momentum", {"momentum": -0.1}, "out_of_range"),
    ],
)
def test_optimizer_parameter_out_of_bounds_is_refused(optimizer, parameters, code):
    (name,) = parameters
    faults = places(network(2, 1), training(optimizer=optimizer, parameters=parameters))
    assert faults[f"training.optimizer.{name}"].code == code


def test_parameters_are_counted():
    assert network(3, 4, 2).n_parameters == 3 * 4 + 4 + 4 * 2 + 2
    assert network(3, 4, 2, bias=False).n_parameters == 3 * 4 + 4 * 2
    assert network(3, 4, 2).widths == (3, 4, 2)


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("glorot_uniform", np.sqrt(2 / 500)),
        ("glorot_normal", np.sqrt(2 / 500)),
        ("he_uniform", np.sqrt(2 / 200)),
        ("he_normal", np.sqrt(2 / 200)),
        ("lecun_uniform", np.sqrt(1 / 200)),
        ("lecun_normal", np.sqrt(1 / 200)),
        ("orthogonal", np.sqrt(1 / 300)),
        ("constant", 0.0),
        ("zeros", 0.0),
    ],
)
def test_initializer_has_the_deviation_of_its_source(name, deviation):
    initializer = INITIALIZERS[name]
    W = initializer.draw(np.random.default_rng(0), 200, 300, complete(initializer.parameters, {}))
    assert W.shape == (300, 200)
    assert W.std() == pytest.approx(deviation, rel=0.02)
    assert abs(W.mean()) < 0.001
    if name.endswith("uniform"):
        assert np.abs(W).max() <= deviation * np.sqrt(3)
