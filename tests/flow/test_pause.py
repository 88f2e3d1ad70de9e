"""Pause, resume, cancel: what is allowed when, and that no bit changes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service import PENGUINS, Service, events, problem

pytestmark = pytest.mark.timeout(600)  # they wait for whole trainings, beside whatever else runs

JOB: dict[str, Any] = {
    "target": "species",
    "network": {"hidden_layers": [32, 16], "activation": "tanh"},
    "training": {"batch_size": 24, "seed": 11},
}
ENDLESS: dict[str, Any] = {"target": "species", "training": {"epochs": 10_000_000}}
SAME = ("epoch", "train_loss", "validation_loss", "metrics", "learning_rate", "gradient_norm")


@pytest.fixture(scope="module")
def dataset(one_slot: Service) -> str:
    return str(one_slot.upload(PENGUINS.read_bytes(), "penguins.csv")["id"])


def verb(service: Service, job_id: str, name: str) -> dict[str, Any]:
    answer = service.http.post(f"/v1/jobs/{job_id}/{name}")
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def until(service: Service, job_id: str, status: str, within_s: float = 60) -> float:
    began_at = time.monotonic()
    while (found := service.job(job_id)["status"]) != status:
        assert time.monotonic() - began_at < within_s, found
        time.sleep(0.01)
    return time.monotonic() - began_at


def outcome(service: Service, job: dict[str, Any]) -> tuple[bytes, list[list[Any]], Any]:
    assert (job["status"], job["error"]) == ("succeeded", None)
    history = [[row[name] for name in SAME] for row in service.history(job["id"])]
    assert [row[0] for row in history] == list(range(1, job["progress"]["epochs"] + 1))
    chain = service.http.get(f"/v1/models/{job['model_id']}/receipt").json()["chain"]
    return service.weights(job["model_id"]), history, chain


@pytest.mark.slow
def test_a_job_paused_and_resumed_at_any_epoch_comes_out_the_same(one_slot: Service, dataset: str) -> None:
    job = one_slot.lasting(4, dataset_id=dataset, **JOB)
    epochs = job["training"]["epochs"]
    expected = outcome(one_slot, one_slot.wait(one_slot.submit(**job)["id"]))
    job_id = one_slot.submit(**job)["id"]
    for epoch in (1, epochs // 10, epochs // 4, epochs // 2):
        one_slot.wait_for_epoch(job_id, epoch)
        until(one_slot, job_id, "running")
        verb(one_slot, job_id, "pause")
        until(one_slot, job_id, "paused")
        stored = one_slot.job(job_id)["progress"]["epoch"]
        time.sleep(0.3)
        assert one_slot.job(job_id)["progress"]["epoch"] == stored, "a paused job must not go on"
        assert verb(one_slot, job_id, "resume")["status"] == "queued"
    assert outcome(one_slot, one_slot.wait(job_id)) == expected


@pytest.mark.slow
def test_a_running_job_is_paused_within_half_a_second_and_frees_its_slot(one_slot: Service, dataset: str) -> None:
    took_s = []
    for _ in range(5):
        job_id = one_slot.submit(dataset_id=dataset, **ENDLESS)["id"]
        one_slot.wait_for_epoch(job_id, 1)
        assert verb(one_slot, job_id, "pause")["status"] == "pausing"
        took_s.append(until(one_slot, job_id, "paused"))
        other = one_slot.submit(dataset_id=dataset, target="species", training={"epochs": 1})
        assert one_slot.wait(other["id"])["status"] == "succeeded"
        problem(one_slot.http.delete(f"/v1/datasets/{dataset}"), 409, "dataset_in_use")
        verb(one_slot, job_id, "cancel")
        cancelled = one_slot.wait(job_id)
        assert (cancelled["status"], cancelled["stopped_because"]) == ("cancelled", "cancelled")
        assert cancelled["model_id"] is not None, "the weights so far are kept"
    assert sorted(took_s)[1] < 0.5, took_s  # the others may have waited for a processor that others use


@pytest.mark.slow
def test_a_queued_job_is_paused_at_once_and_runs_once_when_resumed(one_slot: Service, dataset: str) -> None:
    """Paused and resumed in the queue it has two entries there; only the later one counts."""
    running = one_slot.submit(dataset_id=dataset, **ENDLESS)["id"]
    one_slot.wait_for_epoch(running, 1)
    queued = one_slot.submit(dataset_id=dataset, target="species", training={"epochs": 3000, "batch_size": 24})["id"]
    for _ in range(3):
        assert verb(one_slot, queued, "pause")["status"] == "paused"
        assert verb(one_slot, queued, "resume")["status"] == "queued"
    paused = one_slot.submit(dataset_id=dataset, target="species", training={"epochs": 1})["id"]
    verb(one_slot, paused, "pause")
    verb(one_slot, running, "cancel")
    job = one_slot.wait(queued)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert len(one_slot.history(queued)) == 3000
    assert one_slot.job(paused)["status"] == "paused", "a paused job must not be taken from the queue"
    assert verb(one_slot, paused, "cancel")["status"] == "cancelled"


@pytest.mark.slow
def test_a_pause_taken_back_before_it_is_confirmed_leaves_one_run(one_slot: Service, dataset: str) -> None:
    longer = one_slot.lasting(4, dataset_id=dataset, **JOB)  # it does not end among the verbs
    job_id = one_slot.submit(**longer)["id"]
    one_slot.wait_for_epoch(job_id, 1)
    for _ in range(20):
        verb(one_slot, job_id, "pause")
        answer = verb(one_slot, job_id, "resume")
        assert answer["status"] in {"running", "queued"}
    job = one_slot.wait(job_id)
    assert job["status"] == "succeeded"
    assert [row["epoch"] for row in one_slot.history(job_id)] == list(range(1, longer["training"]["epochs"] + 1))


@pytest.mark.slow
def test_the_event_stream_tells_a_pause_and_misses_no_epoch(one_slot: Service, dataset: str) -> None:
    job = one_slot.lasting(2, dataset_id=dataset, **JOB)
    job_id = one_slot.submit(**job)["id"]
    one_slot.wait_for_epoch(job_id, 1)
    verb(one_slot, job_id, "pause")
    until(one_slot, job_id, "paused")
    heard: list[tuple[str, Any]] = []
    with one_slot.http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        for event, _, data in events(stream):
            heard.append((event, data))
            if event == "status" and data["status"] == "paused":
                verb(one_slot, job_id, "resume")
            if event == "done":
                break
    statuses = [data["status"] for event, data in heard if event == "status"]
    assert (statuses[0], statuses[-1]) == ("paused", "succeeded")
    assert [data["epoch"] for event, data in heard if event == "epoch"] == list(range(1, job["training"]["epochs"] + 1))


@pytest.mark.slow
def test_the_place_in_the_queue_follows_priority_and_is_the_order_of_starting(one_slot: Service, dataset: str) -> None:
    blocker = as_running(one_slot, dataset, ENDLESS)
    short = {"dataset_id": dataset, "target": "species", "training": {"epochs": 1}}
    ids = [one_slot.submit(**short, priority=priority)["id"] for priority in (0, -3, 10, 0, 2)]
    assert [one_slot.job(job_id)["queue_position"] for job_id in ids] == [3, 5, 1, 4, 2]
    verb(one_slot, ids[2], "pause")
    verb(one_slot, ids[0], "pause")
    time.sleep(1.1)  # on SQLite the job engine orders jobs of one priority by the second
    verb(one_slot, ids[0], "resume")
    assert [one_slot.job(job_id)["queue_position"] for job_id in ids] == [3, 4, None, 2, 1]
    verb(one_slot, blocker, "cancel")
    done = [one_slot.wait(ids[i]) for i in (4, 3, 0, 1)]
    started = [job["started_at"] for job in done]
    assert started == sorted(started)
    verb(one_slot, ids[2], "cancel")
    refused = problem(one_slot.http.post("/v1/jobs", json={**short, "priority": 11}), 422, "invalid_request")
    assert refused["errors"][0]["pointer"] == "/priority"


def as_queued(service: Service, dataset: str, job: dict[str, Any]) -> str:
    blocker = service.submit(dataset_id=dataset, **ENDLESS)["id"]
    service.wait_for_epoch(blocker, 1)
    return str(service.submit(dataset_id=dataset, **job)["id"])


def as_running(service: Service, dataset: str, job: dict[str, Any]) -> str:
    job_id = str(service.submit(dataset_id=dataset, **job)["id"])
    service.wait_for_epoch(job_id, 1)
    return job_id


def as_paused(service: Service, dataset: str, job: dict[str, Any]) -> str:
    job_id = as_running(service, dataset, job)
    verb(service, job_id, "pause")
    until(service, job_id, "paused")
    return job_id


def as_ended(service: Service, dataset: str, job: dict[str, Any]) -> str:
    ended = {**job, "training": {"epochs": 1}}
    return str(service.wait(service.submit(dataset_id=dataset, **ended)["id"])["id"])


def as_cancelled(service: Service, dataset: str, job: dict[str, Any]) -> str:
    job_id = as_running(service, dataset, job)
    verb(service, job_id, "cancel")
    return str(service.wait(job_id)["id"])


TABLE = {
    as_queued: {"pause", "cancel"},
    as_running: {"pause", "cancel"},
    as_paused: {"resume", "cancel"},
    as_ended: {"delete", "verify", "fork"},
    as_cancelled: {"delete", "verify", "fork"},
}


@pytest.mark.slow
@pytest.mark.parametrize("state", list(TABLE), ids=lambda state: state.__name__)
def test_every_verb_is_allowed_or_refused_by_name(
    one_slot: Service, dataset: str, state: Callable[[Service, str, dict[str, Any]], str]
) -> None:
    for name in ("pause", "resume", "cancel", "delete", "verify"):
        job_id = state(one_slot, dataset, ENDLESS)
        url = f"/v1/jobs/{job_id}"
        answer = one_slot.http.delete(url) if name == "delete" else one_slot.http.post(f"{url}/{name}")
        if name in TABLE[state]:
            assert answer.status_code in {202, 204}, (name, answer.text)
        else:
            problem(answer, 409, "illegal_transition")
        for kind in ("training", "verification"):
            for job in one_slot.http.get("/v1/jobs", params={"limit": 100, "kind": kind}).json()["items"]:
                if job["finished_at"] is None:
                    one_slot.http.post(f"/v1/jobs/{job['id']}/cancel")  # a short one may have ended by now
                    one_slot.wait(job["id"])


def test_verbs_of_a_job_that_is_not_there_are_404(service: Service) -> None:
    for name in ("pause", "resume", "cancel", "verify"):
        problem(service.http.post(f"/v1/jobs/job_none/{name}"), 404, "not_found")
    problem(service.http.post("/v1/jobs/job_none/fork", json={}), 404, "not_found")
    problem(service.http.get("/v1/jobs/job_none/checkpoints"), 404, "not_found")


@pytest.mark.slow
def test_a_worker_killed_while_a_job_is_pausing_leaves_it_paused(own_service: Service, tmp_path: Path) -> None:
    own_service.start()
    dataset = own_service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    asked = own_service.lasting(3, dataset_id=dataset, **JOB)
    job_id = own_service.submit(**asked)["id"]
    seen = own_service.wait_for_epoch(job_id, 50)["progress"]["epoch"]
    own_service.kill_worker(own_service.workers[0])
    assert verb(own_service, job_id, "pause")["status"] == "pausing"
    own_service.start_worker()
    until(own_service, job_id, "paused")
    assert own_service.job(job_id)["progress"]["epoch"] >= seen
    verb(own_service, job_id, "resume")
    job = own_service.wait(job_id)
    assert job["status"] == "succeeded"
    assert [row["epoch"] for row in own_service.history(job_id)] == list(range(1, asked["training"]["epochs"] + 1))


@pytest.mark.slow
def test_the_time_limit_counts_across_pauses_and_kills(own_service: Service) -> None:
    """A job of 3 s that is paused, and whose worker is killed, is not given 3 s each time, nor charged for the pause."""
    own_service.start()
    dataset = own_service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    training = {"epochs": 10_000_000, "max_seconds": 3}
    began_at = time.monotonic()
    network = {"hidden_layers": [8], "activation": "elu"}  # not compiled: nobody waits for the compiler
    job_id = own_service.submit(dataset_id=dataset, target="species", network=network, training=training)["id"]
    own_service.wait_for_epoch(job_id, 1)
    time.sleep(0.7)
    verb(own_service, job_id, "pause")
    until(own_service, job_id, "paused")
    time.sleep(4)
    assert own_service.job(job_id)["status"] == "paused"
    paused_s = time.monotonic() - began_at
    verb(own_service, job_id, "resume")
    until(own_service, job_id, "running")
    time.sleep(0.7)
    own_service.kill_worker(own_service.workers[0])
    own_service.start_worker()
    job = own_service.wait(job_id)
    assert (job["status"], job["stopped_because"]) == ("succeeded", "max_seconds")
    trained_s = sum(row["duration_s"] for row in own_service.history(job_id))
    assert 2 < trained_s < 3.6, (trained_s, paused_s)
