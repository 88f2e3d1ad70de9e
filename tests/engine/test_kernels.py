"""The compiled steps against the plain ones, which are the reference."""

import dataclasses
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

import engine.arrays
import engine.batches
import engine.kernels
from engine import (
    CheckpointError,
    Diverged,
    LayerSpec,
    OptimizerSpec,
    Rows,
    TrainingSpec,
    dump,
    initial_state,
    load,
    train,
)
from engine.kernels import COVERED_ACTIVATIONS, COVERED_LOSSES, COVERED_OPTIMIZERS, available, warm
from engine.vectors import HAS_AMX, VECTOR_BYTES
from tests.engine.cases import HIDDEN, PAIRS, network, random_state, rows, training
from tests.engine.test_resume import assert_resumes_anywhere

pytestmark = pytest.mark.slow  # by what it takes to compile, once

CLOSE = {"float64": 1e-12, "float32": 1e-5}
"""Largest difference of any number of the state, relative to the largest of its vector."""
COVERED_PAIRS = [(out, loss) for out, loss in PAIRS if out in COVERED_ACTIVATIONS and loss in COVERED_LOSSES]
EDGES = (1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 65)
"""Widths at which a vector, a tile or a panel begins or ends."""


@pytest.fixture(scope="module", autouse=True)
def _warm():
    """Compile, or load from the cache, before the first test is timed."""
    warm("float32")
    warm("float64")


@pytest.fixture
def short_pauses(monkeypatch):
    """Pauses after every block, and blocks of one batch."""
    monkeypatch.setattr(engine.batches, "PAUSE_S", 0.0)
    monkeypatch.setattr(engine.kernels, "TIMES_AS_FAST", 1)


@pytest.fixture(params=[False, True], ids=["as_it_is", "turned"])
def turned(request, monkeypatch):
    """Whether the first layer's weights are transposed for each call, be it worth it or not."""
    monkeypatch.setattr(engine.kernels._compiled(), "pays_turned", lambda *_: request.param)
    monkeypatch.setattr(engine.kernels, "STEPS_PER_TURN", 1)
    return request.param


@pytest.fixture
def no_tiles(monkeypatch):
    """All networks are too large for compiled steps: only updates are compiled."""
    monkeypatch.setattr(engine.kernels, "LARGEST_MATRIX", 0)


def run(net, spec, data, kernels, start=None):
    spec = dataclasses.replace(spec, kernels=kernels)
    state = initial_state(net, spec)
    if start is not None:
        state.parameters[:] = start
    return [event for event in train(net, spec, state, data) if event], state


def assert_same(net, spec, data, start=None):
    """Both paths come to the same numbers, up to rounding."""
    plain, wanted = run(net, spec, data, "numpy", start)
    compiled, state = run(net, spec, data, "numba", start)
    tolerance = CLOSE[spec.dtype]
    for mine, other in zip(state.vectors, wanted.vectors, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=tolerance * np.abs(other).max())
    assert (state.step, state.epoch, state.position) == (wanted.step, wanted.epoch, wanted.position)
    assert state.generator.bit_generator.state == wanted.generator.bit_generator.state
    for mine, other in zip(compiled, plain, strict=True):
        assert mine.train_loss == pytest.approx(other.train_loss, rel=tolerance)
        assert mine.gradient_norm == pytest.approx(other.gradient_norm, rel=10 * tolerance)
        assert mine.metrics == pytest.approx(other.metrics, rel=tolerance)


def task_of(loss):
    return "classification" if "entropy" in loss else "regression"


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("optimizer", COVERED_OPTIMIZERS)
@pytest.mark.parametrize(("output", "loss"), COVERED_PAIRS)
def test_compiled_steps_are_the_plain_ones_up_to_rounding(dtype, optimizer, output, loss):
    for hidden in (name for name in HIDDEN if name in COVERED_ACTIVATIONS):
        net = network(5, 7, 4, 3, hidden=hidden, output=output)
        data = rows(37, 5, 3, dtype=dtype, classes=task_of(loss) == "classification")
        spec = training(loss, optimizer, 0.01, epochs=2, batch_size=8, dtype=dtype, task=task_of(loss))
        assert available(net, spec)
        assert_same(net, spec, data)


@pytest.mark.usefixtures("turned")
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("bias", [True, False])
def test_compiled_steps_are_the_plain_ones_for_widths_around_a_tile(dtype, bias):
    generator = np.random.default_rng(5)
    for n in EDGES:
        widths = (n, *generator.choice(EDGES, 2).tolist(), 2)
        net, data = network(*widths, bias=bias), rows(70, n, 2, dtype=dtype)
        for batch_size in (1, *generator.choice(EDGES, 2).tolist(), None):
            spec = training(learning_rate=1e-3, epochs=1, batch_size=batch_size, dtype=dtype)
            assert_same(net, spec, data)


@pytest.mark.usefixtures("turned")
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("optimizer", COVERED_OPTIMIZERS)
def test_compiled_steps_are_the_plain_ones_for_matrices_that_are_copied_in_parts(dtype, optimizer):
    net, data = network(523, 517, 509, 3, hidden="relu"), rows(263 + 21, 523, 3, dtype=dtype)
    # Where a gradient is as small as eps, a step of Adam's is mostly rounding.
    parameters = {"eps": 1e-3} if optimizer == "adam" else {}
    spec = training(
        optimizer=optimizer, parameters=parameters, epochs=1, batch_size=263, dtype=dtype, learning_rate=1e-4
    )
    assert_same(net, spec, data)


@pytest.mark.usefixtures("turned")
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("optimizer", COVERED_OPTIMIZERS)
@pytest.mark.parametrize("filled", [1.0, 0.2], ids=["full_inputs", "inputs_with_zeros"])
def test_steps_that_leave_zeros_out_are_the_plain_ones_and_those_with_them(monkeypatch, dtype, optimizer, filled):
    """Those with them to the last bit, where a sum is not made in parts: it has the same products in the same order.

    But the biases' gradients are summed in another order.
    """
    widths, data = (97, 133, 70, 66, 3), rows(3 * 83 + 65, 97, 3, dtype=dtype)
    data.x[np.random.default_rng(8).random(data.x.shape) > filled] = 0.0
    parameters = {"eps": 1e-3} if optimizer == "adam" else {}
    spec = training(
        optimizer=optimizer, parameters=parameters, epochs=2, batch_size=83, dtype=dtype, learning_rate=1e-3
    )
    assert_same(network(*widths, hidden="relu"), spec, data)
    net = network(*widths, hidden="relu", bias=False)
    assert_same(net, spec, data)
    without = run(net, spec, data, "numba")[1]
    monkeypatch.setattr(engine.kernels._compiled(), "LEAST_SIDE", 1 << 30)
    assert run(net, spec, data, "numba")[1].vectors.tobytes() == without.vectors.tobytes()


@pytest.mark.parametrize("dtype", CLOSE)
def test_zeros_are_left_out_where_a_layer_is_wide(monkeypatch, dtype):
    """A sum that tiles make in parts is rounded otherwise: so it is seen that they did not make it.

    AMX makes these products in float32, and tiles do where vectors are narrow.
    """
    net, data = network(523, 517, 509, 3, hidden="relu"), rows(263, 523, 3, dtype=dtype)
    spec = training(epochs=1, batch_size=263, dtype=dtype, learning_rate=1e-3)
    found = []
    for least in (engine.kernels._compiled().LEAST_SIDE, 1 << 30):
        monkeypatch.setattr(engine.kernels._compiled(), "LEAST_SIDE", least)
        found.append(run(net, spec, data, "numba")[1].vectors)
    np.testing.assert_allclose(*found, rtol=0, atol=CLOSE[dtype] * np.abs(found[0]).max())
    leaves_out = VECTOR_BYTES >= 32 and not (HAS_AMX and dtype == "float32")
    assert (found[0].tobytes() != found[1].tobytes()) == leaves_out


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("optimizer", COVERED_OPTIMIZERS)
@pytest.mark.parametrize(("widths", "n_rows"), [((33, 20, 2), 71), ((61, 35, 8, 3), 71), ((700, 40, 2), 809)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_first_layer_that_is_turned_moves_as_one_that_is_not(monkeypatch, dtype, optimizer, widths, n_rows, shuffle):
    """To the last bit: every number is the sum of the same products in the same order, also while rows are fetched ahead."""
    net, data = network(*widths, hidden="relu"), rows(n_rows, widths[0], widths[-1], dtype=dtype)
    spec = training(optimizer=optimizer, epochs=2, batch_size=18, dtype=dtype, learning_rate=1e-3, shuffle=shuffle)
    monkeypatch.setattr(engine.kernels, "STEPS_PER_TURN", 1)
    found = []
    for turned in (True, False):
        monkeypatch.setattr(engine.kernels._compiled(), "pays_turned", lambda *_, turned=turned: turned)
        reports, state = run(net, spec, data, "numba")
        found.append((state.vectors.tobytes(), [(report.train_loss, report.gradient_norm) for report in reports]))
    assert found[0] == found[1]


@pytest.mark.parametrize(("n_rows", "turned"), [(20 * 16, True), (20 * 15, False)])
def test_first_layer_is_turned_where_so_many_steps_pay_for_it(monkeypatch, n_rows, turned):
    tables, make = [], engine.kernels._table
    monkeypatch.setattr(engine.kernels, "_table", lambda *given: tables.append(make(*given)) or tables[-1])
    run(network(96, 48, 2), training(epochs=1, batch_size=20), rows(n_rows, 96, 2), "numba")
    column = engine.kernels._compiled().IS_TURNED
    assert [table[:, column].tolist() for table in tables] == [[turned, False]]


@pytest.mark.usefixtures("turned")
@pytest.mark.parametrize("optimizer", ["gradient_descent", "adam"])
def test_gradient_that_is_used_up_moves_as_one_that_is_kept(monkeypatch, optimizer):
    net, data = network(300, 61, 2), rows(64, 300, 2, dtype="float32")
    spec = training(optimizer=optimizer, epochs=1, batch_size=16, dtype="float32")
    _, used_up = run(net, spec, data, "numba")
    take = engine.kernels.CompiledSteps.take

    def take_one_by_one(steps, step, start, stop, tally):
        for number, begin in enumerate(range(start, stop, 16)):
            steps._n_rows = begin + 16
            take(steps, step + number, begin, begin + 16, tally)

    monkeypatch.setattr(engine.kernels.CompiledSteps, "take", take_one_by_one)
    _, kept = run(net, spec, data, "numba")
    assert used_up.vectors.tobytes() == kept.vectors.tobytes()


@pytest.mark.usefixtures("no_tiles")
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("optimizer", COVERED_OPTIMIZERS)
def test_compiled_updates_are_the_plain_ones_up_to_rounding(dtype, optimizer):
    net, data = network(5, 7, 3), rows(37, 5, 3, dtype=dtype)
    assert_same(net, training(optimizer=optimizer, epochs=3, batch_size=8, dtype=dtype, learning_rate=0.01), data)


@pytest.mark.parametrize(
    ("optimizer", "parameters"),
    [("momentum", {"momentum": 0.5, "dampening": 0.25}), ("adam", {"betas": (0.8, 0.95), "eps": 1e-3})],
)
def test_compiled_updates_follow_the_parameters_of_the_optimizer(optimizer, parameters):
    spec = training(optimizer=optimizer, parameters=parameters, epochs=4, batch_size=8)
    assert_same(network(5, 7, 3), spec, rows(37, 5, 3))


@pytest.mark.usefixtures("short_pauses", "turned")
@pytest.mark.parametrize("optimizer", COVERED_OPTIMIZERS)
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("shuffle", [True, False])
def test_compiled_run_resumed_at_any_pause_is_bit_identical(optimizer, dtype, shuffle):
    net, data = network(3, 5, 2), rows(11, 3, 2, dtype=dtype)
    spec = training(optimizer=optimizer, epochs=3, batch_size=4, shuffle=shuffle, dtype=dtype, kernels="numba")
    assert assert_resumes_anywhere(net, spec, data, rows(6, 3, 2, dtype=dtype)).count(None) >= 6


@pytest.mark.usefixtures("short_pauses", "no_tiles")
def test_run_with_compiled_updates_resumed_at_any_pause_is_bit_identical():
    net, data = network(3, 5, 2), rows(11, 3, 2)
    spec = training(optimizer="adam", epochs=3, batch_size=4, kernels="numba")
    assert assert_resumes_anywhere(net, spec, data).count(None) == 6


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 511, 512, 9_999])
def test_compiled_order_is_that_of_the_plain_generator(n):
    generators = [np.random.default_rng(n) for _ in range(2)]
    orders = np.zeros((2, n), np.intp)
    for generator in generators:
        # Half a number is left over: it is to be there afterwards.
        generator.integers(0, 9, dtype=np.uint32)
    draws = engine.batches.draw_order, engine.kernels.order_drawer(n)
    assert draws[0] != draws[1]
    for _ in range(3):
        for generator, order, draw in zip(generators, orders, draws, strict=True):
            draw(generator, order)
        np.testing.assert_array_equal(*orders)
        np.testing.assert_array_equal(np.sort(orders[1]), np.arange(n))
    assert generators[0].bit_generator.state == generators[1].bit_generator.state
    assert generators[0].bit_generator.state["has_uint32"] == 1


def test_order_of_very_many_rows_is_drawn_in_place(monkeypatch):
    monkeypatch.setattr(engine.kernels, "MOST_SPREAD", 99)
    assert engine.kernels.order_drawer(100) is engine.batches.draw_order
    assert engine.kernels.order_drawer(99) is not engine.batches.draw_order


@pytest.mark.usefixtures("turned")
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(
    "widths", [(1, 1), (1, 1, 1), (2, 3), (5, 24, 2), (5, 26, 3), (3, 33, 40, 3), (200, 300, 10), (1, 193, 2)]
)
def test_nothing_is_written_beside_the_buffers(monkeypatch, widths, dtype):
    guard, made = 1 << 14, []

    def guarded(shape, dtype):
        whole = engine.arrays.empty((shape[0] + guard,), dtype)
        whole[:] = 7.0
        made.append(whole)
        return whole[: shape[0]]

    monkeypatch.setattr(engine.kernels, "empty", guarded)
    output, loss = ("softmax", "cross_entropy") if widths[-1] > 1 else ("linear", "quadratic")
    net = network(*widths, hidden="relu", output=output)
    for n in (1, 40, 5000):
        data = rows(n + n // 3, widths[0], widths[-1], dtype=dtype, classes=output == "softmax")
        spec = training(loss, learning_rate=1e-3, epochs=1, batch_size=n, dtype=dtype, task=task_of(loss))
        run(net, spec, data, "numba")
    assert len(made) == 3 * 6
    for whole in made:
        assert (whole[-guard:] == 7.0).all()


def test_a_batch_of_a_million_rows_takes_about_what_is_told():
    net = network(2, 1)
    spec = training(epochs=1, batch_size=1_500_000, dtype="float32")
    layout = engine.batches.training_layout(net, 4, 2_000_000, spec.batch_size)
    assert engine.kernels.made_of_tiles(net, layout)
    buffers = 4 * sum(engine.kernels._buffer_sizes(net, layout, 4, False))
    assert buffers < engine.memory_bytes(net, spec, 2_000_000)


@pytest.mark.usefixtures("turned")
def test_blocks_of_many_batches_are_the_bits_of_blocks_of_one(monkeypatch):
    net, data = network(9, 33, 2), rows(101, 9, 2, dtype="float32")
    spec = training(optimizer="adam", epochs=2, batch_size=7, dtype="float32")
    _, at_once = run(net, spec, data, "numba")
    monkeypatch.setattr(engine.batches, "PAUSE_S", 0.0)
    _, one_by_one = run(net, spec, data, "numba")
    assert at_once.vectors.tobytes() == one_by_one.vectors.tobytes()


def test_batches_in_slices_are_those_of_the_plain_path(monkeypatch):
    monkeypatch.setattr(engine.batches, "_slice_rows", lambda row_bytes, row_flops: 4)
    assert_same(network(3, 5, 2), training(optimizer="adam", epochs=3, batch_size=9), rows(21, 3, 2))


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(("output", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")])
@pytest.mark.parametrize("hidden", ["sigmoid", "tanh"])
def test_compiled_steps_stay_finite_at_ten_thousand(dtype, output, loss, hidden):
    net, data = network(2, 3, 2, hidden=hidden, output=output), rows(8, 2, 2, dtype=dtype, classes=True)
    spec = training(loss, epochs=1, batch_size=8, dtype=dtype, task="classification", learning_rate=1e-6)
    assert_same(net, spec, data, start=random_state(net, spec).parameters * 1e4)


def test_compiled_tanh_is_exact_near_zero():
    net, data = network(1, 1, 1), Rows(np.array([[1e-9]]), np.array([[0.0]]))
    spec = training(epochs=1, learning_rate=1.0)
    reports, _ = run(net, spec, data, "numba", start=[1.0, 0.0, 1.0, 0.0])
    assert reports[0].train_loss == pytest.approx(0.5e-18, rel=1e-14)


@pytest.mark.usefixtures("turned")
@pytest.mark.parametrize("hidden", ["linear", "sigmoid", "tanh", "relu"])
@pytest.mark.parametrize(("output", "loss"), [("linear", "quadratic"), ("softmax", "cross_entropy")])
@pytest.mark.parametrize("place", [0, 2])
def test_compiled_steps_do_not_hide_what_is_no_number(hidden, output, loss, place):
    net, data = network(3, 5, 4, hidden=hidden, output=output), rows(9, 3, 4, classes=True)
    data.x[4, place] = np.nan
    spec = training(loss, epochs=1, batch_size=4, task=task_of(loss), kernels="numba")
    with pytest.raises(Diverged):
        run(net, spec, data, "numba")


@pytest.mark.parametrize("optimizer", ["gradient_descent", "momentum"])
@pytest.mark.parametrize("dtype", CLOSE)
def test_compiled_divergence_leaves_the_last_finite_state(optimizer, dtype):
    net, data = network(2, 4, 1, hidden="relu"), rows(12, 2, 1, dtype=dtype)
    spec = training(optimizer=optimizer, learning_rate=10.0, epochs=1000, batch_size=5, dtype=dtype, kernels="numba")
    state = initial_state(net, spec)
    saved = [dump(state)]
    with pytest.raises(Diverged):
        saved.extend(dump(state) for _ in train(net, spec, state, data))
    assert dump(state) == saved[-1]


def test_compiled_run_leaves_small_numbers_to_others_as_they_were():
    run(network(2, 3, 1), training(epochs=1, batch_size=4), rows(12, 2, 1), "numba")
    tiny = np.full(3, 1e-310)
    assert (tiny * 0.5 > 0.0).all()


def test_warm_leaves_nothing_to_compile():
    compiled = engine.kernels._compiled()
    before = len(compiled.take_steps.signatures), len(compiled.update.signatures)
    for (output, loss), optimizer, dtype in product(COVERED_PAIRS, COVERED_OPTIMIZERS, CLOSE):
        net, data = network(3, 4, 2, output=output), rows(6, 3, 2, dtype=dtype, classes=True)
        run(net, training(loss, optimizer, epochs=1, dtype=dtype, task=task_of(loss)), data, "numba")
    assert (len(compiled.take_steps.signatures), len(compiled.update.signatures)) == before == (2, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"gradient_clip_norm": 1.0},
        {"gradient_clip_value": 1.0},
        {"optimizer": OptimizerSpec("no_such_optimizer")},
        {"loss": "no_such_loss"},
    ],
)
def test_training_that_is_not_covered_has_no_kernels_and_is_refused(change):
    net, spec = network(3, 4, 2), training(epochs=1)
    assert available(net, spec)
    other = dataclasses.replace(spec, **change)
    assert not available(net, other)
    if "gradient" in next(iter(change)):
        with pytest.raises(ValueError, match="kernels"):
            run(net, other, rows(6, 3, 2), "numba")


def test_network_that_is_not_covered_has_no_kernels():
    net = network(3, 4, 2)
    assert not available(dataclasses.replace(net, layers=(LayerSpec(4, "no_such"), LayerSpec(2))), training())


def test_new_field_of_a_specification_is_not_covered_unless_at_its_default():
    @dataclasses.dataclass(frozen=True)
    class Wider(TrainingSpec):
        novelty: float = 0.0

    engine.kernels.UNTOUCHED[Wider] = engine.kernels.UNTOUCHED[TrainingSpec]
    try:
        net, spec = network(3, 4, 2), vars(training())
        assert available(net, Wider(**spec))
        assert not available(net, Wider(**spec, novelty=0.1))
    finally:
        del engine.kernels.UNTOUCHED[Wider]


def test_parameter_given_at_its_default_changes_nothing():
    assert available(network(3, 4, 2), training(optimizer="adam", parameters={"eps": 1e-8}))


def test_checkpoint_of_other_kernels_is_refused():
    net, spec = network(3, 2), training()
    saved = dump(initial_state(net, spec))
    with pytest.raises(CheckpointError):
        load(saved, net, dataclasses.replace(spec, kernels="numba"))


def test_engine_without_numba_trains_and_has_no_kernels():
    program = """
import sys
sys.modules["numba"] = None
import numpy as np, engine, engine.kernels
net = engine.NetworkSpec(2, (engine.LayerSpec(1, "linear"),))
spec = engine.TrainingSpec("quadratic", task="regression", epochs=1)
rows = engine.Rows(np.zeros((3, 2), "float32"), np.zeros((3, 1), "float32"))
assert len(list(engine.train(net, spec, engine.initial_state(net, spec), rows))) == 1
assert not engine.kernels.available(net, spec)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
