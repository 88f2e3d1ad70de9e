"""A process of our own for work that may be large, slow or fatal: the parent's side, and what such a process begins with."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

_START = "import sys; sys.path[:] = {path!r}; from {module} import serve; serve({descriptor}, {memory_bytes})"
# Several threads of matrix products in one process have given wrong numbers.
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1")


class ChildProcess:
    """A process that runs `serve` of a module: it answers each request by `begun`, and then by what comes of it.

    It ends when its standard input closes, and so with this process, however that ends. What is called on one that has ended
    raises EOFError or OSError.

    Args:
        module: Where `serve(descriptor, memory_bytes)` is.
        memory_bytes: Private memory that a request may take; None: as much as there is.
        one_thread: Whether it computes in one thread.
    """

    def __init__(self, module: str, memory_bytes: int | None, *, one_thread: bool = False) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            descriptor = theirs.fileno()
            command = _START.format(path=sys.path, module=module, descriptor=descriptor, memory_bytes=memory_bytes)
            self._process = subprocess.Popen(
                [sys.executable, "-c", command],
                stdin=subprocess.PIPE,
                pass_fds=[descriptor],
                env={**os.environ, **(_ONE_THREAD if one_thread else {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, request: object, deadline: float) -> None:
        """Hand a request over; when this returns, the process has begun with it.

        Raises:
            TimeoutError: It did not begin by `deadline`, in seconds of `time.monotonic`.
        """
        self._pipe.send(request)
        self.receive(deadline)

    def receive(self, deadline: float) -> Any:
        """Await the next thing that it says.

        Raises:
            TimeoutError: It said nothing by `deadline`.
        """
        if not self._pipe.poll(max(deadline - time.monotonic(), 0)):
            raise TimeoutError
        return self._pipe.recv()

    def kill(self) -> None:
        """Have it end; whoever waits for it hears of it."""
        self._process.kill()

    def end(self) -> None:
        """End it at once, and let go of what it held."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._pipe.close()


def live_with_parent() -> None:
    """In the child: leave interrupts to the parent, and end when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def await_end_of_stdin() -> None:
    """Wait for the end of standard input, which nobody writes to: the parent is gone."""
    # Not by `sys.stdin`: a thread that waits in it when the process ends takes it down with a fatal error.
    while os.read(0, 1024):
        pass


def bound_memory(size_bytes: int) -> None:
    """Bound the private memory. RLIMIT_DATA does not count mapped files; with RLIMIT_AS, threads alone take a gigabyte."""
    n_pages = int(Path("/proc/self/statm").read_text().split()[5])
    most = n_pages * resource.getpagesize() + size_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _end_with_parent() -> None:
    await_end_of_stdin()
    os._exit(0)
