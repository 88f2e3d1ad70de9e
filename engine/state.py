"""All that a training run needs to go on where it stopped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float64

from engine.arrays import Array, aligned_rows
from engine.metrics import n_sums
from engine.optimizers import OPTIMIZERS
from engine.spec import NetworkSpec, TrainingSpec, as_text


@dataclass(slots=True)
class TrainingState:
    """All that a run needs to go on, bit for bit.

    Attributes:
        spec: both specifications as text.
        vectors: the parameters, then the optimizer's slots, each a flat vector of ``n_parameters``.
        statistics: of batch normalisation, in two rows: as they are, and as they were with the best parameters.
        best_parameters: those after the epoch with the lowest watched loss; 0 before the first epoch has ended.
        tally: float64 sums over the rows of the running epoch: cost, then those of the metrics.
        generator: PCG64; the only source of randomness.
        epoch_generator: the generator's state before it drew the running epoch's order; None where no order is drawn.
        memory: numbers that a schedule or a search keeps.
        epoch: epochs that have ended.
        step: updates made.
        position: rows of the running epoch that have been trained on.
        best_epoch, best_loss: the lowest watched loss (validation if there is any and early stopping does not name
            another, else training), and its epoch; 0 and infinity before the first.
        reference_loss, epochs_without_improvement: what early stopping compares with, and for how many epochs in vain.
        gradient_norm: of the last epoch whose rows have all been trained on.
        stopped_because: None while there is more to do.
    """

    spec: str
    vectors: Float[Array, "n_vectors n_parameters"]
    best_parameters: Float[Array, " n_parameters"]
    statistics: Float[Array, "2 n_statistics"]
    tally: Float64[Array, " n_sums"]
    generator: np.random.Generator
    epoch_generator: Mapping[str, Any] | None = None
    memory: dict[str, float] = field(default_factory=dict)
    epoch: int = 0
    step: int = 0
    position: int = 0
    best_epoch: int = 0
    best_loss: float = inf
    reference_loss: float = inf
    epochs_without_improvement: int = 0
    gradient_norm: float = 0.0
    stopped_because: Literal["completed", "early_stopping", "converged"] | None = None

    @property
    def parameters(self) -> Float[Array, " n_parameters"]:
        """The weights and biases, as a view; `engine.network.layer_views` tells where each layer is."""
        parameters: Array = self.vectors[0]
        return parameters

    @property
    def slots(self) -> Float[Array, "n_slots n_parameters"]:
        """The optimizer's vectors, as a view."""
        return self.vectors[1:]


def blank_state(network: NetworkSpec, training: TrainingSpec) -> TrainingState:
    """A state with parameters of 0 and a fresh generator."""
    n, optimizer = network.n_parameters, training.optimizer
    n_vectors = 1 + OPTIMIZERS[optimizer.name].n_slots(optimizer.parameters)
    return TrainingState(
        spec=as_text(network, training),
        vectors=aligned_rows(n_vectors, n, training.dtype),
        best_parameters=np.zeros(n, training.dtype),
        statistics=np.zeros((2, network.n_statistics), training.dtype),
        tally=np.zeros(1 + n_sums(training.task, network.n_outputs)),
        generator=np.random.Generator(np.random.PCG64(training.seed)),
    )


class Kept:
    """A copy of all that changes between two yields of a run that then diverges.

    What only the end of an epoch changes (best, patience) changes right before a yield, when nothing can diverge any
    more.
    """

    def __init__(self, state: TrainingState) -> None:
        self._vectors = np.empty_like(state.vectors)
        self._statistics = np.empty_like(state.statistics)
        self._tally = np.empty_like(state.tally)

    def keep(self, state: TrainingState) -> None:
        """Copy the state."""
        self._vectors[:] = state.vectors
        if self._statistics.size:
            self._statistics[:] = state.statistics
        self._memory = dict(state.memory)
        self._tally[:] = state.tally
        self._generator = state.generator.bit_generator.state
        self._counters = state.epoch_generator, state.step, state.position, state.gradient_norm, state.stopped_because

    def restore(self, state: TrainingState) -> None:
        """Put the copy back into the state."""
        state.vectors[:] = self._vectors
        state.statistics[:] = self._statistics
        state.memory.clear()
        state.memory |= self._memory
        state.tally[:] = self._tally
        state.generator.bit_generator.state = self._generator
        (
            state.epoch_generator,
            state.step,
            state.position,
            state.gradient_norm,
            state.stopped_because,
        ) = self._counters
