"""A run that stops anywhere and goes on from its saved form gives the same bits as one that never stopped."""

import dataclasses

import numpy as np
import pytest

import engine.batches
from engine import CheckpointError, EarlyStopping, dump, initial_state, load, train
from engine.optimizers import OPTIMIZERS
from tests.engine.cases import network, rows, training

FIELDS = [f for f in initial_state(network(2, 1), training()).__slots__ if f != "generator"]


def small(optimizer):
    """Options that let an optimizer train on few rows: searches take the full batch, and keep little."""
    if OPTIMIZERS[optimizer].search is None:
        return {"batch_size": 4}
    return {"batch_size": None, "parameters": {"max_iter": 3, "history_size": 2} if optimizer == "lbfgs" else {}}


def same(state, other):
    """Whether two states are equal to the last bit."""
    assert state.generator.bit_generator.state == other.generator.bit_generator.state
    for name in FIELDS:
        mine, theirs = getattr(state, name), getattr(other, name)
        if isinstance(mine, np.ndarray):
            assert mine.tobytes() == theirs.tobytes(), name
            assert mine.dtype == theirs.dtype
        else:
            assert mine == theirs, name
    return True


def undisturbed(net, spec, data, validation):
    """Every event of a run with the state's saved form after it, and the state at the end."""
    state = initial_state(net, spec)
    saved = [(None, dump(state))]
    saved += [(event, dump(state)) for event in train(net, spec, state, data, validation)]
    return saved, state


def assert_resumes_anywhere(net, spec, data, validation=None):
    saved, final = undisturbed(net, spec, data, validation)
    reports = [event for event, _ in saved if event is not None]
    assert [report.epoch for report in reports] == list(range(1, len(reports) + 1))
    for place, (_, data_bytes) in enumerate(saved):
        state = load(data_bytes, net, spec)
        assert dump(state) == data_bytes
        later = [event for event in train(net, spec, state, data, validation) if event is not None]
        assert later == [event for event, _ in saved[place + 1 :] if event is not None]
        assert same(state, final)
    return [event for event, _ in saved[1:]]


@pytest.fixture
def short_pauses(monkeypatch):
    """Pauses after every block, and blocks of one batch."""
    monkeypatch.setattr(engine.batches, "PAUSE_S", 0.0)


@pytest.fixture
def small_slices(monkeypatch):
    """Batches of more than 4 rows go through in slices."""
    monkeypatch.setattr(engine.batches, "_slice_rows", lambda row_bytes, row_flops: 4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_run_resumed_after_any_epoch_is_bit_identical(optimizer, dtype, shuffle):
    net, data = network(3, 5, 2), rows(11, 3, 2, dtype=dtype)
    spec = training(optimizer=optimizer, epochs=5, shuffle=shuffle, dtype=dtype, **small(optimizer))
    events = assert_resumes_anywhere(net, spec, data, rows(6, 3, 2, dtype=dtype, seed=9))
    assert len(events) == 5


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_run_resumed_at_any_pause_is_bit_identical(optimizer, dtype, shuffle):
    net, data = network(3, 5, 2), rows(11, 3, 2, dtype=dtype)
    spec = training(optimizer=optimizer, epochs=3, shuffle=shuffle, dtype=dtype, **small(optimizer))
    pauses = assert_resumes_anywhere(net, spec, data).count(None)
    assert pauses == (6 if OPTIMIZERS[optimizer].search is None else 0)


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses", "small_slices")
@pytest.mark.parametrize("batch_size", [None, 9])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_run_resumed_inside_a_sliced_batch_is_bit_identical(batch_size, task):
    net, data = network(3, 5, 2), rows(21, 3, 2, classes=True)
    spec = training(optimizer="adam", epochs=3, batch_size=batch_size, task=task, gradient_clip_norm=0.1)
    events = assert_resumes_anywhere(net, spec, data, rows(10, 3, 2, classes=True))
    assert events.count(None) > 15


@pytest.mark.usefixtures("short_pauses")
def test_run_that_stops_early_is_bit_identical():
    net, data = network(3, 5, 1, hidden="relu"), rows(9, 3, 1)
    spec = training(epochs=30, batch_size=4, learning_rate=0.2, early_stopping=EarlyStopping(patience=3))
    events = assert_resumes_anywhere(net, spec, data, rows(9, 3, 1, seed=4))
    assert 4 <= len([event for event in events if event]) < 30


@pytest.mark.usefixtures("small_slices")
def test_slices_add_up_to_the_gradient_of_the_batch(monkeypatch):
    net, data = network(3, 5, 2), rows(21, 3, 2)
    spec = training(epochs=4)
    sliced = initial_state(net, spec)
    sliced_reports = [event for event in train(net, spec, sliced, data) if event]
    monkeypatch.undo()
    whole = initial_state(net, spec)
    whole_reports = list(train(net, spec, whole, data))
    np.testing.assert_allclose(sliced.parameters, whole.parameters, rtol=1e-12)
    assert [r.train_loss for r in sliced_reports] == pytest.approx([r.train_loss for r in whole_reports], rel=1e-12)


def test_ended_run_yields_nothing_more():
    net, data = network(3, 2), rows(4, 3, 2)
    spec = training(epochs=2)
    _, state = undisturbed(net, spec, data, None)
    assert state.stopped_because == "completed"
    assert list(train(net, spec, load(dump(state), net, spec), data)) == []


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 0.2}, {"dtype": "float32"}, {"seed": 1}, {"batch_size": 2}, {"optimizer": "adam"}],
)
def test_checkpoint_of_another_training_is_refused(change):
    net = network(3, 2)
    saved = dump(initial_state(net, training()))
    with pytest.raises(CheckpointError):
        load(saved, net, training(**change))


def test_checkpoint_of_another_network_is_refused():
    saved = dump(initial_state(network(3, 2), training()))
    for other in (network(2, 2), network(3, 2, 2), network(3, 2, output="tanh"), network(3, 2, bias=False)):
        with pytest.raises(CheckpointError):
            load(saved, other, training())


def test_bytes_that_are_no_checkpoint_are_refused():
    net, spec = network(3, 2), training()
    saved = dump(initial_state(net, spec))
    broken = [b"", b"PK\x03\x04", saved[: len(saved) // 2], saved[:200] + b"\x00\x01\x02" + saved[203:]]
    for data in broken:
        with pytest.raises(CheckpointError):
            load(data, net, spec)


def test_checkpoint_with_a_vector_of_another_shape_is_refused():
    net, spec = network(3, 2), training()
    state = initial_state(net, spec)
    state.tally = np.zeros(17)
    with pytest.raises(CheckpointError, match="tally"):
        load(dump(state), net, spec)


def test_same_seed_is_the_same_run_and_another_seed_is_not():
    net, data = network(3, 5, 2), rows(11, 3, 2)
    spec = training(epochs=3, batch_size=4)
    runs = [undisturbed(net, dataclasses.replace(spec, seed=seed), data, None)[1] for seed in (1, 1, 2)]
    assert same(runs[0], runs[1])
    assert not np.array_equal(runs[0].parameters, runs[2].parameters)
