"""Dropout, batch normalisation, weights of rows, smoothing, penalties: their gradient is that of the reported loss."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine.batches
from engine import LayerSpec, NetworkSpec, Rows, dump, initial_state, load, named_arrays, predict, train
from engine.activations import ACTIVATIONS
from engine.batches import class_weights
from engine.initializers import INITIALIZERS
from engine.losses import LOSSES
from engine.normal import normal_distribution
from engine.optimizers import OPTIMIZERS
from engine.schedules import SCHEDULES
from engine.spec import ScheduleSpec
from engine.weights import final_parameters
from tests.engine import paper
from tests.engine.cases import HIDDEN, PAIRS, TRIPLES, network, random_state, rows, training
from tests.engine.test_gradients import central_differences
from tests.engine.test_resume import assert_resumes_anywhere, same, small

pytestmark = pytest.mark.slow


def regularised(*widths, hidden="tanh", output="linear", dropout=0.3, batch_norm=True):
    layers = [LayerSpec(n, hidden, dropout=dropout, batch_norm=batch_norm) for n in widths[1:-1]]
    return NetworkSpec(widths[0], (*layers, LayerSpec(widths[-1], output)))


def epoch_from(net, spec, parameters, data, seed=3):
    """The loss that an epoch reports from these parameters, and the parameters after it; the masks are the seed's."""
    state = initial_state(net, dataclasses.replace(spec, seed=seed))
    state.parameters[:] = parameters
    (report,) = train(net, spec, state, data)
    return report.train_loss, state.parameters.copy()


def assert_gradient(net, spec, data, seed=3):
    parameters = 0.7 * np.random.default_rng(seed).standard_normal(net.n_parameters)
    _, after = epoch_from(net, spec, parameters, data)
    gradient = (parameters - after) / spec.optimizer.learning_rate
    slopes = central_differences(lambda theta: epoch_from(net, spec, theta, data)[0], parameters, h=2e-5)
    scale = np.abs(slopes).max()
    assert scale > 1e-4
    assert np.abs(gradient - slopes).max() / scale <= 1e-6


@pytest.mark.parametrize(
    ("hidden", "output", "loss"),
    [pytest.param(*names, marks=[pytest.mark.slow] if i % 4 else []) for i, names in enumerate(TRIPLES)],
)
def test_gradient_with_everything_on_is_that_of_the_reported_loss(hidden, output, loss):
    net = regularised(2, 3, 2, hidden=hidden, output=output)
    plain = rows(6, 2, 2, classes=True)
    data = dataclasses.replace(plain, weights=np.random.default_rng(5).random(6) + 0.2)
    smoothing = 0.1 if LOSSES[loss].smooths else 0.0
    spec = training(
        loss, epochs=1, task=LOSSES[loss].tasks[0], l1=0.01, l2=0.05, label_smoothing=smoothing, learning_rate=1.0
    )
    assert_gradient(net, spec, data)


@pytest.mark.parametrize(
    ("loss", "values"), [("huber", {"delta": 0.2}), ("quantile", {"quantile": 0.9}), ("poisson", {"eps": 0.1})]
)
def test_gradient_follows_the_parameters_of_the_loss(loss, values):
    net = network(3, 4, 2, output="softplus")
    assert_gradient(net, training(loss, epochs=1, loss_parameters=values, learning_rate=1.0), rows(7, 3, 2))


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 5), min_size=3, max_size=5),
    hidden=st.sampled_from([name for name in HIDDEN if name not in {"relu", "leaky_relu", "hard_sigmoid"}]),
    dropout=st.sampled_from([0.0, 0.4]),
    batch_norm=st.booleans(),
    n_rows=st.integers(3, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_regularised_network_resumes_to_the_same_bits(widths, hidden, dropout, batch_norm, n_rows, seed):
    net = regularised(*widths, hidden=hidden, dropout=dropout, batch_norm=batch_norm)
    data = rows(n_rows, widths[0], widths[-1], seed=seed)
    spec = training(optimizer="adam", learning_rate=0.01, epochs=3, batch_size=2, seed=seed)
    assert_resumes_anywhere(net, spec, data)


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if OPTIMIZERS[name].search is None])
def test_run_with_everything_on_resumes_to_the_same_bits(optimizer, monkeypatch):
    monkeypatch.setattr(engine.batches, "PAUSE_S", 0.0)
    net, plain = regularised(3, 5, 4, 2), rows(9, 3, 2)
    data = dataclasses.replace(plain, weights=np.random.default_rng(5).random(9))
    spec = training(
        optimizer=optimizer, learning_rate=0.01, epochs=4, batch_size=4, l1=0.01, l2=0.1, max_norm=1.0,
        schedule=ScheduleSpec("one_cycle"), gradient_clip_norm=0.5,
    )  # fmt: skip
    assert_resumes_anywhere(net, spec, data, rows(5, 3, 2, seed=8))


@pytest.mark.parametrize("name", SCHEDULES)
def test_run_resumes_from_the_middle_of_every_schedule(name):
    values = {"patience": 0, "threshold": 0.5} if name == "reduce_on_plateau" else {}
    net, data = network(3, 4, 1), rows(9, 3, 1)
    spec = training(epochs=6, batch_size=4, schedule=ScheduleSpec(name, values))
    reports = assert_resumes_anywhere(net, spec, data)
    rates = {report.learning_rate for report in reports}
    assert (len(rates) > 1) == (name not in {"constant", "step"})


def test_slices_of_a_network_with_dropout_resume_to_the_same_bits(monkeypatch):
    monkeypatch.setattr(engine.batches, "PAUSE_S", 0.0)
    monkeypatch.setattr(engine.batches, "_slice_rows", lambda row_bytes, row_flops: 4)
    net = regularised(3, 5, 2, batch_norm=False)
    plain = rows(21, 3, 2)
    data = dataclasses.replace(plain, weights=np.random.default_rng(5).random(21))
    events = assert_resumes_anywhere(net, training(epochs=2, batch_size=9, optimizer="adam", learning_rate=0.01), data)
    assert events.count(None) > 6


def test_slices_of_weighted_rows_add_up_to_the_gradient_of_the_batch(monkeypatch):
    net, plain = network(3, 5, 2), rows(21, 3, 2)
    data = dataclasses.replace(plain, weights=np.random.default_rng(5).random(21))
    spec = training(epochs=3, l2=0.1)
    whole = initial_state(net, spec)
    wanted = [report.train_loss for report in train(net, spec, whole, data)]
    monkeypatch.setattr(engine.batches, "_slice_rows", lambda row_bytes, row_flops: 4)
    sliced = initial_state(net, spec)
    losses = [report.train_loss for report in train(net, spec, sliced, data) if report]
    assert losses == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(sliced.parameters, whole.parameters, rtol=1e-11)


def test_weights_are_copies_of_rows():
    net, plain = network(3, 4, 2), rows(6, 3, 2)
    times = np.array([1, 2, 1, 3, 1, 1])
    repeated = Rows(plain.x.repeat(times, 0), plain.y.repeat(times, 0))
    weighted = dataclasses.replace(plain, weights=0.5 * times)
    spec = training(epochs=3)
    states = [initial_state(net, spec), initial_state(net, spec)]
    losses = [
        [(report.train_loss, report.validation_loss) for report in train(net, spec, state, data, data)]
        for state, data in zip(states, (repeated, weighted), strict=True)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-12)
    np.testing.assert_allclose(states[0].parameters, states[1].parameters, rtol=1e-11)


def test_batch_whose_weights_are_all_0_moves_nothing():
    net, plain = network(3, 2), rows(4, 3, 2)
    data = dataclasses.replace(plain, weights=np.array([0.0, 0.0, 1.0, 1.0]))
    spec = training(epochs=1, batch_size=2, shuffle=False)
    half = Rows(plain.x[2:], plain.y[2:])
    states = [initial_state(net, spec), initial_state(net, spec)]
    for state, given_rows in zip(states, (data, half), strict=True):
        list(train(net, spec, state, given_rows))
    np.testing.assert_array_equal(states[0].parameters, states[1].parameters)


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0, 1.0], [np.nan, 1, 1, 1], [0.0] * 4])
def test_weights_that_make_no_mean_are_refused(weights):
    net, plain = network(3, 2), rows(4, 3, 2)
    spec = training()
    with pytest.raises(ValueError, match="eights"):
        list(train(net, spec, initial_state(net, spec), Rows(plain.x, plain.y, weights=np.array(weights))))


def test_class_weights_are_those_of_each_rows_class():
    np.testing.assert_array_equal(class_weights(np.eye(3)[[0, 2, 1]], [0.5, 1.0, 2.0]), [0.5, 2.0, 1.0])
    np.testing.assert_array_equal(class_weights(np.array([[0.0], [1.0]]), [0.5, 3.0]), [0.5, 3.0])


def test_dropout_silences_its_share_and_keeps_the_mean():
    net = regularised(1, 1000, 1, hidden="linear", dropout=0.25, batch_norm=False)
    spec = training(epochs=1, learning_rate=1e-12)
    state = initial_state(net, spec)
    arrays = named_arrays(net, state.parameters)
    arrays["layers.0.weight"].fill(1.0)
    arrays["layers.1.weight"].fill(1e-3)
    data = Rows(np.ones((500, 1)), np.zeros((500, 1)))
    (report,) = train(net, spec, state, data)
    assert report.metrics["mae"] == pytest.approx(1.0, abs=0.01)
    assert report.train_loss == pytest.approx(0.5 * (1 + 0.25 / 0.75 / 1000), rel=0.01)
    np.testing.assert_allclose(predict(net, state.parameters, data.x), 1.0, rtol=1e-8)


def test_statistics_are_stored_by_name_and_come_back():
    net, spec = regularised(3, 4, 2), training(epochs=3, batch_size=5)
    state = initial_state(net, spec)
    list(train(net, spec, state, rows(11, 3, 2)))
    arrays = named_arrays(net, final_parameters(state, spec))
    assert list(arrays)[:6] == [
        "layers.0.weight", "layers.0.bias", "layers.0.batch_norm.weight", "layers.0.batch_norm.bias",
        "layers.0.batch_norm.running_mean", "layers.0.batch_norm.running_var",
    ]  # fmt: skip
    assert (arrays["layers.0.batch_norm.running_var"] != 1.0).all()
    again = initial_state(net, spec, weights=arrays)
    np.testing.assert_array_equal(again.parameters, state.parameters)
    np.testing.assert_array_equal(again.statistics[0], state.statistics[0])


def test_validation_and_prediction_go_by_the_running_numbers():
    net, spec = regularised(3, 4, 2), training(epochs=2, batch_size=5)
    state, held_out = initial_state(net, spec), rows(6, 3, 2, seed=9)
    reports = list(train(net, spec, state, rows(11, 3, 2), held_out))
    outputs = predict(net, final_parameters(state, spec), held_out.x)
    wanted = np.mean([paper.cost("quadratic", a, y) for a, y in zip(outputs, held_out.y, strict=True)])
    assert reports[-1].validation_loss == pytest.approx(wanted, rel=1e-12)


def test_best_parameters_keep_their_statistics():
    net, held_out = regularised(3, 8, 1), rows(20, 3, 1, seed=5)
    spec = training(epochs=25, learning_rate=0.3, batch_size=3, early_stopping=engine.EarlyStopping(patience=100))
    state, kept = initial_state(net, spec), {}
    for report in train(net, spec, state, rows(6, 3, 1), held_out):
        kept[report.epoch] = np.concatenate((state.parameters, state.statistics[0]))
    assert state.best_epoch < 25
    np.testing.assert_array_equal(final_parameters(state, spec), kept[state.best_epoch])


def test_no_row_of_weights_is_longer_than_max_norm():
    net, spec = network(3, 5, 2), training(epochs=5, learning_rate=1.0, max_norm=0.3)
    state = random_state(net, spec)
    list(train(net, spec, state, rows(9, 3, 2)))
    for name, array in named_arrays(net, state.parameters).items():
        if name.endswith("weight"):
            assert (np.linalg.norm(array, axis=1) <= 0.3 * (1 + 1e-12)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("output", "loss"), PAIRS)
def test_every_loss_and_its_error_are_finite_at_ten_thousand(output, loss, dtype):
    z = np.array([[1e4, -1e4], [-1e4, 1e4], [0.0, 1e4], [-1e4, 0.0]], dtype)
    y = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype)
    a, out, scratch = np.empty_like(z), np.empty_like(z), np.empty_like(z)
    act, cost = ACTIVATIONS[output], LOSSES[loss]
    with np.errstate(all="ignore"):
        act.apply(z, a, scratch)
        cost.gradient(a, y, out, scratch, cost.values)
        if act.name != cost.collapses_with:
            act.times_slope(z, a, out, scratch)
        assert np.isfinite(out).all()
        cost.each(z, a, y, out, scratch, cost.values)
    assert np.isfinite(out).all()


def test_normal_distribution_is_exact_to_the_rounding():
    import math

    z = np.linspace(-9, 9, 2001)[None]
    for dtype, close in (("float64", 3e-16), ("float32", 1.5e-7)):
        given_z = z.astype(dtype)
        out, density = np.empty_like(given_z), np.empty_like(given_z)
        normal_distribution(given_z, out=out, density=density)
        wanted = [0.5 * math.erfc(-v / math.sqrt(2)) for v in given_z[0].tolist()]
        assert np.abs(out[0] - wanted).max() <= close


def test_orthogonal_weights_are_orthonormal():
    for fan_in, fan_out in ((7, 4), (4, 7)):
        W = INITIALIZERS["orthogonal"].draw(np.random.default_rng(1), fan_in, fan_out, {"gain": 1.0})
        product = W @ W.T if fan_out < fan_in else W.T @ W
        np.testing.assert_allclose(product, np.eye(4), atol=1e-14)


def test_constant_weights_are_the_value():
    net = dataclasses.replace(network(3, 2), initializer="constant", initializer_parameters={"value": 0.25})
    arrays = named_arrays(net, initial_state(net, training()).parameters)
    assert (arrays["layers.0.weight"] == 0.25).all()
    assert not arrays["layers.0.bias"].any()


@pytest.mark.parametrize("optimizer", ["backtracking", "lbfgs"])
def test_search_in_slices_resumes_to_the_same_bits(optimizer, monkeypatch):
    monkeypatch.setattr(engine.batches, "PAUSE_S", 0.0)
    monkeypatch.setattr(engine.batches, "_slice_rows", lambda row_bytes, row_flops: 4)
    net, plain = network(3, 4, 2), rows(11, 3, 2)
    data = dataclasses.replace(plain, weights=np.random.default_rng(5).random(11))
    spec = training(optimizer=optimizer, epochs=3, learning_rate=1.0, l2=0.01, **small(optimizer))
    events = assert_resumes_anywhere(net, spec, data, rows(5, 3, 2, seed=3))
    assert events.count(None) > 10


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_never_rises_with_backtracking(dtype):
    net, data = network(3, 6, 2, hidden="gelu"), rows(40, 3, 2, dtype=dtype)
    spec = training(optimizer="backtracking", epochs=200, learning_rate=8.0, l2=1e-3, dtype=dtype)
    state = initial_state(net, spec)
    reports = list(train(net, spec, state, data))
    losses = [report.train_loss for report in reports]
    assert all(later <= earlier for earlier, later in pairwise(losses))
    assert losses[-1] < 0.8 * losses[0]
    searches = [report.line_search for report in reports]
    assert all(search["margin"] >= 0.0 for search in searches)
    assert all(search["step"] == 8.0 * 0.5 ** (search["tries"] - 1) for search in searches if search["step"])
    assert max(search["tries"] for search in searches) > 1


def test_armijos_step_is_the_first_that_is_short_enough():
    """One weight, ``f(w) = w^2 / 2``: a step of ``t`` falls by ``t (1 - t / 2) g^2``, enough while ``t <= 2 (1 - c)``."""
    net, data = NetworkSpec(1, (LayerSpec(1, "linear"),), bias=False), Rows(np.ones((1, 1)), np.zeros((1, 1)))
    for decrease, wanted in ((0.25, 1.5), (0.7, 0.375)):
        values = {"sufficient_decrease": decrease, "shrink": 0.5}
        spec = training(optimizer="backtracking", epochs=1, learning_rate=3.0, parameters=values)
        state = initial_state(net, spec, weights={"layers.0.weight": np.ones((1, 1))})
        (report,) = train(net, spec, state, data)
        assert report.line_search["step"] == wanted
        assert report.line_search["margin"] == pytest.approx(wanted * (1 - wanted / 2) - decrease * wanted)
        assert state.parameters[0] == 1.0 - wanted


@pytest.mark.parametrize("optimizer", ["backtracking", "lbfgs"])
def test_search_that_finds_nothing_to_move_has_converged(optimizer):
    net, data = network(1, 1), Rows(np.ones((2, 1)), np.ones((2, 1)))
    spec = training(optimizer=optimizer, epochs=100, learning_rate=1.0)
    state = initial_state(net, spec)
    reports = list(train(net, spec, state, data))
    assert state.stopped_because == "converged"
    assert len(reports) < 100
    assert reports[-1].train_loss < 1e-12


def test_lbfgs_reaches_in_few_epochs_what_descent_does_not():
    net, data = network(3, 8, 1), rows(30, 3, 1)
    last = {}
    for optimizer in ("lbfgs", "gradient_descent"):
        spec = training(optimizer=optimizer, epochs=10, learning_rate=1.0)
        reports = list(train(net, spec, initial_state(net, spec), data))
        last[optimizer] = reports[-1].train_loss
    assert last["lbfgs"] < 0.3 * last["gradient_descent"]


def test_search_over_parts_of_the_rows_is_refused():
    net, spec = network(2, 1), training(optimizer="lbfgs", batch_size=2)
    with pytest.raises(ValueError, match="full batch"):
        list(train(net, spec, initial_state(net, spec), rows(4, 2, 1)))


def test_divergence_restores_statistics_and_memory():
    net, data = regularised(2, 4, 1, hidden="relu", dropout=0.0), rows(12, 2, 1)
    spec = training(epochs=50, batch_size=5, learning_rate=1e200, schedule=ScheduleSpec("reduce_on_plateau"))
    state, saved = initial_state(net, spec), [None]
    saved[0] = dump(state)
    with pytest.raises(engine.Diverged):
        saved.extend(dump(state) for _ in train(net, spec, state, data))
    assert dump(state) == saved[-1]
    assert same(load(saved[-1], net, spec), state)


def test_a_last_batch_of_one_row_leaves_the_running_variance():
    net, data = regularised(2, 3, 1, dropout=0.0), rows(1, 2, 1)
    spec = training(epochs=1, batch_size=4)
    state = initial_state(net, spec)
    list(train(net, spec, state, data))
    arrays = named_arrays(net, final_parameters(state, spec))
    assert (arrays["layers.0.batch_norm.running_var"] == 1.0).all()
    assert arrays["layers.0.batch_norm.running_mean"].any()
