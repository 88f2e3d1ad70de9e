"""The bucket goes away, hangs, or is left by a process that dies: nothing is lost, doubled, or left behind."""

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.settings import Settings
from app.store import contents
from app.store.blobs_bucket import MARK
from app.store.blobs_by_url import open_blobs
from app.store.session import Database
from tests.crash.test_outside import JOB, RESTARTS, SLOW, outcome, until
from tests.crash.test_points import POINTS
from tests.s3 import URL, Machines, machines, objects_named
from tests.service import PENGUINS, problem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def table(name: str) -> bytes:
    return PENGUINS.read_bytes() + f"Adelie,{name},39.1,18.7,181,3750,male,2007\n".encode()


def sweep(both: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Sweep as a machine does whose folder is empty; everything is old enough."""
    for name, value in both.store.environment.items():
        monkeypatch.setenv(name, value)
    database = Database(both.trains.environment["DESCENT_DATABASE_URL"])
    try:
        blobs = open_blobs(Settings(data_dir=tmp_path / "sweeps", blobs_url=URL))
        return contents.sweep(database, blobs, older_than_s=-3600)
    finally:
        database.dispose()


def test_a_bucket_cut_off_under_load_loses_and_doubles_nothing(both: Machines) -> None:
    """Cut off and back while datasets are uploaded, and jobs fetch them, are trained, and store their weights."""
    both.start()
    dataset = both.api.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    expected = outcome(both.api, both.api.wait(both.api.submit(dataset_id=dataset, **JOB)["id"]))
    accepted: dict[int, str] = {}
    refused: list[int] = []
    strange: list[str] = []
    ended = threading.Event()

    def until_accepted(http: httpx.Client, path: str, code: int, **request: Any) -> dict[str, Any]:
        while not ended.is_set():
            answer = http.post(path, **request)
            if answer.status_code == code:
                return dict(answer.json())
            refused.append(answer.status_code)
            if answer.status_code != 503 or "Retry-After" not in answer.headers:
                strange.append(f"{answer.status_code} {answer.text}")
            time.sleep(0.1)
        raise AssertionError("never accepted")

    def work(number: int) -> None:
        """Upload the same bytes as a dataset of one's own, and train on it."""
        with httpx.Client(base_url=both.api.http.base_url, timeout=90) as http:
            keys = [{"Idempotency-Key": f"{verb}-{number}"} for verb in ("dataset", "job")]
            content = PENGUINS.read_bytes()
            made = until_accepted(
                http, "/v1/datasets", 201, params={"name": f"{number}.csv"}, content=content, headers=keys[0]
            )
            job = {"dataset_id": made["id"], "tags": {"under": "load"}, **JOB}
            accepted[number] = until_accepted(http, "/v1/jobs", 202, json=job, headers=keys[1])["id"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2 * RESTARTS)]
    try:
        for kill in range(RESTARTS):
            for thread in threads[2 * kill : 2 * kill + 2]:
                thread.start()
            time.sleep(0.4 * (kill % 3))
            both.store.line.cut()
            time.sleep(3)
            both.store.line.restore()
            time.sleep(1)
        for thread in threads:
            thread.join(60)
    finally:
        ended.set()
    assert strange == []
    assert refused, "some came while it was away"
    assert len(set(accepted.values())) == 2 * RESTARTS
    for job_id in accepted.values():
        assert outcome(both.api, both.api.wait(job_id, within_s=180)) == expected
    listed = both.api.http.get("/v1/jobs", params={"tag": "under:load", "limit": 100}).json()["items"]
    assert {job["id"] for job in listed} == set(accepted.values()), "nothing is doubled"
    assert objects_named(both.api) <= both.store.objects()


def test_a_training_waits_for_the_bucket_to_take_its_weights(both: Machines) -> None:
    both.start()
    dataset = both.api.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    asked = both.api.lasting(2, dataset_id=dataset, **SLOW)
    expected = outcome(both.api, both.api.wait(both.api.submit(**asked)["id"]))
    job_id = both.api.submit(**asked)["id"]
    assert both.api.wait_for_epoch(job_id, 1)["status"] == "running"
    both.store.line.cut()
    log = both.trains.log
    until(lambda: f"job {job_id} waits" in log.read_text())
    job = both.api.job(job_id)
    assert (job["status"], job["model_id"]) == ("running", None)
    problem(
        both.api.http.post("/v1/datasets", params={"name": "a.csv"}, content=b"a,b\n1,2\n3,4\n"), 503, "unavailable"
    )
    assert both.api.http.get(f"/v1/datasets/{dataset}/rows").status_code == 200, "the copy here needs no bucket"
    assert both.api.http.get("/readyz").status_code == 200
    both.store.line.restore()
    assert outcome(both.api, both.api.wait(job_id)) == expected


def test_a_bucket_that_hangs_is_not_waited_for_for_ever(both: Machines) -> None:
    both.api.start_api()
    both.store.freeze()
    started = time.monotonic()
    answer = both.api.http.post("/v1/datasets", params={"name": "a.csv"}, content=b"a,b\n1,2\n3,4\n")
    assert both.store.is_frozen(), "nobody else woke it"
    problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert time.monotonic() - started < 60
    both.store.thaw()
    assert both.api.http.get("/v1/datasets").json()["items"] == []
    assert both.api.upload(b"a,b\n1,2\n3,4\n", "a.csv")["id"]


@pytest.fixture
def armed(both: Machines, tmp_path: Path) -> Path:
    """Give the file that holds the point at which the API kills itself."""
    path = tmp_path / "armed"
    both.api.environment |= {"PYTHONPATH": str(POINTS), "TEST_ARMED": str(path)}
    both.api.start_api()
    return path


@pytest.mark.parametrize("point", ["bytes saved", "dataset stored", "dataset committed", "model stored"])
def test_the_api_killed_between_bucket_and_commit_leaves_no_row_without_its_bytes(
    both: Machines, armed: Path, tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it left in the bucket is swept, by another machine as well, and nothing else is."""
    kept = both.api.upload(table("kept"), "kept.csv")["id"]
    armed.write_text(point)
    layer = {"weight": np.ones((1, 2)).tolist(), "bias": [0.5]}
    model = {"task": "regression", "inputs": ["a", "b"], "targets": ["c"], "layers": [layer]}
    path, request = ("/v1/datasets", {"params": {"name": "killed.csv"}, "content": table("killed")})
    if point.startswith("model"):
        path, request = ("/v1/models", {"json": model})
    with pytest.raises(httpx.TransportError):
        both.api.http.post(path, **request)
    assert both.api.api is not None
    both.api.api.wait(60)
    both.api.start_api()
    assert len(both.store.objects()) >= 3, "it came so far"
    is_committed = point.endswith("committed")
    datasets = [one["id"] for one in both.api.http.get("/v1/datasets").json()["items"]]
    assert len(datasets) == 1 + is_committed
    assert (objects_named(both.api) == both.store.objects()) == is_committed
    n_swept = sweep(both, tmp_path, monkeypatch)
    assert both.store.objects() == objects_named(both.api)
    assert (n_swept == 0) == is_committed
    assert both.api.http.get("/v1/models").json()["items"] == []
    other = both.machine("other")
    other.start_api()
    for dataset, name in zip(datasets, ["killed", "kept"] if is_committed else ["kept"], strict=True):
        assert other.http.get(f"/v1/datasets/{dataset}/content").content == table(name)
        assert other.http.get(f"/v1/datasets/{dataset}/rows").status_code == 200
    assert kept in datasets


def test_equal_bytes_uploaded_on_two_machines_while_their_last_dataset_is_deleted_are_not_lost(both: Machines) -> None:
    other = both.machine("other")
    both.api.start_api()
    other.start_api()
    content = table("raced")
    lost: list[str] = []

    def upload_and_look(service: Any, n_times: int) -> None:
        with httpx.Client(base_url=service.http.base_url, timeout=90) as http:
            for _ in range(n_times):
                made = http.post("/v1/datasets", params={"name": "r.csv"}, content=content).json()["id"]
                if key not in both.store.objects():
                    lost.append(made)
                assert http.delete(f"/v1/datasets/{made}").status_code == 204

    first = both.api.upload(content, "r.csv")
    key = f"content/{first['sha256']}"
    assert both.api.http.delete(f"/v1/datasets/{first['id']}").status_code == 204
    threads = [threading.Thread(target=upload_and_look, args=(one, 25)) for one in (both.api, other) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert lost == []
    assert both.store.objects() == set()


def test_a_database_that_knows_of_nothing_sweeps_no_bucket(
    both: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is more likely that it is the wrong one than that all was deleted, also if the bucket has lost its mark."""
    both.api.start_api()
    made = both.api.upload(table("kept"), "kept.csv")
    before = both.store.objects()
    both.store.remove(MARK)
    with machines(tmp_path / "stranger", both.store) as stranger:
        stranger.api.start_api()
        assert sweep(stranger, tmp_path, monkeypatch) == 0
    assert both.store.objects() == before
    assert made["id"]
