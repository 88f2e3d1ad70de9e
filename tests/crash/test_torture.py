"""A part of `make torture` that fits into every run of the tests: the same faults, and fewer of them."""

from pathlib import Path

import pytest

from tests.crash.run_kills import FAULT as RUN_KILLS
from tests.crash.stopping import FAULT as STOPS
from tests.torture import ALL, torture_processes, torture_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # on a busy machine; it takes a minute or so on a quiet one

SEED = 5


def test_runs_killed_and_stopped_at_random_and_raced_for_break_no_promise(tmp_path: Path) -> None:
    tally = torture_runs(tmp_path, SEED, kills=60, stops=6, races=50)
    assert tally.violations == []
    assert tally.faults[RUN_KILLS] >= 60
    assert tally.faults[STOPS] >= 6
    assert tally.faults.total() >= 116


def test_api_workers_and_training_processes_killed_at_random_break_no_promise(tmp_path: Path) -> None:
    tally = torture_processes(tmp_path, SEED, kills=20, names=ALL - {"lbfgs", "backtracking"})
    assert tally.violations == []
    assert len(tally.faults) == 3, "each kind of process was killed"
