"""How many threads the matrix products of a run are worth: from measurement, see `docs/engine.md`."""

from engine.batches import training_layout
from engine.kernels import made_of_tiles
from engine.network import flops_per_epoch
from engine.spec import NetworkSpec, TrainingSpec

MOST = 2
WORTH_FLOPS = 1_200_000_000
"""Operations of a step from which a second thread was faster; below, the threads wait for each other longer than they work."""


def worthwhile_threads(network: NetworkSpec, training: TrainingSpec, n_rows: int, *, cores: int) -> int:
    """The number of threads that is the fastest where a run has ``cores`` cores for itself.

    Machine code made of tiles runs in one thread. More than two threads were not measured, and are not chosen.
    """
    layout = training_layout(network, 4 if training.dtype == "float32" else 8, n_rows, training.batch_size)
    if training.kernels == "numba" and made_of_tiles(network, layout):
        return 1
    worth = flops_per_epoch(network, training, layout.slice_rows) >= WORTH_FLOPS
    return min(cores, MOST) if worth else 1
