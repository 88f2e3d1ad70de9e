"""The clock is set while jobs run, and every connection to the database is cut: nothing is lost, nothing runs twice."""

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.crash.test_outside import JOB as LONG
from tests.crash.test_outside import outcome
from tests.service import PENGUINS, POSTGRES, Service, fresh_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CUTS = int(os.environ.get("TEST_CUTS", "12"))
HOUR_S = 3600
JOB: dict[str, Any] = {**LONG, "training": {**LONG["training"], "epochs": 1000}}


class Clock:
    """The time of day that the service's processes see; the clocks that only run on are the machine's."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)
        self.environment = {"PYTHONPATH": str(Path(__file__).parent / "clock"), "TEST_CLOCK": str(file)}

    def step(self, offset_s: int) -> None:
        """Set the clock so far off, at once."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{offset_s:+d}\n")
        draft.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "offset")


@pytest.fixture
def clocked_service(clock: Clock, tmp_path: Path) -> Iterator[Service]:
    folder = tmp_path / "data"
    folder.mkdir()
    with fresh_database() as url:
        service = Service(folder, url, worker_slots="1")
        service.environment |= clock.environment
        try:
            yield service.start(workers=2)
        finally:
            service.close()


def test_a_clock_that_is_set_forward_and_back_changes_nothing(clock: Clock, clocked_service: Service) -> None:
    service = clocked_service
    dataset = service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    expected = outcome(service, service.wait(service.submit(dataset_id=dataset, **JOB)["id"]))
    ids, days = [], []
    for offset_s in (HOUR_S, -HOUR_S, 0):
        ids.append(service.submit(dataset_id=dataset, tags={"clock": "set"}, **JOB)["id"])
        service.wait_for_epoch(ids[-1], 1)
        clock.step(offset_s)
        time.sleep(0.5)  # both workers have looked for dead ones by the new time
        days.append(service.submit(dataset_id=dataset, tags={"clock": "set"}, **JOB))
    ids += [job["id"] for job in days]
    ahead, behind, _ = (job["created_at"] for job in days)
    assert ahead > behind, "the clock was set"
    for job_id in ids:
        job = service.wait(job_id, within_s=120)
        assert job["attempt"] == 1, "no worker was taken for dead"
        assert outcome(service, job) == expected
    listed = service.http.get("/v1/jobs", params={"tag": "clock:set", "limit": 100}).json()["items"]
    assert sorted(job["id"] for job in listed) == sorted(ids)


if POSTGRES is not None:

    @pytest.fixture
    def cut_service(tmp_path: Path) -> Iterator[tuple[Service, str]]:
        with fresh_database() as url:
            assert url is not None
            service = Service(tmp_path, url, worker_slots="1")
            try:
                yield service.start(workers=2), url
            finally:
                service.close()

    def cut(url: str, chance: random.Random) -> int:
        """End every session, or only those that hold the workers' signs of life, or any half; give how many."""
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        which = chance.choice(("", " AND application_name = 'descent worker'", " AND random() < 0.5"))
        with psycopg.connect(url, autocommit=True) as connection:
            return len(connection.execute(f"SELECT pg_terminate_backend(pid) {others}{which}").fetchall())  # type: ignore[arg-type]

    def test_connections_cut_under_load_lose_and_double_nothing(cut_service: tuple[Service, str]) -> None:
        service, url = cut_service
        dataset = service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
        expected = outcome(service, service.wait(service.submit(dataset_id=dataset, **JOB)["id"]))
        accepted: dict[int, str] = {}
        strange: list[str] = []
        ended = threading.Event()

        def submit(number: int) -> None:
            body: dict[str, Any] = {"dataset_id": dataset, "tags": {"under": "cuts"}, **JOB}
            with httpx.Client(base_url=service.http.base_url, timeout=90) as http:
                while not ended.is_set():
                    answer = http.post("/v1/jobs", json=body, headers={"Idempotency-Key": f"cut-{number}"})
                    if answer.status_code == 202:
                        accepted[number] = answer.json()["id"]
                        return
                    if answer.status_code != 503 or "Retry-After" not in answer.headers:
                        strange.append(f"{answer.status_code} {answer.text}")
                    time.sleep(0.05)

        chance, n_cut = random.Random(7), 0
        threads = [threading.Thread(target=submit, args=(number,)) for number in range(max(4, CUTS // 3))]
        try:
            for number in range(CUTS):
                if number % 3 == 0:
                    threads[number // 3].start()
                time.sleep(chance.random() / 2)
                n_cut += cut(url, chance)
            for thread in threads:
                if thread.ident is None:
                    thread.start()
                thread.join(60)
        finally:
            ended.set()
        assert strange == []
        assert n_cut >= CUTS
        assert len(set(accepted.values())) == len(threads)
        for job_id in accepted.values():
            assert outcome(service, service.wait(job_id, within_s=120)) == expected
        listed = service.http.get("/v1/jobs", params={"tag": "under:cuts", "limit": 100}).json()["items"]
        assert {job["id"] for job in listed} == set(accepted.values()), "nothing is doubled"
