"""Kill it at any moment: weights and history come out the same to the last bit."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service import PENGUINS, ROOT, Service, events, free_port

pytestmark = pytest.mark.timeout(600)  # they wait for whole trainings, beside whatever else runs

# Adam, mini-batches with an odd last one, a new order each epoch: everything that a checkpoint has to carry.
JOB = {
    "target": "species",
    "network": {"hidden_layers": [32, 16], "activation": "tanh"},
    "training": {"batch_size": 8, "seed": 11, "optimizer": {"name": "adam", "learning_rate": 0.001}},
}
LASTS_S = 5  # longer than three kills take
Undisturbed = tuple[dict[str, Any], tuple[bytes, list[list[Any]]]]
SAME = ("epoch", "train_loss", "validation_loss", "metrics", "learning_rate", "gradient_norm")


def outcome(service: Service, job: dict[str, Any]) -> tuple[bytes, list[list[Any]]]:
    """Give the weights, and the history less the times at which it happened."""
    assert (job["status"], job["error"]) == ("succeeded", None)
    history = [[row[name] for name in SAME] for row in service.history(job["id"])]
    assert [row[0] for row in history] == list(range(1, job["progress"]["epochs"] + 1))
    return service.weights(job["model_id"]), history


@contextmanager
def stopped(processes: list[int]) -> Iterator[None]:
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


@pytest.fixture(scope="module")
def undisturbed(one_slot: Service) -> Undisturbed:
    """Give a job that lasts long enough, and what comes of it when nothing is killed."""
    dataset = str(one_slot.upload(PENGUINS.read_bytes(), "penguins.csv")["id"])
    job = one_slot.lasting(LASTS_S, dataset_id=dataset, **JOB)
    return job, outcome(one_slot, one_slot.wait(one_slot.submit(**job)["id"]))


def child_of(service: Service, *, other_than: int = 0) -> int:
    """Give the process that the one worker trains in, once there is one."""
    deadline = time.monotonic() + 60
    while True:
        found = set(service.children(service.workers[0])) - {other_than}
        if found:
            (child,) = found
            return child
        assert time.monotonic() < deadline, "no process was started again"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_worker_killed_in_mid_job_changes_no_bit(one_slot: Service, undisturbed: Undisturbed) -> None:
    """Three kills of the whole worker; the last one leaves the job without any worker for a while."""
    asked, expected = undisturbed
    job_id = one_slot.submit(**asked)["id"]
    seen = 0
    for _ in range(3):
        job = one_slot.wait_for_epoch(job_id, seen + 300)
        assert job["status"] == "running", "the job ended before it could be killed"
        seen = job["progress"]["epoch"]
        one_slot.kill_worker(one_slot.workers[0])
        time.sleep(0.3)
        assert one_slot.job(job_id)["progress"]["epoch"] >= seen
        one_slot.start_worker()
    job = one_slot.wait(job_id)
    assert job["attempt"] == 4
    assert outcome(one_slot, job) == expected


@pytest.mark.slow
def test_a_training_process_killed_in_mid_job_changes_no_bit(one_slot: Service, undisturbed: Undisturbed) -> None:
    asked, expected = undisturbed
    job_id = one_slot.submit(**asked)["id"]
    moment = random.Random(5)
    seen = child = 0
    for _ in range(3):
        job = one_slot.wait_for_epoch(job_id, seen + 100)
        seen = job["progress"]["epoch"]
        time.sleep(moment.random() / 5)
        child = child_of(one_slot, other_than=child)
        os.kill(child, signal.SIGKILL)
    job = one_slot.wait(job_id)
    assert job["attempt"] >= 2
    assert outcome(one_slot, job) == expected


@pytest.mark.slow
def test_a_worker_told_to_end_hands_its_job_back_and_no_bit_changes(
    one_slot: Service, undisturbed: Undisturbed
) -> None:
    asked, expected = undisturbed
    job_id = one_slot.submit(**asked)["id"]
    one_slot.wait_for_epoch(job_id, 500)
    worker = one_slot.workers[0]
    began_at = time.monotonic()
    worker.terminate()
    assert worker.wait(10) == 0
    assert time.monotonic() - began_at < 10
    one_slot.workers.remove(worker)
    job = one_slot.job(job_id)
    assert job["status"] == "queued"
    assert job["progress"]["epoch"] >= 500
    one_slot.start_worker()
    assert outcome(one_slot, one_slot.wait(job_id)) == expected


@pytest.mark.slow
def test_the_api_killed_loses_no_job_it_accepted(own_service: Service) -> None:
    own_service.start()
    dataset = own_service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    headers = {"Idempotency-Key": "across a crash"}
    body = {"dataset_id": dataset, "target": "species", "training": {"epochs": 500}}
    accepted = own_service.http.post("/v1/jobs", json=body, headers=headers)
    assert own_service.api is not None
    own_service.api.kill()
    own_service.api.wait()
    own_service.start_api()
    again = own_service.http.post("/v1/jobs", json=body, headers=headers)
    assert (again.headers["Idempotency-Replayed"], again.json()) == ("true", accepted.json())
    assert own_service.wait(accepted.json()["id"])["status"] == "succeeded"


@pytest.mark.slow
def test_a_job_that_always_kills_its_process_is_given_up_by_name(own_service: Service) -> None:
    own_service.start()
    dataset = own_service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    table = next(own_service.data_dir.glob("blobs/datasets/*/table.arrow"))
    submitted = own_service.submit(dataset_id=dataset, target="species", training={"epochs": 1})
    own_service.wait(submitted["id"])

    def hold_runs_at_their_table() -> None:
        """From now on a run hangs where it opens its table, before it has recorded anything."""
        table.unlink()
        os.mkfifo(table)

    with stopped(own_service.children(own_service.workers[0])):
        job_id = own_service.submit(dataset_id=dataset, target="species")["id"]
        hold_runs_at_their_table()
    for attempt in (1, 2, 3):
        while (job := own_service.job(job_id))["attempt"] < attempt:
            assert job["status"] in {"queued", "running"}
            time.sleep(0.05)
        for child in own_service.children(own_service.workers[0]):
            os.kill(child, signal.SIGKILL)
    job = own_service.wait(job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "worker_lost")
    assert (job["attempt"], job["progress"]["epoch"]) == (4, 0)


@pytest.mark.slow
def test_ctrl_c_ends_everything_with_an_event_stream_open(tmp_path: Path) -> None:
    """The command behind `make serve`: one Ctrl-C, as a terminal sends it, and no process is left."""
    port = free_port()
    environment = {**os.environ, "DESCENT_DATA_DIR": str(tmp_path), "DESCENT_PORT": str(port)}
    environment.pop("TEST_POSTGRES", None)
    serve = subprocess.Popen(
        [sys.executable, "-m", "app"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, start_new_session=True
    )
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90)
    try:
        assert serve.stdout is not None
        greeting = b""
        while b"Ctrl-C" not in greeting:
            greeting += serve.stdout.readline()
        assert f"http://127.0.0.1:{port}/".encode() in greeting
        content = PENGUINS.read_bytes()
        dataset = http.post("/v1/datasets", params={"name": "penguins.csv"}, content=content).json()["id"]
        training = {"epochs": 10_000_000}
        job = http.post("/v1/jobs", json={"dataset_id": dataset, "target": "species", "training": training}).json()
        with http.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
            heard = events(stream)
            while next(heard)[0] != "epoch":
                pass
            began_at = time.monotonic()
            os.killpg(serve.pid, signal.SIGINT)
            for _ in heard:
                pass
        assert serve.wait(10) == 0
        assert time.monotonic() - began_at < 10
    finally:
        http.close()
        serve.kill()
        serve.wait()
        assert serve.stdout is not None
        serve.stdout.close()
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False)
    assert left.stdout == b""
