"""What a training takes, by counting."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.batches import training_layout
from engine.cost import PASSES, SECONDS, WIDE, WITH_ZEROS, Speed, epoch_counts, epoch_seconds
from engine.kernels import made_of_tiles
from engine.network import flops_per_epoch
from engine.optimizers import OPTIMIZERS
from engine.sparse import LEAST_SIDE
from engine.spec import LayerSpec, NetworkSpec, OptimizerSpec, TrainingSpec
from engine.threads import WORTH_FLOPS, worthwhile_threads


def spec(*widths: int, activation: str = "relu", **layer: float) -> NetworkSpec:
    hidden = (LayerSpec(n, activation, **layer) for n in widths[1:-1])
    return NetworkSpec(widths[0], (*hidden, LayerSpec(widths[-1], "linear")))


def training(**fields: object) -> TrainingSpec:
    return TrainingSpec("mean_squared_error", task="regression", **fields)


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@given(st.lists(st.integers(1, 300), min_size=2, max_size=5), st.integers(1, 500), st.integers(1, 2000))
def test_the_multiplications_that_are_counted_are_those_of_the_matrix_products(kernels, widths, batch, n_rows):
    network, wanted = spec(*widths, activation="tanh"), training(batch_size=min(batch, n_rows), kernels=kernels)
    n_rows -= n_rows % wanted.batch_size  # every batch is whole
    counts = epoch_counts(network, wanted, n_rows, 0)
    counted = counts.get("product", 0.0) + counts.get("tile_product", 0.0)
    assert counted == flops_per_epoch(network, wanted, n_rows) / 2


def test_products_of_wide_layers_with_what_relu_made_0_count_for_less():
    def share(width: int, activation: str) -> float:
        network, wanted = spec(100, width, width, 1, activation=activation), training(batch_size=128, kernels="numba")
        return epoch_counts(network, wanted, 1280, 0)["tile_product"] / (flops_per_epoch(network, wanted, 1280) / 2)

    assert LEAST_SIDE == WIDE
    assert share(WIDE - 1, "relu") == share(WIDE, "tanh") == 1.0
    assert WITH_ZEROS < share(WIDE, "relu") < 0.8, "all but the first layer forward, and what has one output"


def test_everything_that_is_counted_has_its_time_and_every_optimizer_its_passes():
    cases = [
        (spec(4, 8, 1, activation="gelu", dropout=0.5, batch_norm=True), training(l2=0.1, gradient_clip_norm=1.0)),
        (spec(4, 8, 1, activation="tanh"), training(kernels="numba")),
        (spec(4, 8, 1, activation="sigmoid"), training(kernels="numba")),
        (spec(4, 900, 900, 1), training(kernels="numba")),
        *((spec(4, 8, 1), training(optimizer=OptimizerSpec(name), batch_size=None)) for name in OPTIMIZERS),
    ]
    for network, wanted in cases:
        counts = epoch_counts(network, wanted, 100, 50)
        assert set(counts) <= set(SECONDS)
        assert all(n >= 0 for n in counts.values())
    assert set(PASSES) == {name for name, one in OPTIMIZERS.items() if one.search is None}


def test_a_slower_machine_takes_longer_by_its_factor():
    network, wanted = spec(8, 64, 1), training()
    once = epoch_seconds(network, wanted, 1000, 100, Speed())
    assert epoch_seconds(network, wanted, 1000, 100, Speed(3.0, 3.0, 3.0)) == pytest.approx(3 * once)
    assert epoch_seconds(network, wanted, 2000, 200, Speed()) == pytest.approx(2 * once, rel=0.05)


def test_threads_are_chosen_by_the_work_of_a_step():
    small, large = spec(8, 64, 32, 1), spec(784, 1024, 1024, 10)
    assert worthwhile_threads(small, training(batch_size=32), 10_000, cores=8) == 1
    assert worthwhile_threads(large, training(batch_size=512), 10_000, cores=8) == 2
    assert worthwhile_threads(large, training(batch_size=512), 10_000, cores=1) == 1
    assert worthwhile_threads(large, training(batch_size=32), 10_000, cores=8) == 1
    assert worthwhile_threads(large, training(batch_size=512), 32, cores=8) == 1, "there are only 32 rows"


def test_machine_code_made_of_tiles_gets_one_thread():
    network, wanted = spec(100, 512, 512, 1), training(batch_size=2048)
    assert flops_per_epoch(network, wanted, 2048) > WORTH_FLOPS
    assert worthwhile_threads(network, wanted, 8192, cores=2) == 2
    compiled = replace(wanted, kernels="numba")
    assert made_of_tiles(network, training_layout(network, 4, 8192, 2048))
    assert worthwhile_threads(network, compiled, 8192, cores=2) == 1
