"""Equal to PyTorch in double precision, from what `record.py` recorded of it."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine import (
    LayerSpec,
    NetworkSpec,
    OptimizerSpec,
    Rows,
    TrainingSpec,
    initial_state,
    named_arrays,
    predict,
    train,
)
from engine.activations import ACTIVATIONS
from engine.batches import class_weights
from engine.losses import LOSSES
from engine.optimizers import OPTIMIZERS
from engine.parameters import complete
from engine.schedules import SCHEDULES
from engine.weights import final_parameters

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "recorded"
TRAJECTORIES = np.load(FOLDER / "trajectories.npz")
VALUES = dict(np.load(FOLDER / "values.npz"))
SCHEDULED = json.loads((FOLDER / "schedules.json").read_text())
GIVEN = json.loads(TRAJECTORIES["optimizers"].tobytes())
KEPT = (1, 2, 10, 25, 50)
OUTPUTS = {"binary_cross_entropy": "sigmoid", "cross_entropy": "softmax"}


def recorded_rows(loss):
    generator = np.random.default_rng(11)
    x, y = generator.standard_normal((12, 3)), generator.random((12, 2))
    return Rows(x, np.eye(2)[(y[:, 0] > 0.5).astype(int)] if loss.endswith("cross_entropy") else y)


def trajectory(recorded, hidden, loss):
    """Weights after the steps in `KEPT`, or after the last if a search has converged before."""
    parameters = dict(GIVEN[recorded])
    name, rate = recorded.split()[0], parameters.pop("lr")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
    net = NetworkSpec(3, (LayerSpec(5, hidden), LayerSpec(4, hidden), LayerSpec(2, OUTPUTS.get(loss, "linear"))))
    search = OPTIMIZERS[name].search is not None
    spec = TrainingSpec(
        loss, OptimizerSpec(name, rate, given), 50, None if search else 4, shuffle=False, dtype="float64",
        task="classification" if loss in OUTPUTS else "regression",
    )  # fmt: skip
    state = initial_state(net, spec)
    state.parameters[:] = TRAJECTORIES[f"{recorded} | {hidden} | {loss}"][0]
    data = recorded_rows(loss)
    if search:
        after = [state.parameters.copy() for report in train(net, spec, state, data) if report]
        return [after[min(step, len(after)) - 1] for step in KEPT]
    kept = []
    for begin, end in pairwise((0, *KEPT)):
        # An epoch of as many steps as there are between two that were kept.
        places = np.arange(4 * begin, 4 * end) % 12
        next(train(net, spec, state, Rows(data.x[places], data.y[places])))
        kept.append(state.parameters.copy())
    return kept


LOSS_NAMES = ("quadratic", "mean_squared_error", *OUTPUTS)
HIDDEN = ("gelu", *(pytest.param(name, marks=pytest.mark.slow) for name in ("relu", "tanh", "sigmoid")))


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("loss", LOSS_NAMES)
@pytest.mark.parametrize(
    "recorded", [pytest.param(name, marks=[pytest.mark.slow] if " " in name else []) for name in GIVEN]
)
def test_fifty_steps_are_those_of_pytorch(recorded, hidden, loss):
    wanted = TRAJECTORIES[f"{recorded} | {hidden} | {loss}"][1:]
    differences = [
        np.abs(mine - theta).max() for mine, theta in zip(trajectory(recorded, hidden, loss), wanted, strict=True)
    ]
    # Three iterations a step are 150 in all, over which roundings grow: the first ten steps tell.
    told = 3 if recorded == "lbfgs short" else None
    assert max(differences[:told]) <= (1e-6 if recorded.startswith("lbfgs") else 1e-10)


def test_every_optimizer_that_pytorch_has_is_compared():
    assert {name.split()[0] for name in GIVEN} == set(OPTIMIZERS) - {"backtracking"}


@pytest.mark.parametrize(
    "name", [name.removeprefix("activation ") for name in VALUES if name.startswith("activation ")]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activation_and_slope_are_those_of_pytorch(name, dtype):
    points, wanted, slopes = VALUES[f"activation {name}"]
    z = points[None].astype(dtype)
    a, delta, scratch = np.empty_like(z), np.ones_like(z), np.empty_like(z)
    with np.errstate(all="ignore"):
        ACTIVATIONS[name].apply(z, a, scratch)
        ACTIVATIONS[name].times_slope(z, a, delta, scratch)
    # PyTorch has a line for softplus beyond 20, and a sixth in single precision for the slope of hard_sigmoid.
    close = 3e-6 if dtype == "float32" else 6e-9 if name in {"softplus", "hard_sigmoid"} else 4e-15
    np.testing.assert_allclose(a[0], wanted, rtol=close, atol=close)
    np.testing.assert_allclose(delta[0], slopes, rtol=close, atol=close)


def test_every_elementwise_activation_is_compared():
    assert {f"activation {name}" for name, act in ACTIVATIONS.items() if act.elementwise and name != "linear"} <= set(
        VALUES
    )


@pytest.mark.parametrize(
    ("recorded", "a", "y"),
    [
        ("mean_absolute_error", "a", "y"),
        ("mean_squared_error", "a", "y"),
        ("huber", "a", "y"),
        ("huber delta=0.3", "a", "y"),
        ("poisson", "rates", "counts"),
    ],
)
def test_loss_and_gradient_are_those_of_pytorch(recorded, a, y):
    name, *options = recorded.split()
    loss = LOSSES[name].with_parameters({key: float(value) for key, value in (option.split("=") for option in options)})
    a, y, out, scratch = VALUES[a], VALUES[y], np.empty((6, 3)), np.empty((6, 3))
    loss.each(a.copy(), a, y, out, scratch, loss.values)
    cost = loss.share(3) * out.sum() / 6
    loss.gradient(a, y, out, scratch, loss.values)
    mine = np.concatenate([[cost], loss.share(3) / 6 * out.reshape(-1)])
    np.testing.assert_allclose(mine, VALUES[f"loss {recorded}"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("what", ["smoothed", "weighted"])
def test_cross_entropy_smoothed_and_weighted_is_that_of_pytorch(what):
    """The network is the identity: its biases are the outputs of the one row, its weights those of the others."""
    z, y = VALUES["a"], np.eye(3)[VALUES["classes"]]
    net = NetworkSpec(6, (LayerSpec(3, "softmax"),), bias=False)
    spec = TrainingSpec(
        "cross_entropy", OptimizerSpec("gradient_descent", 1.0), 1, None, dtype="float64",
        label_smoothing=0.2 if what == "smoothed" else 0.0,
    )  # fmt: skip
    state = initial_state(net, spec, weights={"layers.0.weight": z.T})
    weights = class_weights(y, VALUES["weights"].tolist()) if what == "weighted" else None
    (report,) = train(net, spec, state, Rows(np.eye(6), y, weights=weights))
    wanted = VALUES[f"loss cross_entropy {what}"]
    assert report.train_loss == pytest.approx(wanted[0], rel=1e-13)
    gradient = z - state.parameters.reshape(3, 6).T
    np.testing.assert_allclose(gradient.reshape(-1), wanted[1:], rtol=1e-12, atol=1e-15)


def test_batch_normalisation_is_that_of_pytorch():
    net = NetworkSpec(3, (LayerSpec(5, "gelu", batch_norm=True), LayerSpec(2, "linear")))
    spec = TrainingSpec(
        "quadratic", OptimizerSpec("gradient_descent", 0.1), 5, 5, shuffle=False, dtype="float64", task="regression"
    )
    prefix = "batch_norm start "
    start = {name.removeprefix(prefix): array for name, array in VALUES.items() if name.startswith(prefix)}
    state = initial_state(net, spec, weights=start)
    list(train(net, spec, state, Rows(VALUES["batch_norm x"], VALUES["batch_norm y"])))
    stored = final_parameters(state, spec)
    for name, array in named_arrays(net, stored).items():
        np.testing.assert_allclose(array, VALUES[f"batch_norm end {name}"], rtol=0, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(predict(net, stored, VALUES["batch_norm x"]), VALUES["batch_norm outputs"], rtol=1e-9)


@pytest.mark.parametrize("number", range(len(SCHEDULED["schedules"])))
def test_learning_rates_are_those_of_pytorch_step_by_step(number):
    recorded = SCHEDULED["schedules"][number]
    schedule, memory = SCHEDULES[recorded["name"]], {}
    values = complete(schedule.parameters, recorded["parameters"])
    for t, (wanted, loss) in enumerate(zip(recorded["rates"], SCHEDULED["losses"], strict=True)):
        assert schedule.rate(0.3, t, 40, values, memory) == pytest.approx(wanted, rel=1e-12, abs=1e-16)
        if schedule.observe is not None:
            schedule.observe(memory, loss, 0.3, values)


def test_every_schedule_is_compared():
    assert {recorded["name"] for recorded in SCHEDULED["schedules"]} == set(SCHEDULES) - {"constant"}
