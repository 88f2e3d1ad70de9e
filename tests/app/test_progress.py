"""How often a run writes down how far it has come."""

import pytest

from app.worker import progress
from app.worker.progress import SHARE, SHORTEST_S, Progress
from engine.training import EpochReport


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def report(epoch: int, *, best: bool = False) -> EpochReport:
    return EpochReport(epoch, 0.5, None, {}, 0.1, 1.0, best)


def run(clock: Clock, seconds: float, epoch_s: float, write_s: float, longest_s: float = 10.0) -> int:
    """Train for some seconds; give the number of writes."""
    written = Progress(longest_s=longest_s, n_rows=10)
    writes, end = 0, clock.now + seconds
    while clock.now < end:
        clock.now += epoch_s
        written.add(report(1))
        if written.is_due():
            clock.now += write_s
            written.written(write_s)
            writes += 1
    return writes


def test_100000_tiny_epochs_are_written_a_few_times_a_second(clock: Clock) -> None:
    writes = run(clock, seconds=10, epoch_s=0.0001, write_s=0.001)
    assert writes == pytest.approx(10 / SHORTEST_S, abs=2)


def test_large_checkpoints_take_their_share_of_the_time_and_no_more(clock: Clock) -> None:
    writes = run(clock, seconds=100, epoch_s=0.01, write_s=0.2)
    assert writes * 0.2 / 100 == pytest.approx(SHARE, rel=0.1)


def test_a_checkpoint_is_never_older_than_was_asked_for(clock: Clock) -> None:
    assert run(clock, seconds=100, epoch_s=0.01, write_s=1.0, longest_s=2.0) >= 100 / 3.1


def test_speed_and_durations_are_of_training_and_not_of_writing(clock: Clock) -> None:
    written = Progress(longest_s=10, n_rows=100)
    for epoch in (1, 2):
        clock.now += 0.5
        written.add(report(epoch, best=epoch == 1))
    clock.now += 3
    assert written.speed() == pytest.approx(200)
    written.written(3.0)
    assert written.pending == []
    clock.now += 0.5
    written.add(report(3))
    assert written.pending[0]["duration_s"] == pytest.approx(0.5)
    assert (written.best["epoch"], written.latest["epoch"]) == (1, 3)
