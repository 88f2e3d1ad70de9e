"""The weights of a job travel to the bucket before the transaction that ends it, each run's under keys of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.runs import SIGNALS, Run, runs_of
from tests.crash.test_outside import until
from tests.crash.test_points import POINTS
from tests.crash.test_s3 import sweep
from tests.s3 import Line, Machines, objects_named
from tests.service import PENGUINS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Its weights are 3 MB.
LARGE: dict[str, Any] = {
    "target": "species",
    "network": {"hidden_layers": [1000, 700], "activation": "relu"},
    "training": {"epochs": 1, "batch_size": 256, "seed": 3},
}
CHUNK = 65536


@pytest.fixture
def line(both: Machines) -> Iterator[Line]:
    """Give the line by which the machine that trains reaches the bucket."""
    own = Line(both.store.line.port)
    both.trains.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{own.port}"
    yield own
    own.cut()


def submitted(both: Machines) -> str:
    dataset = both.api.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    return str(both.api.submit(dataset_id=dataset, **LARGE)["id"])


def weights_of(both: Machines, job_id: str, run: int) -> set[str]:
    folder = f"models/model_{job_id.removeprefix('job_')}/{run}/"
    return {key for key in both.store.objects() if key.startswith(folder)}


def test_others_write_to_the_database_while_weights_travel(both: Machines, line: Line) -> None:
    both.start()
    line.wait_s = 0.1
    job_id = submitted(both)
    until(lambda: line.n_bytes > 5 * CHUNK)
    for _ in range(5):
        assert both.api.http.post("/v1/uploads", json={"name": "a.csv"}).status_code == 201
    # Had they waited for the transaction that ends the job, it would have ended by now.
    assert both.api.job(job_id)["status"] == "running"
    assert not weights_of(both, job_id, 1), "they are still on their way"
    line.wait_s = 0
    ended = both.api.wait(job_id)
    assert ended["status"] == "succeeded"
    assert both.store.objects() == objects_named(both.api)
    assert both.api.weights(ended["model_id"]) == both.store.content(f"models/{ended['model_id']}/1/weights.npz")


@pytest.mark.parametrize("is_woken_first", [True, False], ids=["woken before the other ends", "after"])
def test_the_late_weights_of_a_run_that_lost_its_job_harm_nothing(
    both: Machines, line: Line, tmp_path: Path, is_woken_first: bool
) -> None:
    """It is stopped while its weights travel, and woken; another one takes the job, and publishes."""
    both.api.start_api()
    job_id = submitted(both)
    with runs_of(both.trains, tmp_path / "runs") as runs:
        line.wait_s = 0.1
        before = line.n_bytes
        lost = runs.start(job_id)
        until(lambda: line.n_bytes - before > 15 * CHUNK)
        lost.send(SIGNALS.SIGSTOP)
        assert not weights_of(both, job_id, 1)
        line.wait_s = 0.05 if is_woken_first else 0
        holder = runs.start(job_id)
        if is_woken_first:
            until(lambda: both.api.job(job_id)["attempt"] == 2)
            wake(lost, line)
            assert holder.ended(120)
        else:
            assert holder.ended(120)
            wake(lost, line)
        assert (lost.outcome, lost.was_refused) == ("done", True)
        assert (holder.outcome, holder.was_refused) == ("done", False)
    ended = both.api.job(job_id)
    assert ended["status"] == "succeeded"
    assert both.store.objects() == objects_named(both.api), "it took its own away, and no other"
    assert weights_of(both, job_id, 2)
    other = both.machine("other")
    other.start_api()
    assert other.weights(ended["model_id"]) == both.store.content(f"models/{ended['model_id']}/2/weights.npz")


def wake(run: Run, line: Line) -> None:
    line.wait_s = 0
    run.send(SIGNALS.SIGCONT)
    assert run.ended(120)


def test_what_a_killed_run_left_is_swept_when_its_job_has_ended(
    both: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed = tmp_path / "armed"
    both.trains.environment |= {"PYTHONPATH": str(POINTS), "TEST_ARMED": str(armed)}
    both.api.start_api()
    job_id = submitted(both)
    with runs_of(both.trains, tmp_path / "runs") as runs:
        armed.write_text("weights stored")
        assert runs.start(job_id).ended(120)
        assert not armed.exists(), "it was killed there"
        assert weights_of(both, job_id, 1)
        assert sweep(both, tmp_path, monkeypatch) == 0, "the job may still end with what is there"
        assert weights_of(both, job_id, 1)
        runs.finish(job_id)
    assert both.api.job(job_id)["status"] == "succeeded"
    assert both.store.objects() == objects_named(both.api) | weights_of(both, job_id, 1)
    assert sweep(both, tmp_path, monkeypatch) == 1
    assert both.store.objects() == objects_named(both.api)
    assert sweep(both, tmp_path, monkeypatch) == 0
