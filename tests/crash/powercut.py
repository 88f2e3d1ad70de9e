"""Power cuts: what the service wrote is recorded, and for many moments a disk is made that has lost what was not synced.

`python -m tests.crash.powercut --count 500 --seed 1`. Each disk is looked through, and the real training process goes on with it.
"""

import argparse
import bisect
import contextlib
import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.crash.disk import STRACE, Disk, read_log
from tests.crash.injected import SAME, CannotTrace, Nursery
from tests.crash.nursery import ANSWERS, TICKETS
from tests.service import PENGUINS, ROOT, Service

JOBS, CLIENTS = 4, 2
JOB: dict[str, Any] = {
    "target": "species",
    "network": {"hidden_layers": [12], "activation": "tanh"},
    "training": {"epochs": 400, "batch_size": 24, "checkpoint_every_s": 0.1},
}


@dataclass(frozen=True)
class Acknowledged:
    """What a client was told at that time: a dataset or a job of this id is stored, or a job has `succeeded`."""

    at: float
    what: str
    id: str


class Traced(Service):
    """A service whose processes are recorded, call by call."""

    def _migrate(self) -> None:
        self._run("app.migrate").wait()

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        logs = self.data_dir.with_name("calls")
        logs.mkdir(exist_ok=True)
        command = [*STRACE, "-o", str(logs / arguments[0]), sys.executable, "-m", *arguments]
        with self.data_dir.with_name("log.txt").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)


class Recording:
    """A service at work: the folder before, every call that changed it, and what clients were told.

    Args:
        folder: Where all this is kept.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("strace") is None:
            raise CannotTrace("strace is not installed; these tests need it (apt-get install strace)")
        self.root = folder / "data"
        self.root.mkdir()
        self.before = folder / "before"
        self.before.mkdir()
        self.told: list[Acknowledged] = []
        service = Traced(self.root, None, worker_slots="1")
        try:
            service.start()
            self._use(service)
        finally:
            service.close()
        logs = folder / "calls"
        _until_still(logs)
        self.calls = list(read_log(logs.iterdir(), self.root))
        if not self.calls:
            raise CannotTrace("strace recorded nothing (is ptrace forbidden in this container?)")
        self.told.sort(key=lambda one: one.at)
        self.outcomes = {one.id: outcome(self.root, one.id) for one in self.told if one.what == "job"}
        self.tables = {path.name: _sha256s(path, "table.arrow") for path in self.root.glob("blobs/datasets/*")}

    def disk(self, ignores: Callable[[str], bool] = lambda _: False) -> Disk:
        """Give the disk as it was before."""
        return Disk(self.root, self.before, ignores)

    def _use(self, service: Service) -> None:
        def work(number: int) -> None:
            with httpx.Client(base_url=service.http.base_url, timeout=90) as http:
                content = PENGUINS.read_bytes().rstrip() + b"\n" * (number + 1)
                dataset = (
                    http.post("/v1/datasets", params={"name": "a.csv"}, content=content).raise_for_status().json()["id"]
                )
                self._told("dataset", dataset)
                jobs = []
                for seed in range(JOBS // CLIENTS):
                    job = {**JOB, "dataset_id": dataset, "training": {**JOB["training"], "seed": 10 * number + seed}}
                    jobs.append(http.post("/v1/jobs", json=job).raise_for_status().json()["id"])
                    self._told("job", jobs[-1])
                for job_id in jobs:
                    while (status := http.get(f"/v1/jobs/{job_id}?wait_s=30").json()["status"]) != "succeeded":
                        assert status in {"queued", "running"}, status
                    self._told("succeeded", job_id)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _told(self, what: str, id: str) -> None:
        self.told.append(Acknowledged(time.time(), what, id))


def _until_still(logs: Path) -> None:
    """Wait until strace, which ends a little after what it traces, has written all."""
    sizes, before = {}, None
    while sizes != before:
        before = sizes
        time.sleep(0.5)
        sizes = {path: path.stat().st_size for path in logs.iterdir()}


def outcome(root: Path, job_id: str) -> tuple[Any, ...]:
    """Give the hash of the job's weights, and its history."""
    with contextlib.closing(sqlite3.connect(root / "descent.db")) as connection:
        status, error = connection.execute("SELECT status, error FROM jobs WHERE id = ?", [job_id]).fetchone()
        assert (status, error) == ("succeeded", None), (job_id, status, error)
        query = f"SELECT {SAME} FROM epochs WHERE job_id = ? ORDER BY epoch"
        history = connection.execute(query, [job_id]).fetchall()
        (sha256,) = connection.execute("SELECT sha256 FROM models WHERE job_id = ?", [job_id]).fetchone()
    assert [row[0] for row in history] == list(range(1, JOB["training"]["epochs"] + 1))
    return sha256, history


def check_model(recording: Recording) -> None:
    """See that the calls, all done, make the folder as it is: else cuts of it would mean nothing."""
    disk = recording.disk()
    for _ in disk.replay(recording.calls):
        pass
    for path in recording.root.rglob("*"):
        if path.is_file() and not path.name.endswith("-shm"):
            assert disk.names[str(path)].now() == path.read_bytes(), path


def moments(recording: Recording, count: int, chance: random.Random) -> list[int]:
    """Choose after how many changes the power is cut: half of them just after a client was told something."""
    times = list(recording.disk().replay(recording.calls))
    told = [bisect.bisect_right(times, one.at) for one in recording.told]
    chosen = {min(moment, len(times) - 1) for moment in chance.sample(told, min(len(told), count // 2))}
    others = [moment for moment in range(len(times)) if moment not in chosen]
    return sorted(chosen | set(chance.sample(others, count - len(chosen))))


def violations(
    recording: Recording,
    count: int,
    seed: int,
    *,
    resumed: int = 0,
    ignores: Callable[[str], bool] = lambda _: False,
) -> list[str]:
    """Cut the power `count` times; give what is wrong afterwards.

    Every other cut loses all that was not synced, the others a part of it.

    Args:
        resumed: After so many cuts, every job is trained to its end, too.
        ignores: Syncs that are left out.
    """
    chance = random.Random(seed)
    chosen = moments(recording, count, chance)
    to_resume = set(chance.sample(chosen, resumed))
    disk = recording.disk(ignores)
    wrong = []
    with contextlib.ExitStack() as stack:
        nursery = stack.enter_context(Nursery()) if resumed else None
        for number, at in enumerate(disk.replay(recording.calls)):
            if number not in chosen:
                continue
            with tempfile.TemporaryDirectory(dir=recording.root.parent) as name:
                folder = Path(name)
                disk.build(folder, None if chosen.index(number) % 2 else chance)
                try:
                    lacks = list(_lacks(recording, folder, [one for one in recording.told if one.at < at]))
                    if nursery is not None and number in to_resume and not lacks:
                        _resume(recording, folder, nursery)
                except (AssertionError, sqlite3.Error, OSError) as error:
                    lacks = [f"{type(error).__name__}: {error}"]
                if lacks:
                    wrong.append(f"after {number} changes: {'; '.join(lacks)}")
    return wrong


def _lacks(recording: Recording, folder: Path, told: list[Acknowledged]) -> Iterator[str]:
    """See that the database is sound, that all that clients were told is there, and that every file named is whole."""
    with contextlib.closing(sqlite3.connect(folder / "descent.db")) as connection:
        (intact,) = connection.execute("PRAGMA integrity_check").fetchone()
        assert intact == "ok", intact
        if told == [] and not _is_set_up(connection):
            return
        statuses = dict(connection.execute("SELECT id, status FROM jobs"))
        datasets = dict(connection.execute("SELECT id, sha256 FROM datasets"))
        models = connection.execute("SELECT id, versions FROM models").fetchall()
        queued = {row[0] for row in connection.execute("SELECT workflow_uuid FROM workflow_status")}
    for one in told:
        if one.id not in (datasets if one.what == "dataset" else statuses):
            yield f"the {one.what} {one.id} is lost"
        elif one.what != "dataset" and one.id not in queued:
            yield f"nobody will run {one.id}"
        elif one.what == "succeeded" and statuses[one.id] != "succeeded":
            yield f"the end of {one.id} is lost"
    for dataset_id, sha256 in datasets.items():
        if _sha256s(folder / "blobs/content", sha256) != {sha256}:
            yield f"the bytes of {dataset_id} are not whole"
        if _sha256s(folder / "blobs/datasets" / dataset_id, "table.arrow") != recording.tables[dataset_id]:
            yield f"the table of {dataset_id} is not whole"
    for model_id, versions in models:
        named = {version["sha256"] for version in json.loads(versions).values()}
        if not named <= _sha256s(folder / "blobs/models" / model_id, "*"):
            yield f"the weights of {model_id} are not whole"


def _resume(recording: Recording, folder: Path, nursery: Nursery) -> None:
    """Train every job that is there to its end, as a worker would after the power is back."""
    for name in (TICKETS, ANSWERS):
        os.mkfifo(folder / name)
    with contextlib.closing(sqlite3.connect(folder / "descent.db")) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM jobs")] if _is_set_up(connection) else []
    for job_id in ids:
        assert nursery.train(folder, job_id) == "done"
        assert outcome(folder, job_id) == recording.outcomes[job_id], f"{job_id} came out otherwise"


def _is_set_up(connection: sqlite3.Connection) -> bool:
    """Tell whether the migration had been done; until then nobody can have been told anything."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    return names >= {"jobs", "models", "initial_weights", "workflow_status"}


def _sha256s(folder: Path, pattern: str) -> set[str]:
    """Give the hashes of the files that are there."""
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob(pattern)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="power cuts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which moments, and what is lost")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = Recording(Path(folder))
        check_model(recording)
        wrong = violations(recording, given.count, given.seed, resumed=given.count // 5)
    for one in wrong:
        sys.stderr.write(f"{one}\n")
    sys.stdout.write(f"seed {given.seed}: {given.count} power cuts, {len(wrong)} violations\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
