"""The training processes of a worker, started before they are needed."""

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

from app.queue.runner import HandBack
from app.worker.memory import kills
from app.worker.parts import NEEDS_THREADS, Outcome

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

# What OpenBLAS ends the process with when it gets no memory for its buffers.
ENDED_BY_OPENBLAS = 1

log = logging.getLogger(__name__)


class ChildDied(Exception):
    """The process ended in the middle of a run.

    Args:
        exit_code: How; the number of a signal is negative.
        for_memory: Whether it got no memory, as far as that can be known.
    """

    def __init__(self, exit_code: int, *, for_memory: bool) -> None:
        by_signal = -exit_code in set(signal.Signals)
        how = f"killed by {signal.Signals(-exit_code).name}" if by_signal else f"exit code {exit_code}"
        super().__init__(f"its process ended ({how})")
        self.for_memory = for_memory


class Child:
    """One training process.

    Args:
        threads: Threads of its matrix products.
    """

    def __init__(self, threads: int = 1) -> None:
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "POLARS_MAX_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.worker.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._kills = kills()

    def wait_ready(self) -> None:
        """Wait until it has loaded all that it needs."""
        self._read()

    def train(self, ticket: str) -> str:
        """Have a job trained; give what the process says of it.

        Raises:
            ChildDied: The process ended before it said anything.
        """
        self._kills = kills()
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(ticket + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ChildDied(self._process.wait(), for_memory=False) from None
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            killed = code == -signal.SIGKILL and kills() > self._kills
            raise ChildDied(code, for_memory=killed or code == ENDED_BY_OPENBLAS)
        return line.strip()

    def stop(self) -> None:
        """Ask it to write its checkpoint and hand the job back."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """End it, at once if it will not."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Children:
    """As many training processes as a worker has slots.

    Args:
        slots: How many.
        on_death: Told the ticket of a job whose process died, and how, before the job is tried again.
    """

    def __init__(self, slots: int, on_death: Callable[[str, ChildDied], None]) -> None:
        self._on_death = on_death
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._all: set[Child] = set()
        self._lock = threading.Lock()
        self._stopping = False
        for _ in range(slots):
            self._idle.put(self._start())

    def wait_ready(self) -> None:
        """Wait until all have loaded what they need."""
        for child in list(self._all):
            child.wait_ready()

    def train(self, ticket: str) -> None:
        """Have a job trained in an idle process, in another one if that dies.

        Raises:
            HandBack: The worker stops; the job goes on elsewhere.
        """
        child = self._idle.get()
        try:
            while True:
                try:
                    outcome = self._train_in(child, ticket)
                    break
                except ChildDied as death:
                    log.warning("job %s: %s", ticket, death)
                    child = self._replace(child)
                    self._on_death(ticket, death)
        finally:
            self._idle.put(child)
        if outcome == Outcome.HANDED_BACK:
            raise HandBack

    def _train_in(self, child: Child, ticket: str) -> str:
        if self._stopping:
            raise HandBack
        answer = child.train(ticket)
        if not answer.startswith(NEEDS_THREADS):
            return answer
        special = self._start(threads=int(answer.removeprefix(NEEDS_THREADS)))
        try:
            special.wait_ready()
            if self._stopping:
                raise HandBack
            return special.train(ticket)
        finally:
            self._forget(special)

    def stop(self) -> None:
        """Ask every process to hand its job back."""
        with self._lock:
            self._stopping = True
            for child in self._all:
                child.stop()

    def end(self) -> None:
        """End every process."""
        for child in list(self._all):
            self._forget(child)

    def _start(self, threads: int = 1) -> Child:
        child = Child(threads)
        with self._lock:
            self._all.add(child)
        return child

    def _replace(self, child: Child) -> Child:
        self._forget(child)
        fresh = self._start()
        if not self._stopping:
            fresh.wait_ready()
        return fresh

    def _forget(self, child: Child) -> None:
        with self._lock:
            self._all.discard(child)
        child.end()
