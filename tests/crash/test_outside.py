"""The world outside fails: the database goes away, the disk is full, memory runs out. Nothing stored is lost."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.postgres import Cluster
from tests.service import PENGUINS, POSTGRES, Service, fresh_database, problem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

JOB: dict[str, Any] = {
    "target": "species",
    "network": {"hidden_layers": [32, 16], "activation": "tanh"},
    "training": {"epochs": 3000, "batch_size": 24, "seed": 11},
}
# Few epochs that take long: what they leave in the database has room on a small disk.
SLOW: dict[str, Any] = {
    "target": "species",
    "network": {"hidden_layers": [32, 16], "activation": "elu"},
    "training": {"batch_size": 4, "seed": 11},
}
RESTARTS = int(os.environ.get("TEST_RESTARTS", "2"))
SAME = ("epoch", "train_loss", "validation_loss", "metrics", "learning_rate", "gradient_norm")


def outcome(service: Service, job: dict[str, Any]) -> tuple[bytes, list[list[Any]]]:
    assert (job["status"], job["error"]) == ("succeeded", None)
    history = [[row[name] for name in SAME] for row in service.history(job["id"])]
    assert [row[0] for row in history] == list(range(1, job["progress"]["epochs"] + 1))
    return service.weights(job["model_id"]), history


def until(true: Any, within_s: float = 120) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


if POSTGRES is not None:

    @pytest.fixture
    def cluster() -> Iterator[Cluster]:
        own = Cluster()
        try:
            own.start()
            yield own
        finally:
            own.close()

    @pytest.fixture
    def on_cluster(cluster: Cluster, tmp_path: Path) -> Iterator[Service]:
        service = Service(tmp_path, cluster.url, worker_slots="2")
        try:
            yield service.start(workers=1)
        finally:
            service.close()

    def test_a_database_restarted_under_load_loses_and_doubles_nothing(cluster: Cluster, on_cluster: Service) -> None:
        """Killed and started again while jobs are submitted, trained, watched and ended."""
        dataset = on_cluster.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
        expected = outcome(on_cluster, on_cluster.wait(on_cluster.submit(dataset_id=dataset, **JOB)["id"]))
        accepted: dict[int, str] = {}
        strange: list[str] = []
        ended = threading.Event()

        def submit_until_accepted(number: int) -> None:
            body = {"dataset_id": dataset, "tags": {"under": "load"}, **JOB}
            with httpx.Client(base_url=on_cluster.http.base_url, timeout=90) as http:
                while not ended.is_set():
                    answer = http.post("/v1/jobs", json=body, headers={"Idempotency-Key": f"load-{number}"})
                    if answer.status_code == 202:
                        accepted[number] = answer.json()["id"]
                        return
                    if answer.status_code != 503 or "Retry-After" not in answer.headers:
                        strange.append(f"{answer.status_code} {answer.text}")
                    time.sleep(0.1)

        threads = [threading.Thread(target=submit_until_accepted, args=(number,)) for number in range(2 * RESTARTS)]
        try:
            for kill in range(RESTARTS):
                for thread in threads[2 * kill : 2 * kill + 2]:
                    thread.start()
                time.sleep(1 + 0.4 * (kill % 3))
                cluster.kill()
                time.sleep(0.5)
                cluster.start()
            for thread in threads:
                thread.join(60)
        finally:
            ended.set()
        assert strange == []
        assert len(set(accepted.values())) == 2 * RESTARTS
        for job_id in accepted.values():
            assert outcome(on_cluster, on_cluster.wait(job_id, within_s=120)) == expected
        listed = on_cluster.http.get("/v1/jobs", params={"tag": "under:load", "limit": 100}).json()["items"]
        assert {job["id"] for job in listed} == set(accepted.values()), "nothing is doubled"

    def test_while_the_database_is_away_the_api_says_so_and_trainings_wait(
        cluster: Cluster, on_cluster: Service
    ) -> None:
        dataset = on_cluster.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
        asked = on_cluster.lasting(4, dataset_id=dataset, **SLOW)
        job_id = on_cluster.submit(**asked)["id"]
        assert on_cluster.wait_for_epoch(job_id, 1)["status"] == "running"
        cluster.kill()
        url = f"/v1/jobs/{job_id}"
        for answer in (
            on_cluster.http.get(url),
            on_cluster.http.post(f"{url}/pause"),
            on_cluster.http.post("/v1/jobs", json={"dataset_id": dataset, **JOB}),
            on_cluster.http.post("/v1/datasets", params={"name": "a.csv"}, content=b"a,b\n1,2\n3,4\n"),
        ):
            problem(answer, 503, "unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert on_cluster.http.get("/healthz").status_code == 200
        assert on_cluster.http.get("/readyz").status_code == 503
        time.sleep(8)
        cluster.start()
        job = on_cluster.wait(job_id)
        assert (job["status"], job["error"]) == ("succeeded", None)
        assert [row["epoch"] for row in on_cluster.history(job_id)] == list(range(1, asked["training"]["epochs"] + 1))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a disk of its own of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte of the disk free."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def test_a_full_disk_is_told_by_name_and_what_is_stored_stays(small_disk: Path, tmp_path: Path) -> None:
    """Training waits for room, and goes on to the same bits; what could not be stored leaves no trace."""
    with fresh_database() as url:
        service = Service(small_disk, url, worker_slots="1")
        service.log = tmp_path / "log.txt"
        try:
            service.start()
            content = PENGUINS.read_bytes()
            dataset = service.upload(content, "penguins.csv")["id"]
            asked = service.lasting(3, dataset_id=dataset, **SLOW)
            expected = outcome(service, service.wait(service.submit(**asked)["id"]))
            job_id = service.submit(**asked)["id"]
            assert service.wait_for_epoch(job_id, 1)["status"] == "running"
            ballast = fill(small_disk)
            answer = service.http.post("/v1/datasets", params={"name": "b.csv"}, content=content * 20)
            problem(answer, 507, "storage_full")
            assert int(answer.headers["Retry-After"]) > 0
            if url is None:
                answer = service.http.post("/v1/jobs", json={"dataset_id": dataset, **JOB})
                problem(answer, 507, "storage_full")
            assert service.http.get(f"/v1/datasets/{dataset}/content").content == content
            time.sleep(3)
            assert service.job(job_id)["status"] == "running", "it waits"
            ballast.unlink()
            assert outcome(service, service.wait(job_id)) == expected
            assert len(service.http.get("/v1/datasets").json()["items"]) == 1
            assert len(service.http.get("/v1/jobs").json()["items"]) == 2
            assert service.upload(content * 20, "b.csv")["id"]
        finally:
            service.close()


def data_bytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) * 1024


def test_a_job_that_runs_out_of_memory_ends_by_name_and_takes_no_process_along(own_service: Service) -> None:
    own_service.start()
    dataset = own_service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    small = own_service.submit(dataset_id=dataset, target="species", training={"epochs": 1})
    assert own_service.wait(small["id"])["status"] == "succeeded"
    (child,) = own_service.children(own_service.workers[0])
    limit = data_bytes(child) + 150 * 2**20
    resource.prlimit(child, resource.RLIMIT_DATA, (limit, limit))
    wide = {"hidden_layers": [4000, 4000]}
    here = {"threads": 1}  # in the process that has the limit
    job = own_service.submit(dataset_id=dataset, target="species", network=wide, training=here)
    job = own_service.wait(job["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "out_of_memory")
    assert job["attempt"] == 1, "it would run out again"
    after = own_service.submit(dataset_id=dataset, target="species", training={"epochs": 3})
    assert own_service.wait(after["id"])["status"] == "succeeded"
    assert own_service.children(own_service.workers[0]) == [child]


def test_a_matrix_library_that_ends_the_process_for_want_of_memory_ends_the_job_by_name(own_service: Service) -> None:
    """OpenBLAS does so when its first product gets no buffer; the worker starts another process and goes on."""
    own_service.start()
    dataset = own_service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    compiled = {"dataset_id": dataset, "target": "species", "validation": None, "training": {"epochs": 1}}
    small = own_service.submit(**compiled)
    assert own_service.wait(small["id"])["status"] == "succeeded"  # in which the library made no product
    (child,) = own_service.children(own_service.workers[0])
    sizes = []
    for _ in range(10):  # a thread that is about to end has 8 MiB, which would be enough for the buffer
        sizes.append(data_bytes(child))
        time.sleep(0.1)
    limit = min(sizes) + 24 * 2**20
    resource.prlimit(child, resource.RLIMIT_DATA, (limit, limit))
    plain = {**compiled, "network": {"hidden_layers": [300], "activation": "elu"}}
    job = own_service.wait(own_service.submit(**plain)["id"])
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "out_of_memory", 2)
    again = own_service.wait(own_service.submit(**plain)["id"])
    assert again["status"] == "succeeded"
    assert own_service.children(own_service.workers[0]) != [child]


def test_how_a_process_ended_is_told_when_its_job_is_given_up(own_service: Service) -> None:
    """Whole workers and training processes that die without progress count alike."""
    own_service.start()
    dataset = own_service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    own_service.wait(own_service.submit(dataset_id=dataset, target="species", training={"epochs": 1})["id"])
    (child,) = own_service.children(own_service.workers[0])
    os.kill(child, 19)  # SIGSTOP
    table = next(own_service.data_dir.glob("blobs/datasets/*/table.arrow"))
    job_id = own_service.submit(dataset_id=dataset, target="species")["id"]
    table.unlink()
    os.mkfifo(table)  # a run hangs where it opens its table, before it has recorded anything
    os.kill(child, 18)  # SIGCONT
    for attempt in (1, 2):
        until(lambda: own_service.job(job_id)["attempt"] == attempt)  # noqa: B023
        own_service.kill_worker(own_service.workers[0])
        own_service.start_worker()
    until(lambda: own_service.job(job_id)["attempt"] == 3)
    (child,) = own_service.children(own_service.workers[0])
    os.kill(child, 9)
    job = own_service.wait(job_id)
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "worker_lost", 4)
    assert "SIGKILL" in job["error"]["message"]
