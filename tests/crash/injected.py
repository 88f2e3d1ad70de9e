"""Every system call of a recording training process that writes: killed at it, or told EIO or ENOSPC by the kernel.

`python -m tests.crash.injected --count 60`; without a count, every call of the job. strace answers in the kernel's place.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tests.crash.nursery import ANSWERS, TICKETS
from tests.service import PENGUINS, ROOT, Service

CALLS = (
    "pwrite64", "write", "fsync", "fdatasync", "ftruncate", "openat", "mkdir", "rename", "link", "unlink", "unlinkat",
    "rmdir",
)  # fmt: skip
# What strace does to the n-th call, and whether the trouble lasts until it is taken away.
FAULTS = {"KILL": "signal=SIGKILL:when={n}", "EIO": "error=EIO:when={n}", "ENOSPC": "error=ENOSPC:when={n}+"}
LASTS_S = 0.7
ANSWER_WITHIN_S = 60
# SQLite writes its log back into the database at 1,000 pages: the job is to come by there.
LOG_PAGES = 975
JOB: dict[str, Any] = {
    "target": "species",
    "network": {"hidden_layers": [8], "activation": "tanh"},
    "training": {
        "epochs": 160,
        "batch_size": 24,
        "seed": 11,
        "checkpoint_every_s": 0.1,
        "keep_checkpoints": {"every_epochs": 50, "most": 2},
        "early_stopping": {"patience": 160},
    },
}
SAME = "epoch, train_loss, validation_loss, metrics, learning_rate, gradient_norm"


class CannotTrace(Exception):
    """strace is missing, or may not trace; then nothing can be said of what these tests are about."""


@dataclass(frozen=True)
class Point:
    """A fault at the n-th call of that name."""

    call: str
    fault: str
    n: int


@dataclass(frozen=True)
class Found:
    """What came of a fault: whether it happened, and what is wrong afterwards."""

    point: Point
    happened: bool
    wrong: str | None


class Tried:
    """A job that waits in the queue of a stored folder, of which each fault gets a copy."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("strace") is None:
            raise CannotTrace("strace is not installed; these tests need it (apt-get install strace)")
        self.folder = folder / "before"
        self.folder.mkdir()
        self._copies = folder / "copies"
        self._copies.mkdir()
        service = Service(self.folder, None)
        try:
            service.start_api()
            dataset = service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
            self.job_id = str(service.submit(dataset_id=dataset, **JOB)["id"])
        finally:
            service.close()
        self._fill_log()
        with self.copy() as copy, Nursery() as nursery:
            self.calls = nursery.trace(copy, self.job_id, [])
            self.expected = self.outcome(copy)

    def _fill_log(self) -> None:
        """Leave the write-ahead log as a killed process leaves it, near the length at which it is written back."""
        other = self.folder.with_name("filled")
        with contextlib.closing(sqlite3.connect(self.folder / "descent.db", isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            while (self.folder / "descent.db-wal").stat().st_size < LOG_PAGES * 4120:
                connection.execute("UPDATE jobs SET name = name || '.'")
            connection.execute("UPDATE jobs SET name = ''")
            shutil.copytree(self.folder, other, ignore=shutil.ignore_patterns("*-shm"))
        self.folder = other

    @contextlib.contextmanager
    def copy(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=self._copies))
        try:
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
            for name in (TICKETS, ANSWERS):
                os.mkfifo(folder / name)
            yield folder
        finally:
            shutil.rmtree(folder)

    def points(self) -> list[Point]:
        """Every fault at every call that the undisturbed job made."""
        return [Point(call, fault, n) for call, ns in self.calls.items() for n in ns for fault in FAULTS]

    def outcome(self, folder: Path) -> tuple[str, list[Any]]:
        """Give the hash of the weights, and the history; raise an AssertionError for what is broken."""
        with contextlib.closing(sqlite3.connect(folder / "descent.db")) as connection:
            (intact,) = connection.execute("PRAGMA integrity_check").fetchone()
            assert intact == "ok", intact
            status, error, model_id = connection.execute("SELECT status, error, model_id FROM jobs").fetchone()
            assert (status, error) == ("succeeded", None), f"{status} {error}"
            history = connection.execute(f"SELECT {SAME} FROM epochs ORDER BY epoch").fetchall()
            models = connection.execute("SELECT id, versions FROM models").fetchall()
            (content,) = connection.execute("SELECT sha256 FROM datasets").fetchone()
        assert [row[0] for row in history] == list(range(1, JOB["training"]["epochs"] + 1)), (
            "gap or double in the history"
        )
        assert [model[0] for model in models] == [model_id]
        blobs = folder / "blobs"
        assert _sha256(blobs / "content" / content) == content, "the dataset is not whole"
        versions = json.loads(models[0][1])
        names = {_sha256(path) for path in (blobs / "models" / model_id).iterdir()}
        assert names == {version["sha256"] for version in versions.values()}, "the weights are not whole"
        return json.dumps({which: version["sha256"] for which, version in versions.items()}), history


class Nursery:
    """Starts training processes, one at a time."""

    def __enter__(self) -> "Nursery":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DESCENT_")}
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            cwd=ROOT,
            env={**environment, **threads},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._says("ready")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def trace(
        self, folder: Path, job_id: str, injection: list[str], *, lasts_s: float | None = None
    ) -> dict[str, list[int]]:
        """Have the job trained under strace, and again without if its process dies; give the numbers of its calls.

        Args:
            injection: What strace is to do to it.
            lasts_s: When to stop doing it; None: never.
        """
        log = folder / "strace.log"
        with self._child(folder) as (pid, tickets, answers):
            tracer = _attach(pid, log, injection)
            detach = threading.Timer(lasts_s or ANSWER_WITHIN_S, tracer.send_signal, (signal.SIGINT,))
            detach.start()
            tickets.write(f"{job_id}\n")
            tickets.flush()
            answer = answers.readline().strip()
            detach.cancel()
            if tracer.poll() is None:
                tracer.send_signal(signal.SIGINT)
            tracer.communicate()
        for _ in range(2):
            answer = answer or self.train(folder, job_id)
        assert answer == "done", f"the training process says {answer!r}"
        return numbered(log.read_text().splitlines())

    def train(self, folder: Path, job_id: str) -> str:
        """Have the job trained; give what the process said, or nothing if it died."""
        with self._child(folder) as (_, tickets, answers):
            tickets.write(f"{job_id}\n")
            tickets.flush()
            return str(answers.readline().strip())

    @contextlib.contextmanager
    def _child(self, folder: Path) -> Iterator[tuple[int, Any, Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        try:
            with (folder / TICKETS).open("w") as tickets, (folder / ANSWERS).open() as answers:
                assert answers.readline() == "ready\n"
                killer = threading.Timer(ANSWER_WITHIN_S, os.kill, (pid, signal.SIGKILL))
                killer.start()
                try:
                    yield pid, tickets, answers
                finally:
                    killer.cancel()
        finally:
            self._says("ended")

    def _says(self, word: str) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said == word, said


def _attach(pid: int, log: Path, injection: list[str]) -> subprocess.Popen[str]:
    """Trace the main thread, which is the one that trains and records."""
    command = ["strace", "-p", str(pid), "-o", str(log), "-e", f"trace={','.join(CALLS)}", *injection]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        tracer.kill()
        tracer.communicate()
        raise CannotTrace(f"strace may not trace here (is ptrace forbidden in this container?): {said.strip()}")
    return tracer


def numbered(lines: Iterable[str]) -> dict[str, list[int]]:
    """Give for each call which of them, counted from 1, are of interest: of `openat`, those that make a file."""
    seen: Counter[str] = Counter()
    numbers: dict[str, list[int]] = {}
    for line in lines:
        called = re.match(r"(\w+)\(", line)
        if called is None:
            continue
        call = called[1]
        seen[call] += 1
        if call != "openat" or "O_CREAT" in line:
            numbers.setdefault(call, []).append(seen[call])
    return numbers


def strike(tried: Tried, nursery: Nursery, point: Point) -> Found:
    """Train a copy with this one fault, and compare what came out."""
    injection = ["-e", f"inject={point.call}:{FAULTS[point.fault].format(n=point.n)}"]
    with tried.copy() as folder:
        wrong = None
        try:
            nursery.trace(folder, tried.job_id, injection, lasts_s=LASTS_S if point.fault == "ENOSPC" else None)
            if tried.outcome(folder) != tried.expected:
                wrong = "other weights or another history"
        except (AssertionError, sqlite3.Error, OSError) as error:
            wrong = f"{type(error).__name__}: {error}"
        log = (folder / "strace.log").read_text()
        return Found(point, "INJECTED" in log or "killed by SIGKILL" in log, wrong)


def strike_all(tried: Tried, points: Iterable[Point], processes: int = 2) -> Iterator[Found]:
    """Try each of the points, some at a time."""
    waiting = iter(points)
    lock = threading.Lock()

    def work(found: list[Found]) -> list[Found]:
        with Nursery() as nursery:
            while True:
                with lock:
                    point = next(waiting, None)
                if point is None:
                    return found
                found.append(strike(tried, nursery, point))
                if found[-1].wrong:
                    sys.stderr.write(f"{found[-1]}\n")

    with ThreadPoolExecutor(processes) as pool:
        for found in pool.map(work, [[] for _ in range(processes)]):
            yield from found


def sample(points: list[Point], count: int, seed: int) -> list[Point]:
    """Take points of every call and fault in turn, so that the rare calls are all among them."""
    chance = random.Random(seed)
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in chance.sample(points, len(points)):
        groups.setdefault((point.call, point.fault), []).append(point)
    turns = zip_longest(*groups.values())
    return [point for turn in turns for point in turn if point is not None][:count]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, help="so many faults (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="which of them")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tried = Tried(Path(folder))
        points = tried.points()
        calls = ", ".join(f"{len(ns)} {call}" for call, ns in tried.calls.items())
        sys.stderr.write(f"the job makes {calls}: {len(points)} faults\n")
        found = list(strike_all(tried, sample(points, given.count or len(points), given.seed)))
    happened = sum(one.happened for one in found)
    wrong = [one for one in found if one.wrong]
    sys.stdout.write(f"seed {given.seed}: {happened} faults of {len(found)} happened, {len(wrong)} violations\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
