"""The chain of hashes of a training: the same for a run that was interrupted and for one that was not."""

from hashlib import sha256
from math import ceil
from struct import pack
from typing import Any

from engine.reports import EpochReport
from engine.state import TrainingState

MOST_LINKS = 64


class Chain:
    """Folds what each epoch came to, and the weights after some of them, into one hash.

    Which epochs these are follows from the number of epochs alone. A link is the hash after such an epoch.

    Args:
        epochs: Epochs of the training.
        saved: What `to_json` gave when the state was stored; None if it was stored without.
        is_new: Whether no epoch has ended. A training that was begun without a chain gets no links.
    """

    def __init__(self, epochs: int, saved: dict[str, Any] | None, *, is_new: bool) -> None:
        self._has_links = is_new or bool(saved and saved["has_links"])
        self._every = ceil(epochs / MOST_LINKS)
        self._head = bytes.fromhex(saved["head"]) if saved else b""
        self.links: list[dict[str, Any]] = list(saved["links"]) if saved else []

    def begin(self, state: TrainingState) -> None:
        """Fold in the weights before the first epoch."""
        if not self._head:
            self._fold_weights(state)

    def add(self, report: EpochReport, state: TrainingState) -> None:
        """Fold in an epoch that has just ended."""
        validated = report.validation_loss is not None
        losses = report.train_loss, report.validation_loss or 0.0, report.learning_rate, report.gradient_norm
        self._head = sha256(self._head + pack("<q?4d", report.epoch, validated, *losses)).digest()
        if report.epoch % self._every == 0:
            self._link(state)

    def end(self, state: TrainingState) -> None:
        """Add the link of the last weights, unless the training stopped inside an epoch."""
        if state.position == 0 and state.epoch and (not self.links or self.links[-1]["epoch"] != state.epoch):
            self._link(state)

    def to_json(self) -> dict[str, Any]:
        """Give it as it is stored with each state."""
        return {"head": self._head.hex(), "links": self.links, "has_links": self._has_links}

    def _link(self, state: TrainingState) -> None:
        if not self._has_links:
            return
        self._fold_weights(state)
        self.links = [*self.links, {"epoch": state.epoch, "sha256": self._head.hex()}]

    def _fold_weights(self, state: TrainingState) -> None:
        fold = sha256(self._head)
        fold.update(state.parameters.data)
        fold.update(state.statistics[0].data)
        self._head = fold.digest()
