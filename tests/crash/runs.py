"""Runs of jobs, each in a process of its own that can be killed or stopped; `python -m tests.crash.runs` starts them.

The process that a worker trains in takes a second or more to load. This one has loaded it all, forks for each run, and
calls what the worker's process calls: a run begins within milliseconds, so that thousands of them can be killed.
"""

import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.settings import settings
from app.store.blobs_by_url import open_blobs
from app.store.session import Database
from app.worker.parts import Parts
from app.worker.run import run
from app.worker.warm import warm_all
from tests.service import ROOT, Service

# A run that is killed before its first record is lost; here that is meant, and no reason to give the job up.
ATTEMPTS = 10**6
REFUSED = "another run has it"
LOG, OUTCOME = "log", "outcome"
SIGNALS = signal.Signals


class Run:
    """A run in its process, and its own folder: process ids are given again before a long torture ends."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid = pid
        self._log, self._outcome = folder / LOG, folder / OUTCOME
        self._process: int | None = None
        with suppress(ProcessLookupError):  # it has ended already
            self._process = os.pidfd_open(pid)

    def ended(self, within_s: float = 0) -> bool:
        """Wait so long for its end; tell whether it came."""
        if self._process is not None and select.select([self._process], [], [], within_s)[0]:
            os.close(self._process)
            self._process = None
        return self._process is None

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, number)

    def kill(self) -> bool:
        """Kill it; tell whether it was cut off."""
        self.send(signal.SIGKILL)
        assert self.ended(30)
        return not self._outcome.exists()

    @property
    def outcome(self) -> str | None:
        return self._outcome.read_text() if self._outcome.exists() else None

    @property
    def was_refused(self) -> bool:
        """Whether a write of its was refused, since another run had the job."""
        return REFUSED in self._log.read_text()


class Runs:
    """Starts runs of the jobs of a service, which has no worker of its own."""

    def __init__(self, service: Service, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._started: list[Run] = []
        self._lock = threading.Lock()
        with service.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.runs", str(folder)],
                cwd=ROOT,
                env=service.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def start(self, job_id: str) -> Run:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            own = self._folder / str(len(self._started))
            own.mkdir()
            self._process.stdin.write(f"{own.name} {job_id}\n")
            self._process.stdin.flush()
            started = Run(int(self._process.stdout.readline()), own)
            self._started.append(started)
        return started

    def finish(self, job_id: str, within_s: float = 120) -> None:
        """Run a job to its end."""
        assert self.start(job_id).ended(within_s), f"{job_id} does not end"

    def close(self) -> None:
        for one in self._started:
            one.send(signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)


@contextmanager
def runs_of(service: Service, folder: Path) -> Iterator[Runs]:
    runs = Runs(service, folder)
    try:
        yield runs
    finally:
        runs.close()


def main() -> None:
    """Fork a run for each line, which names its folder and its job; say its process id."""
    folder = Path(sys.argv[1])
    warm_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that end
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            name, job_id = line.split()
            _run(job_id, folder / name)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _run(job_id: str, folder: Path) -> None:
    code = 70
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in (0, 1):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        logging.basicConfig(filename=folder / LOG, level=logging.INFO)
        configured = settings()
        parts = Parts(Database(configured.database), open_blobs(configured), ATTEMPTS, stopping=lambda: False)
        outcome = run(parts, job_id)
        (folder / OUTCOME).write_text(outcome)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
