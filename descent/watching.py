"""A job in the terminal: its curve as it falls, or plain lines where there is no terminal."""

import shutil
import sys
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.text import Text

from app.contract.jobs import Epoch, Job
from descent import handles
from descent.plot import curve
from descent.progress import duration

DRAWN_EVERY_S = 0.1
SAID_EVERY_S = 2.0
PLOT_LINES = 8
# More epochs than a screen has points are thinned out as they come.
MOST_POINTS = 4096


@dataclass
class Curve:
    """The losses of a job, thinned out so that their number stays bounded, and how long its epochs took."""

    train: list[float] = field(default_factory=list)
    validation: list[float | None] = field(default_factory=list)
    _every: int = 1
    _seen: int = 0
    _trained_s: float = 0.0

    def add(self, epoch: Epoch) -> None:
        """Take one more epoch."""
        self._seen += 1
        self._trained_s += epoch.duration_s
        if self._seen % self._every:
            return
        self.train.append(epoch.train_loss)
        self.validation.append(epoch.validation_loss)
        if len(self.train) >= MOST_POINTS:
            self.train, self.validation = self.train[1::2], self.validation[1::2]
            self._every *= 2

    def left_s(self, epoch: Epoch, epochs: int) -> float:
        """Say how long the epochs after this one will take."""
        return self._trained_s / self._seen * (epochs - epoch.epoch)


def watch_job(job: "handles.Job", *, quiet: bool = False) -> None:
    """Follow a job until it has ended.

    Args:
        quiet: Say nothing, and only wait.
    """
    if quiet:
        job.wait(check=False)
        return
    if sys.stderr.isatty():
        _draw(job)
    else:
        _say(job)


def _draw(job: "handles.Job") -> None:
    console = Console(stderr=True)
    seen = Curve()
    drawn_at = 0.0
    epoch: Epoch | None = None
    with Live(Text(f"{job.name}: {job.status}"), console=console, auto_refresh=False) as live:
        for epoch in job.epochs():
            seen.add(epoch)
            now = time.monotonic()
            if now - drawn_at >= DRAWN_EVERY_S:
                drawn_at = now
                live.update(_picture(job, epoch, seen), refresh=True)
        if epoch is not None:
            live.update(_picture(job, epoch, seen), refresh=True)


def _picture(job: Job, epoch: Epoch, seen: Curve) -> Text:
    width = max(20, min(100, shutil.get_terminal_size().columns) - 14)
    text = Text()
    for title, values, colour in (("train", seen.train, "cyan"), ("validation", seen.validation, "magenta")):
        lines = curve(values, width=width, height=PLOT_LINES)
        if lines:
            text.append(f"{title} loss\n", style="bold " + colour)
            text.append("\n".join(lines) + "\n", style=colour)
    text.append(line_of(epoch, job.progress.epochs, seen))
    return text


def _say(job: "handles.Job") -> None:
    said_at = time.monotonic()
    seen = Curve()
    unsaid: Epoch | None = None
    first = True
    for epoch in job.epochs():
        unsaid = epoch
        seen.add(epoch)
        now = time.monotonic()
        if first or now - said_at >= SAID_EVERY_S:
            first, said_at, unsaid = False, now, None
            sys.stderr.write(line_of(epoch, job.progress.epochs, seen) + "\n")
    if unsaid is not None:
        sys.stderr.write(line_of(unsaid, job.progress.epochs, seen) + "\n")


def line_of(epoch: Epoch, epochs: int, seen: Curve) -> str:
    """Say one epoch in one line."""
    parts = [f"epoch {epoch.epoch:,}/{epochs:,}", f"loss {epoch.train_loss:.4g}"]
    if epoch.validation_loss is not None:
        parts.append(f"validation {epoch.validation_loss:.4g}")
    parts += [f"{name} {value:.4g}" for name, value in epoch.metrics.items()]
    if epoch.epoch < epochs:
        parts.append(f"{duration(seen.left_s(epoch, epochs))} left")
    return "  ".join(parts)
