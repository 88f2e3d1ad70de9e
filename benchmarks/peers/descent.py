"""Descent itself, through the public API of its engine, with compiled steps where a job of the service takes them."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata

import engine
from benchmarks.peers import Contestant
from benchmarks.workloads import Workload, first_weights, one_hot, rows
from engine.kernels import available


class Descent(Contestant):
    """One run that never ends: an epoch is what the generator yields until its next report."""

    def __init__(self, workload: Workload) -> None:
        x, y = rows(workload)
        classes = workload.classes
        self.rows = engine.Rows(x, y if classes is None else one_hot(y, classes))
        hidden = [engine.LayerSpec(n, workload.activation) for n in workload.widths[1:-1]]
        last = engine.LayerSpec(workload.widths[-1], "linear" if classes is None else "softmax")
        self.network = engine.NetworkSpec(workload.widths[0], (*hidden, last))
        self.training = engine.TrainingSpec(
            loss="quadratic" if classes is None else "cross_entropy",
            task="regression" if classes is None else "classification",
            optimizer=engine.OptimizerSpec(workload.optimizer, workload.learning_rate),
            epochs=1_000_000_000,
            batch_size=workload.batch,
        )
        if available(self.network, self.training):  # as a job of the service takes them
            self.training = replace(self.training, kernels="numba")
        self.weights = {}
        for i, (W, b) in enumerate(first_weights(workload)):
            self.weights |= {f"layers.{i}.weight": W, f"layers.{i}.bias": b}
        installed = {package.name.lower() for package in metadata.distributions()}
        self.versions = {name: metadata.version(name) for name in ("NumPy", "Numba") if name.lower() in installed}
        self._shuffle: bool | None = None
        self._events: Iterator[engine.EpochReport | None] = iter(())

    def compile(self) -> None:
        """An epoch: it compiles, or loads what was compiled, if the engine does so."""
        self.run(1, shuffle=True)

    def restart(self) -> None:
        """Go back to the first weights, in place: between two yields the state is all there is."""
        self.state.parameters[:] = engine.flat_parameters(self.network, self.weights, self.training.dtype)
        self.state.slots[:] = 0.0
        self.state.step = 0

    def run(self, epochs: int, *, shuffle: bool) -> list[float]:
        """Go on, or begin anew where the order is no longer drawn in the same way."""
        if shuffle != self._shuffle:
            self._begin(shuffle=shuffle)
        losses: list[float] = []
        while len(losses) < epochs:
            report = next(self._events)
            if report is not None:
                losses.append(report.train_loss)
        return losses

    def _begin(self, *, shuffle: bool) -> None:
        # The buffers of the run before go first: they are no part of the peak.
        self._events = iter(())
        training = replace(self.training, shuffle=shuffle)
        self.state = engine.initial_state(self.network, training, weights=self.weights)
        self._events = engine.train(self.network, training, self.state, self.rows)
        self._shuffle = shuffle


prepare = Descent
