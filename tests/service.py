"""A real service for tests: an API process and worker processes, on SQLite or (TEST_POSTGRES) on PostgreSQL."""

import contextlib
import json
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg

from app.migrate import migrate_all
from app.settings import Settings

ROOT = Path(__file__).parent.parent
PENGUINS = ROOT / "examples" / "penguins.csv"
POSTGRES = os.environ.get("TEST_POSTGRES")
READY_WITHIN_S = 60


def free_port() -> int:
    """Give a port that nobody listens on: of those that the system gives to nobody by itself before it is used."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def fresh_database() -> Iterator[str | None]:
    """Give the address of an empty PostgreSQL database, or None for SQLite."""
    if POSTGRES is None:
        yield None
        return
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield POSTGRES.rsplit("/", 1)[0] + f"/{name}"
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class Service:
    """Processes on one data folder. Every one of them can be killed."""

    def __init__(self, data_dir: Path, database_url: str | None, **settings: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DESCENT_")},
            "DESCENT_DATA_DIR": str(data_dir),
            "OPENBLAS_NUM_THREADS": "1",
            **({"DESCENT_DATABASE_URL": database_url} if database_url else {}),
            **{f"DESCENT_{name.upper()}": value for name, value in settings.items()},
        }
        self.log = data_dir / "log.txt"
        self.api: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=90)
        self._migrate()

    def _migrate(self) -> None:
        """In this process: to start `python -m app.migrate` takes as long as a small test."""
        migrate_all(Settings(data_dir=self.data_dir, database_url=self.environment.get("DESCENT_DATABASE_URL")))

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def start_api(self) -> None:
        self.launch_api()
        self._until(lambda: self.http.get("/healthz").status_code == 200)

    def launch_api(self) -> subprocess.Popen[bytes]:
        """Start the API, and do not wait until it answers."""
        options = ("--port", str(self.port), "--timeout-graceful-shutdown", "5", "--timeout-keep-alive", "75")
        self.api = self._run("uvicorn", "app.main:app", "--http", "app.api.connection:Connection", *options)
        return self.api

    def start_worker(self) -> subprocess.Popen[bytes]:
        worker = self._run("app.worker")
        self.workers.append(worker)
        return worker

    def start(self, workers: int = 1) -> "Service":
        self.start_api()
        for _ in range(workers):
            self.start_worker()
        self._until(lambda: self.http.get("/readyz").json()["workers"] >= workers)
        return self

    def kill_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill -9 the worker's process alone; what it started has to notice by itself."""
        worker.kill()
        worker.wait()
        self.workers.remove(worker)

    def children(self, worker: subprocess.Popen[bytes]) -> list[int]:
        """Give the processes that any thread of the worker has started."""
        threads = Path(f"/proc/{worker.pid}/task").glob("*/children")
        return [int(pid) for thread in threads for pid in thread.read_text().split()]

    def close(self) -> None:
        self.http.close()
        processes = [*self.workers, *([self.api] if self.api else [])]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    @staticmethod
    def _until(condition: Any) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if condition():
                    return
            assert time.monotonic() < deadline, "the service did not get ready"
            time.sleep(0.05)

    # What a client does.

    def upload(self, content: bytes, name: str = "table.csv") -> dict[str, Any]:
        answer = self.http.post("/v1/datasets", params={"name": name}, content=content)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def submit(self, **job: Any) -> dict[str, Any]:
        answer = self.http.post("/v1/jobs", json=job)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, job_id: str, wait_s: float = 0) -> dict[str, Any]:
        return dict(self.http.get(f"/v1/jobs/{job_id}", params={"wait_s": wait_s}).json())

    def wait(self, job_id: str, within_s: float = 110) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while True:
            job = self.job(job_id, wait_s=min(30, within_s))
            if job["status"] in {"succeeded", "failed", "cancelled"}:
                return job
            assert time.monotonic() < deadline, job

    def wait_for_epoch(self, job_id: str, epoch: int, within_s: float = 110) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while True:
            job = self.job(job_id)
            if job["progress"]["epoch"] >= epoch or job["status"] in {"succeeded", "failed", "cancelled"}:
                return job
            assert time.monotonic() < deadline, job
            time.sleep(0.01)

    def lasting(self, seconds: float, **job: Any) -> dict[str, Any]:
        """Give the job with as many epochs as take about so long on this machine, even if it has nothing else to do.

        What is done to such a job while it runs is done in time, however fast the machine is. It is stored often, too,
        so that what is waited for is seen soon.
        """
        training = {**job["training"], "checkpoint_every_s": 0.25}
        trial = {**job, "training": {**training, "epochs": 10_000_000, "max_seconds": 0.5}}
        took_s: list[float] = []
        while len(took_s) < 20:  # of the first few, some may have waited for the compiler
            done = self.wait(self.submit(**trial)["id"])
            assert done["stopped_because"] == "max_seconds", done
            took_s = sorted([*took_s, *(row["duration_s"] for row in self.history(done["id"]))])
            assert self.http.delete(f"/v1/jobs/{done['id']}").status_code == 204
        quick_s = took_s[len(took_s) // 10]  # the others had to wait for a processor
        return {**job, "training": {**training, "epochs": math.ceil(seconds / quick_s)}}

    def history(self, job_id: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = self.http.get(f"/v1/jobs/{job_id}/epochs", params={"after": after, "limit": 10_000}).json()
            rows += page["items"]
            after = page["next_after"]
        return rows

    def weights(self, model_id: str, format: str = "npz") -> bytes:
        answer = self.http.get(f"/v1/models/{model_id}/weights", params={"format": format})
        assert answer.status_code == 200, answer.text
        return answer.content


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check the form of a problem body, and give it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = dict(answer.json())
    assert set(body) == {"type", "title", "status", "detail", "code", "errors"}
    assert (body["status"], body["code"]) == (status, code), body
    assert all(set(error) == {"pointer", "message", "code", "allowed"} for error in body["errors"])
    return body


def pointers(body: dict[str, Any]) -> set[str]:
    return {error["pointer"] for error in body["errors"]}


def events(stream: httpx.Response) -> Iterator[tuple[str, str, Any]]:
    """Give event, id and data of each server-sent event."""
    event = event_id = data = ""
    for line in stream.iter_lines():
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
        elif not line and event:
            yield event, event_id, json.loads(data)
            event = event_id = data = ""
