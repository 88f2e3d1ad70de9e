"""Killed between a commit and what was to follow it: nothing is lost, and nothing is done twice."""

import json
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.crash.trainings import Outcome, differences, outcome
from tests.service import PENGUINS, Service, fresh_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

POINTS = Path(__file__).parent / "points"
JOB: dict[str, Any] = {
    "target": "species",
    "network": {"hidden_layers": [32, 16], "activation": "tanh"},
    "training": {"epochs": 2000, "batch_size": 24, "seed": 11, "optimizer": {"name": "adam", "learning_rate": 0.002}},
}


class Armed:
    """A service whose processes kill themselves where they are told to."""

    def __init__(self, folder: Path, database_url: str | None) -> None:
        self.service = Service(folder, database_url, worker_slots="1")
        self._armed = folder / "armed"
        self.service.environment |= {"PYTHONPATH": str(POINTS), "TEST_ARMED": str(self._armed)}
        self.service.start()
        self.dataset = str(self.service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"])
        self.job: dict[str, Any] = {"dataset_id": self.dataset, **JOB}
        done = self.service.wait(self.service.submit(**self.job)["id"])
        self.parent, self.expected = str(done["id"]), outcome(self.service, done)

    @cached_property
    def lasting(self) -> tuple[dict[str, Any], Outcome]:
        """A job that does not end before it is told to, and what comes of it undisturbed."""
        job = self.service.lasting(2, **self.job)
        return job, outcome(self.service, self.service.wait(self.service.submit(**job)["id"]))

    def at(self, point: str) -> None:
        draft = self._armed.with_suffix(".draft")
        draft.write_text(point)
        draft.replace(self._armed)

    def until_killed(self) -> None:
        deadline = time.monotonic() + 60
        while self._armed.exists():
            assert time.monotonic() < deadline, "no process came to the point"
            time.sleep(0.01)

    def check(self, job_id: str, expected: Outcome) -> None:
        assert differences(self.service, self.service.wait(job_id), expected) == []
        models = self.service.http.get("/v1/models", params={"limit": 100}).json()["items"]
        assert [one["job_id"] for one in models].count(job_id) == 1


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Armed]:
    with fresh_database() as url:
        one = Armed(tmp_path_factory.mktemp("armed"), url)
        try:
            yield one
        finally:
            one.service.close()


@pytest.mark.parametrize(
    "point",
    ["job taken", "taking committed", "record written", "record committed", "weights stored", "model published"],
)
def test_a_training_process_killed_at_a_point_changes_no_bit(armed: Armed, point: str) -> None:
    # A job that is soon over is stored once, with its end.
    job, expected = armed.lasting if point == "record committed" else (armed.job, armed.expected)
    armed.at(point)
    job_id = armed.service.submit(**job)["id"]
    armed.until_killed()
    armed.check(job_id, expected)


def test_a_training_process_killed_when_it_has_confirmed_a_pause_leaves_it_paused(armed: Armed) -> None:
    job, expected = armed.lasting
    armed.at("pause committed")
    job_id = armed.service.submit(**job)["id"]
    armed.service.wait_for_epoch(job_id, 1)
    assert armed.service.http.post(f"/v1/jobs/{job_id}/pause").status_code == 202
    armed.until_killed()
    time.sleep(1)
    assert armed.service.job(job_id)["status"] == "paused"
    assert armed.service.http.post(f"/v1/jobs/{job_id}/resume").status_code == 202
    armed.check(job_id, expected)


def test_a_worker_killed_before_the_queue_knows_of_the_end_makes_one_model(armed: Armed) -> None:
    armed.at("queue not told of the end")
    job_id = armed.service.submit(**armed.job)["id"]
    armed.until_killed()
    (worker,) = armed.service.workers
    armed.service.kill_worker(worker)
    ended = armed.service.job(job_id)
    assert ended["status"] == "succeeded"
    armed.service.start_worker()
    after = armed.service.submit(dataset_id=armed.dataset, target="species", training={"epochs": 1})
    assert armed.service.wait(after["id"])["status"] == "succeeded"
    assert armed.service.job(job_id) == ended
    armed.check(job_id, armed.expected)


def test_a_worker_killed_before_the_queue_knows_of_the_hand_back_loses_no_job(armed: Armed) -> None:
    job, expected = armed.lasting
    job_id = armed.service.submit(**job)["id"]
    assert armed.service.wait_for_epoch(job_id, 1)["status"] == "running"
    armed.at("queue not told of the hand-back")
    (worker,) = armed.service.workers
    worker.terminate()
    armed.until_killed()
    armed.service.kill_worker(worker)
    assert armed.service.job(job_id)["status"] == "queued"
    armed.service.start_worker()
    armed.check(job_id, expected)


def _ask(armed: Armed, verb: str, key: str) -> httpx.Response:
    """Do something under a key; its name is the key."""
    http, headers = armed.service.http, {"Idempotency-Key": key}
    if verb == "job":
        return http.post("/v1/jobs", json={**armed.job, "name": key}, headers=headers)
    if verb == "fork":
        return http.post(
            f"/v1/jobs/{armed.parent}/fork", json={"name": key, "training": {"epochs": 2200}}, headers=headers
        )
    if verb == "dataset":
        content = PENGUINS.read_bytes() + key.encode() + b",Biscoe,39.1,18.7,181,3750,male,2007\n"
        return http.post("/v1/datasets", params={"name": key, "format": "csv"}, content=content, headers=headers)
    layer = {"weight": np.ones((1, 2)).tolist(), "bias": [0.5]}
    model = {"name": key, "task": "regression", "inputs": ["a", "b"], "targets": ["c"], "layers": [layer]}
    return http.post("/v1/models", content=json.dumps(model), headers={**headers, "Content-Type": "application/json"})


URLS = {"job": "/v1/jobs", "fork": "/v1/jobs", "dataset": "/v1/datasets", "model": "/v1/models"}


@pytest.mark.parametrize(
    "point",
    [
        *("job stored", "job committed", "fork committed"),
        *("dataset stored", "dataset committed", "model stored", "model committed"),
    ],
)
def test_the_api_killed_before_its_answer_gives_it_to_the_next_request_with_the_key(armed: Armed, point: str) -> None:
    """One that was committed is answered again; one that was not leaves no trace. There is one of it in either case."""
    verb, how = point.split()
    armed.at(point)
    with pytest.raises(httpx.TransportError):
        _ask(armed, verb, point)
    armed.until_killed()
    assert armed.service.api is not None
    armed.service.api.wait(60)
    armed.service.start_api()
    again = _ask(armed, verb, point)
    assert again.status_code in {201, 202}, again.text
    assert ("Idempotency-Replayed" in again.headers) == (how == "committed")
    third = _ask(armed, verb, point)
    assert (third.headers["Idempotency-Replayed"], third.json()) == ("true", again.json())
    items = armed.service.http.get(URLS[verb], params={"limit": 100}).json()["items"]
    assert [one["id"] for one in items if one["name"] == point] == [again.json()["id"]]
    if verb == "job":
        armed.check(again.json()["id"], armed.expected)
    elif verb == "fork":
        assert armed.service.wait(again.json()["id"])["status"] == "succeeded"
    folder = armed.service.data_dir / "blobs"
    if verb == "dataset":
        assert armed.service.http.get(f"/v1/datasets/{again.json()['id']}/content").status_code == 200
    elif verb == "model":
        assert (folder / "models" / again.json()["id"] / "weights.npz").exists()
