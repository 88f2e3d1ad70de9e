"""The training loop: what it reports, when it ends, and what it leaves behind."""

import gc
import inspect
import tracemalloc

import numpy as np
import pytest

import engine
import engine.batches
from engine import Diverged, EarlyStopping, Rows, dump, final_parameters, initial_state, load, predict, train
from engine.batches import spans
from engine.equations import descend
from engine.training import _Run
from tests.engine import paper
from tests.engine.cases import as_paper, bound_pass, flat, network, random_state, rows, training, xor


def run(net, spec, data, validation=None, state=None):
    state = initial_state(net, spec) if state is None else state
    return [event for event in train(net, spec, state, data, validation) if event is not None], state


def test_shapes_are_checked_on_every_call_of_these_tests():
    with pytest.raises(Exception, match="scratch"):
        descend(np.zeros(3), np.zeros(3), 0.1, scratch=np.zeros(4))


def test_xor_is_learned_by_the_papers_own_algorithm():
    net, data = network(2, 4, 1, hidden="sigmoid", output="sigmoid"), xor()
    spec = training("quadratic", "gradient_descent", 5.0, epochs=500, seed=1, task="classification")
    reports, state = run(net, spec, data)
    assert reports[-1].train_loss < 0.01
    assert reports[-1].metrics == {"accuracy": 1.0}
    assert np.array_equal(predict(net, state.parameters, data.x) > 0.5, data.y > 0.5)


@pytest.mark.parametrize("batch_size", [1, 4, 7, None])
def test_epoch_takes_every_row_once_and_the_odd_last_batch_too(batch_size):
    net, data = network(2, 3, 1), rows(10, 2, 1)
    spec = training(epochs=2, batch_size=batch_size, shuffle=False)
    state = random_state(net, spec)
    layers = as_paper(net, state.parameters)
    for report in train(net, spec, state, data):
        total = 0.0
        for start in range(0, 10, batch_size or 10):
            stop = min(10, start + (batch_size or 10))
            layers, C = paper.descend(layers, data.x[start:stop], data.y[start:stop], "quadratic", 0.1)
            total += C * (stop - start)
        assert report.train_loss == pytest.approx(total / 10, rel=1e-12)
    np.testing.assert_allclose(state.parameters, flat(layers), rtol=1e-12)


def test_shuffled_epoch_takes_every_row_once_in_a_new_order():
    net, spec = network(1, 1), training(batch_size=5)
    data = Rows(np.arange(10.0)[:, None], np.arange(10.0)[:, None] + 100)
    state = initial_state(net, spec)
    training_run = _Run(net, spec, state, data, None)
    orders = []
    for _ in range(3):
        state.epoch_generator = None
        training_run._draw_order()
        order = []
        for start, stop in spans(0, 10, training_run._layout.block_rows):
            training_run._reader.read(start, stop)
            order += training_run._workspace.x[: stop - start, 0].tolist()
            np.testing.assert_array_equal(training_run._workspace.y, training_run._workspace.x + 100)
        orders.append(order)
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_mapped_rows_train_as_rows_in_memory(tmp_path):
    net, data, spec = network(3, 4, 2), rows(50, 3, 2), training(epochs=3, batch_size=8)
    np.save(tmp_path / "x.npy", data.x)
    mapped = Rows(np.load(tmp_path / "x.npy", mmap_mode="r"), data.y)
    np.testing.assert_array_equal(run(net, spec, mapped)[1].parameters, run(net, spec, data)[1].parameters)


def test_validation_is_of_the_parameters_after_the_epoch():
    net, data, held_out = network(2, 3, 2), rows(12, 2, 2), rows(5, 2, 2, seed=8)
    reports, state = run(net, training(epochs=3, batch_size=4), data, held_out)
    outputs = predict(net, state.parameters, held_out.x)
    assert reports[-1].validation_loss == pytest.approx(
        np.mean([paper.cost("quadratic", a, y) for a, y in zip(outputs, held_out.y, strict=True)]), rel=1e-12
    )
    residual = outputs - held_out.y
    variation = ((held_out.y - held_out.y.mean(0)) ** 2).sum(0)
    assert reports[-1].metrics == pytest.approx(
        {
            "rmse": np.sqrt((residual**2).mean()),
            "mae": np.abs(residual).mean(),
            "r2": (1 - (residual**2).sum(0) / variation).mean(),
        },
        rel=1e-12,
    )


def test_errors_are_reported_in_the_units_of_the_rows():
    net, data, plain = network(2, 3, 2), rows(12, 2, 2), rows(5, 2, 2, seed=8)
    held_out = Rows(plain.x, plain.y, units=(10.0, 0.5))
    reports, state = run(net, training(epochs=2, batch_size=4), data, held_out)
    residual = (predict(net, state.parameters, held_out.x) - held_out.y) * np.array([10.0, 0.5])
    assert reports[-1].metrics["rmse"] == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-12)
    assert reports[-1].metrics["mae"] == pytest.approx(np.abs(residual).mean(), rel=1e-12)


def test_accuracy_counts_the_rows_whose_largest_output_is_their_class():
    net, data = network(2, 3, output="softmax"), rows(40, 2, 3, classes=True)
    spec = training("cross_entropy", epochs=1, task="classification")
    reports, state = run(net, spec, data, data)
    right = predict(net, state.parameters, data.x).argmax(1) == data.y.argmax(1)
    assert reports[0].metrics == {"accuracy": right.mean()}


def test_metrics_without_validation_are_of_the_outputs_seen_while_training():
    net, data, spec = network(2, 3, 1), rows(9, 2, 1), training(epochs=1)
    state = random_state(net, spec)
    before = predict(net, state.parameters, data.x)
    reports, _ = run(net, spec, data, state=state)
    assert reports[0].metrics["mae"] == pytest.approx(np.abs(before - data.y).mean(), rel=1e-12)


def test_gradient_norm_is_that_before_clipping_and_the_step_that_after():
    net, data = network(2, 3, 1), rows(9, 2, 1)
    state = random_state(net, training())
    start = state.parameters.copy()
    total, _ = paper.gradient(as_paper(net, start), data.x, data.y, "quadratic")
    gradient = flat(total)
    norm = np.linalg.norm(gradient)
    bound = 0.4 * np.abs(gradient).max()
    expected = {
        (None, None): gradient,
        (norm / 2, None): gradient * (norm / 2) / (norm + 1e-6),
        (norm * 2, None): gradient,
        (None, bound): np.clip(gradient, -bound, bound),
        (norm / 2, bound): np.clip(gradient * (norm / 2) / (norm + 1e-6), -bound, bound),
    }
    for (limit, value), wanted in expected.items():
        spec = training(epochs=1, gradient_clip_norm=limit, gradient_clip_value=value)
        state = random_state(net, spec)
        reports, _ = run(net, spec, data, state=state)
        assert reports[0].gradient_norm == pytest.approx(norm, rel=1e-12)
        np.testing.assert_allclose(start - state.parameters, 0.1 * wanted, rtol=1e-9, atol=1e-15)


def test_best_is_the_lowest_watched_loss_and_its_parameters_are_kept():
    net, data = network(3, 8, 1), rows(6, 3, 1)
    held_out = rows(20, 3, 1, seed=5)
    spec = training(epochs=60, learning_rate=0.3)
    state, kept = initial_state(net, spec), {}
    for report in train(net, spec, state, data, held_out):
        kept[report.epoch] = report, state.parameters.copy()
    losses = {epoch: report.validation_loss for epoch, (report, _) in kept.items()}
    assert state.best_epoch == min(losses, key=losses.get)
    assert state.best_loss == losses[state.best_epoch]
    assert kept[state.best_epoch][0].best
    np.testing.assert_array_equal(state.best_parameters, kept[state.best_epoch][1])


def test_early_stopping_waits_for_its_patience_and_restores_the_best():
    net, data, held_out = network(3, 8, 1), rows(6, 3, 1), rows(20, 3, 1, seed=5)
    for restore in (True, False):
        stopping = EarlyStopping("validation_loss", patience=4, min_delta=0.0, restore_best=restore)
        spec = training(epochs=500, learning_rate=0.3, early_stopping=stopping)
        reports, state = run(net, spec, data, held_out)
        assert state.stopped_because == "early_stopping"
        assert state.epoch == len(reports) == state.best_epoch + 4 < 500
        wanted = state.best_parameters if restore else state.parameters
        np.testing.assert_array_equal(final_parameters(state, spec), wanted)


def test_gains_below_min_delta_use_up_patience():
    net, data = network(3, 1), rows(20, 3, 1)
    stopping = EarlyStopping("train_loss", patience=3, min_delta=10.0, restore_best=False)
    reports, state = run(net, training(epochs=50, early_stopping=stopping), data)
    assert (len(reports), state.stopped_because) == (4, "early_stopping")
    assert state.best_epoch == 4


def test_watching_validation_without_validation_rows_is_refused():
    spec = training(early_stopping=EarlyStopping())
    with pytest.raises(ValueError, match="validation"):
        run(network(3, 1), spec, rows(20, 3, 1))


@pytest.mark.parametrize("data", [rows(5, 2, 1), rows(5, 3, 2), rows(5, 3, 1, dtype="float32"), rows(0, 3, 1)])
def test_rows_that_do_not_fit_are_refused(data):
    with pytest.raises(ValueError, match="fit"):
        run(network(3, 1), training(), data)


@pytest.mark.parametrize("optimizer", ["gradient_descent", "momentum"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_leaves_the_last_finite_state(optimizer, dtype):
    net, data = network(2, 4, 1, hidden="relu"), rows(12, 2, 1, dtype=dtype)
    spec = training(optimizer=optimizer, learning_rate=10.0, epochs=1000, batch_size=5, dtype=dtype)
    state, saved = initial_state(net, spec), []
    with pytest.raises(Diverged) as raised:
        saved.extend(dump(state) for _ in train(net, spec, state, data))
    assert 1 < raised.value.epoch == state.epoch + 1 < 1000
    assert dump(state) == saved[-1]
    assert np.isfinite(load(saved[-1], net, spec).vectors[0]).all()


def test_validation_loss_that_is_not_finite_is_a_divergence():
    net, data = network(1, 1), rows(4, 1, 1, dtype="float32")
    far = Rows(np.full((3, 1), 3e38, "float32"), np.zeros((3, 1), "float32"))
    spec = training(dtype="float32", epochs=3)
    state = initial_state(net, spec)
    before = dump(state)
    with pytest.raises(Diverged):
        list(train(net, spec, state, data, far))
    assert dump(state) == before


def test_parameters_that_overflow_in_the_last_step_are_a_divergence():
    net, data = network(1, 1), rows(4, 1, 1, dtype="float32")
    spec = training(dtype="float32", epochs=1, learning_rate=3e38)
    state = random_state(net, spec)
    state.parameters[:] = 30
    with pytest.raises(Diverged):
        list(train(net, spec, state, data))
    np.testing.assert_array_equal(state.parameters, np.full(2, 30, "float32"))


def test_large_but_finite_parameters_are_no_divergence():
    net = network(1, 1)
    spec = training(dtype="float32", epochs=2)
    state = initial_state(net, spec)
    state.parameters[:] = [1e25, 0]
    data = Rows(np.zeros((4, 1), "float32"), np.zeros((4, 1), "float32"))
    assert len(run(net, spec, data, state=state)[0]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "output", "loss", "task"),
    [
        ("gradient_descent", "softmax", "cross_entropy", "classification"),
        ("momentum", "softmax", "quadratic", "classification"),
        ("adam", "sigmoid", "binary_cross_entropy", "classification"),
        ("adam", "tanh", "mean_squared_error", "regression"),
    ],
)
def test_no_array_is_allocated_in_a_step(monkeypatch, optimizer, output, loss, task):
    monkeypatch.setattr(engine.batches, "SLICE_BYTES", 1 << 30)
    net, data = network(8, 128, 128, output=output), rows(16384, 8, 128, classes=True)
    spec = training(loss, optimizer, 1e-3, epochs=3, batch_size=16384, task=task, gradient_clip_norm=1.0)
    state = initial_state(net, spec)
    training_run = _Run(net, spec, state, data, None)

    def epoch():
        state.position = 0
        list(training_run._epoch())

    with np.errstate(all="ignore"):
        epoch()
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            epoch()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # A column of the batch or a matrix of weights is 128 KiB. NumPy's broadcasting takes a buffer of 64 KiB, whatever the size.
    assert peak - before < 112 << 10


@pytest.mark.slow
def test_memory_is_predicted():
    for net, n, batch_size in ((network(30, 64, 2), 5000, 64), (network(200, 300, 5), 3000, None)):
        data, spec = rows(n, net.n_inputs, net.n_outputs), training(optimizer="adam", epochs=1, batch_size=batch_size)
        tracemalloc.start()
        try:
            state = initial_state(net, spec)
            tracemalloc.reset_peak()
            list(train(net, spec, state, data, data))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak == pytest.approx(engine.memory_bytes(net, spec, n, n), rel=0.15)


def test_flops_are_those_of_the_matrix_products():
    net = network(3, 4, 2)
    forward_and_gradient = 2 * 2 * (3 * 4 + 4 * 2)
    assert engine.flops_per_epoch(net, training(), 10) == 10 * (forward_and_gradient + 2 * 4 * 2)


def test_engine_imports_no_service_and_writes_nothing():
    for name, module in list(vars(engine).items()):
        if inspect.ismodule(module):
            source = inspect.getsource(module)
            assert "print(" not in source, name
            assert "import logging" not in source, name
            assert "import time" not in source, name


def test_pass_is_bound_once():
    net, spec, data = network(2, 3, 1), training(), rows(4, 2, 1)
    workspace, batch = bound_pass(net, spec, initial_state(net, spec).parameters, data)
    assert workspace.pass_over(0, 4, 4) is batch
