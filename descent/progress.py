"""A bar that shows how far a job has come."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from app.contract.jobs import Job
from descent.operations import POLL_S

SHOWN_EVERY_S = 0.25


class Bar:
    """A bar with loss and time left, on standard error; nothing, if that is not a terminal.

    Args:
        job: Whose.
        visible: Whether it was asked for.
    """

    def __init__(self, job: Job, *, visible: bool) -> None:
        self._progress: Progress | None = None
        if visible and sys.stderr.isatty():
            columns = (
                TextColumn("{task.fields[status]}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[said]}"),
            )
            self._progress = Progress(*columns, console=Console(stderr=True))
            self._task = self._progress.add_task("", total=1.0, status=job.status, said="")

    @property
    def poll_s(self) -> float:
        """How long a poll may take: to move, the bar needs short ones."""
        return POLL_S if self._progress is None else SHOWN_EVERY_S

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, job: Job) -> None:
        """Show the job as it is now."""
        if self._progress is not None:
            self._progress.update(self._task, completed=job.progress.fraction, status=job.status, said=summary(job))


def summary(job: Job) -> str:
    """Say the epoch, the losses and the time left in one line."""
    parts = [f"epoch {job.progress.epoch:,}/{job.progress.epochs:,}"]
    if job.latest is not None:
        parts.append(f"loss {job.latest.train_loss:.4g}")
        if job.latest.validation_loss is not None:
            parts.append(f"validation {job.latest.validation_loss:.4g}")
    if job.progress.eta_s is not None and not job.status.is_terminal:
        parts.append(f"{duration(job.progress.eta_s)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Write a time for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
