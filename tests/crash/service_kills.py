"""Random `kill -9` of whole processes: API, workers, and the processes that they train in."""

import os
import random
import signal
import threading
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import select

from app.store.session import Database
from app.store.tables import JobRow
from tests.crash.tally import Tally
from tests.crash.trainings import Trainings, differences
from tests.service import Service

WORKERS = 2
OPEN_JOBS = 3
TERMINAL = {"succeeded", "failed", "cancelled"}
# A process that trains is started again fastest, and is what holds the numbers.
VICTIMS = ("child",) * 5 + ("worker",) * 2 + ("API",) * 2
# When: at any moment, even before the last victim is back; once something moves; or when a job is about to end.
MOMENTS = ("any", "moving", "moving", "ending")
MOMENT_WITHIN_S = 6.0


class Client:
    """Keeps some jobs in the queue, each under a key of its own, whatever happens to the API."""

    def __init__(self, trainings: Trainings, database: Database, seed: int) -> None:
        self._trainings = trainings
        self._database = database
        self._draw = random.Random(seed)
        self._enough = threading.Event()
        self.accepted: dict[str, str] = {}
        self.faults: list[str] = []
        self._thread = threading.Thread(target=self._submit)
        self._thread.start()

    def end(self) -> None:
        self._enough.set()
        self._thread.join(180)
        assert not self._thread.is_alive()

    def _submit(self) -> None:
        number = 0
        while not self._enough.is_set():
            if len(open_jobs(self._database)) >= OPEN_JOBS:
                self._enough.wait(0.1)
                continue
            name = self._draw.choice(self._trainings.names)
            number += 1
            try:
                job = self._trainings.submit(name, key=f"torture-{number}")
            except Exception as error:
                self.faults.append(f"request {number} was not accepted: {error!r}")
                return
            self.accepted[job["id"]] = name


def open_jobs(database: Database) -> dict[str, tuple[int, int]]:
    """Give epoch and epochs of the jobs that have not ended."""
    with database.reading() as session:
        query = select(JobRow.id, JobRow.epoch, JobRow.epochs).where(JobRow.status.not_in(TERMINAL))
        return {job_id: (epoch, epochs) for job_id, epoch, epochs in session.execute(query)}


def kill_processes(service: Service, database: Database, trainings: Trainings, seed: int, count: int) -> Tally:
    """Kill `count` processes, one after the other, while jobs come in; then hold every job against the undisturbed one."""
    draw = random.Random(seed)
    tally = Tally()
    before = set(_listed(service))
    client = Client(trainings, database, seed)
    try:
        while tally.faults.total() < count:
            _await(draw.choice(MOMENTS), database)
            time.sleep(draw.uniform(0, 0.3))
            victim = draw.choice(VICTIMS)
            if _kill(service, victim, draw):
                tally.faults[f"kills of a{'n' if victim == 'API' else ''} {victim}"] += 1
    finally:
        client.end()
    tally.violations += client.faults
    service._until(lambda: service.http.get("/healthz").status_code == 200)
    for job_id, name in client.accepted.items():
        job = service.wait(job_id, within_s=180)
        tally.violations += differences(service, job, trainings.expected[name])
    listed = _listed(service)
    made = [job_id for job_id in listed if job_id not in before]
    tally.check(
        sorted(made) == sorted(client.accepted), f"there are {len(made)} jobs of {len(client.accepted)} requests"
    )
    models = [one["job_id"] for one in _pages(service, "/v1/models", {})]
    for job_id in client.accepted:
        tally.check(models.count(job_id) == 1, f"{job_id} has {models.count(job_id)} models")
    return tally


def _listed(service: Service) -> list[str]:
    return [one["id"] for one in _pages(service, "/v1/jobs", {"tag": "round:torture"})]


def _pages(service: Service, url: str, query: dict[str, str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = service.http.get(url, params={**query, "limit": "100", **cursor}).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def _await(moment: str, database: Database) -> None:
    """Wait for the moment, but not for long: under many kills little moves."""
    deadline = time.monotonic() + (0 if moment == "any" else MOMENT_WITHIN_S)
    began = open_jobs(database)
    while time.monotonic() < deadline:
        now = open_jobs(database)
        moved = [job_id for job_id, (epoch, _) in now.items() if epoch > began.get(job_id, (0, 0))[0]]
        if any(moment == "moving" or now[job_id][0] > 0.8 * now[job_id][1] for job_id in moved):
            return
        time.sleep(0.02)


def _kill(service: Service, victim: str, draw: random.Random) -> bool:
    """Kill one process of a kind, and start it again unless its worker does; False if there is none just now."""
    if victim == "API":
        assert service.api is not None
        service.api.kill()
        service.api.wait()
        service.launch_api()
        return True
    worker = draw.choice(service.workers)
    if victim == "worker":
        service.kill_worker(worker)
        service.start_worker()
        return True
    children = service.children(worker)
    with suppress(ProcessLookupError):
        os.kill(draw.choice(children), signal.SIGKILL) if children else None
    return bool(children)
