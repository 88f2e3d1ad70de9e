"""How often a run writes down how far it has come."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from engine.reports import EpochReport

# The live curve moves this often, as long as writing takes no more than SHARE of the time.
SHORTEST_S = 0.25
SHARE = 0.05


@dataclass
class Progress:
    """The epochs that are not yet written down, and when they should be.

    Epochs are collected and written together with the checkpoint they lead to: by time, not by epoch, so that a job of
    100,000 tiny epochs does not commit 100,000 times. Times come from a clock that cannot be set.

    Args:
        longest_s: Most seconds between two checkpoints.
        n_rows: Rows of an epoch.
    """

    longest_s: float
    n_rows: int
    pending: list[dict[str, Any]] = field(default_factory=list)
    latest: dict[str, Any] | None = None
    best: dict[str, Any] | None = None
    rows_per_s: float | None = None

    def __post_init__(self) -> None:
        self.begin()
        self._interval_s = min(SHORTEST_S, self.longest_s)
        self._trained_s = 0.0

    def begin(self) -> None:
        """Training starts now."""
        self._written_at = self._epoch_began_at = time.monotonic()

    def add(self, report: EpochReport) -> None:
        """Take note of an epoch that has just ended."""
        now = time.monotonic()
        duration_s = now - self._epoch_began_at
        self._epoch_began_at = now
        self._trained_s += duration_s
        self.latest = {
            "epoch": report.epoch,
            "train_loss": report.train_loss,
            "validation_loss": report.validation_loss,
            "metrics": report.metrics,
        }
        if report.best:
            self.best = self.latest
        self.pending.append(
            {
                **self.latest,
                "learning_rate": report.learning_rate,
                "gradient_norm": report.gradient_norm,
                "duration_s": duration_s,
                "line_search": report.line_search and {"margin": None, **report.line_search},
                "at": datetime.now(UTC),
            }
        )

    def speed(self) -> float | None:
        """Rows trained in a second, over the epochs that are not yet written."""
        if self.pending and self._trained_s:
            self.rows_per_s = len(self.pending) * self.n_rows / self._trained_s
        return self.rows_per_s

    def is_due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._written_at >= self._interval_s

    def written(self, cost_s: float) -> None:
        """Take note that all was written, which took `cost_s`; training did not go on meanwhile."""
        self.pending = []
        self._trained_s = 0.0
        self._written_at = time.monotonic()
        self._epoch_began_at += cost_s
        self._interval_s = min(max(SHORTEST_S, cost_s / SHARE), self.longest_s)
