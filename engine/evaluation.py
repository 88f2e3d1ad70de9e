"""Loss and metrics of parameters over rows that are not trained on."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.batches import Reader, Rows, evaluation_layout, spans
from engine.losses import LOSSES, Loss
from engine.metrics import Metrics, n_sums
from engine.network import Workspace, forward
from engine.spec import NetworkSpec, TrainingSpec


def loss_of(training: TrainingSpec) -> Loss:
    """The loss of a training, with its parameters."""
    return LOSSES[training.loss].with_parameters(training.loss_parameters)


def smoothing_of(network: NetworkSpec, training: TrainingSpec) -> tuple[float, int] | None:
    """The smoothing of a training's targets, as `engine.batches.Reader` takes it."""
    share = training.label_smoothing
    return (share, LOSSES[training.loss].smoothing_classes(network.n_outputs)) if share else None


def total_weight(rows: Rows) -> float:
    """What sums over rows are divided by."""
    return float(len(rows)) if rows.weights is None else float(np.asarray(rows.weights).sum(dtype=np.float64))


class Evaluation:
    """Loss and metrics of the parameters as they are, over validation rows."""

    def __init__(
        self,
        network: NetworkSpec,
        training: TrainingSpec,
        parameters: Float[Array, " n_parameters"],
        statistics: Float[Array, " n_statistics"],
        rows: Rows,
    ) -> None:
        self._n_rows, self._total_weight = len(rows), total_weight(rows)
        loss, weighted = loss_of(training), rows.weights is not None
        self._layout = evaluation_layout(network, parameters.itemsize, len(rows))
        self._workspace = Workspace(network, loss, self._layout, parameters, statistics, weighted=weighted)
        held, smoothing = self._workspace, smoothing_of(network, training)
        self._reader = Reader(rows, shuffle=False, x=held.x, y=held.y, weights=held.weights, smoothing=smoothing)
        self._metrics = Metrics(training.task, rows, self._layout.block_rows, loss.threshold)
        self._sums = np.zeros(n_sums(training.task, network.n_outputs))
        self.loss = 0.0
        self.metrics: dict[str, float] = {}

    def run(self) -> Iterator[None]:
        """Evaluate, with pauses; ``loss`` (the weighted mean over the rows) and ``metrics`` are set at the end."""
        workspace, total = self._workspace, 0.0
        self._sums.fill(0.0)
        for number, (start, stop) in enumerate(spans(0, self._n_rows, self._layout.block_rows), 1):
            n = stop - start
            self._reader.read(start, stop)
            forward(workspace.pass_over(0, n, n))
            total += workspace.cost(n)
            self._metrics.add(self._sums, workspace.a[:n], workspace.y[:n], workspace.scratch[:n])
            if stop < self._n_rows and number % self._layout.pause_blocks == 0:
                yield None
        self.loss = total / self._total_weight
        self.metrics = self._metrics.read(self._sums)
