"""Child processes that apply models to tables, so that the API process neither loads polars nor multiplies matrices for long."""

import threading
import time
from typing import Any

from app.child_process import ChildProcess
from app.errors import DescentError, Fault, InvalidRequest, Unavailable
from app.evaluation.subject import AT

WAIT_S = 10.0
MAX_WAITING = 8


class Processes:
    """As many processes as there are slots, started when they are first needed. Safe to use from any thread.

    Args:
        slots: Requests that are worked on at once; `MAX_WAITING` more wait for up to `WAIT_S`, others are told to come again.
        timeout_s: Longest time until an answer, or until the next piece of one.
        memory_bytes: Private memory that a request may take.
    """

    def __init__(self, *, slots: int, timeout_s: float, memory_bytes: int | None = None) -> None:
        self._timeout_s, self._memory_bytes = timeout_s, memory_bytes
        self._free = threading.Semaphore(slots)
        self._lock = threading.Lock()
        self._idle: list[ChildProcess] = []
        self._all: set[ChildProcess] = set()
        self._waiting = 0
        self._closed = False

    def answer(self, verb: str, *arguments: Any, **options: Any) -> Any:
        """Give what a verb of `child` gives.

        Raises:
            Unavailable: All slots are taken.
            DescentError: As the verb raises it, or because it took too long or too much memory.
        """
        work = self.begin(verb, *arguments, **options)
        try:
            while work.piece() is not None:
                pass
            return work.result
        finally:
            work.close()

    def begin(self, verb: str, *arguments: Any, **options: Any) -> "Work":
        """Start a verb whose answer comes in pieces. The caller closes what is given."""
        self._take_slot()
        try:
            return Work(self, self._hand_over((verb, arguments, options)), self._timeout_s)
        except BaseException:
            self._free.release()
            raise

    def close(self) -> None:
        """End every process. What is running ends with an error."""
        with self._lock:
            self._closed = True
            for child in self._all:
                child.kill()
            idle, self._idle = self._idle, []
        for child in idle:
            self.forget(child)

    @property
    def pids(self) -> list[int]:
        """The process ids."""
        with self._lock:
            return [child.pid for child in self._all]

    @property
    def is_closed(self) -> bool:
        """Whether the service is stopping."""
        return self._closed

    def give_back(self, child: ChildProcess) -> None:
        """Keep a process that is ready for the next request."""
        with self._lock:
            is_kept = not self._closed
            if is_kept:
                self._idle.append(child)
        if not is_kept:
            self.forget(child)

    def forget(self, child: ChildProcess) -> None:
        """End a process."""
        with self._lock:
            self._all.discard(child)
        child.end()

    def release(self) -> None:
        """Free a slot."""
        self._free.release()

    def _take_slot(self) -> None:
        with self._lock:
            if self._closed:
                raise Unavailable("The service is stopping.")
            full = self._waiting >= MAX_WAITING
            self._waiting += not full
        if full:
            raise Unavailable("All processes that apply models to datasets are taken.")
        try:
            if not self._free.acquire(timeout=WAIT_S):
                raise Unavailable("All processes that apply models to datasets are taken.")
        finally:
            with self._lock:
                self._waiting -= 1

    def _hand_over(self, request: tuple[Any, ...]) -> ChildProcess:
        """Send the request to a process; one that had ended before it began with it is replaced, once."""
        for is_last in (False, True):
            child = self._child()
            try:
                child.ask(request, time.monotonic() + self._timeout_s)
            except (EOFError, OSError):
                self.forget(child)
                if is_last or self._closed:
                    raise Unavailable("A process that applies models to datasets could not be started.") from None
            except BaseException:
                self.forget(child)
                raise
            else:
                return child
        raise AssertionError("unreachable")

    def _child(self) -> ChildProcess:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        child = ChildProcess("app.evaluation.child", self._memory_bytes, one_thread=True)
        with self._lock:
            self._all.add(child)
        if self._closed:
            child.kill()
        return child


class Work:
    """A request that a process works on. One thread at a time."""

    def __init__(self, owner: Processes, child: ChildProcess, timeout_s: float) -> None:
        self._owner, self._child, self._timeout_s = owner, child, timeout_s
        self._is_done = self._is_closed = False
        self.result: Any = None

    def piece(self) -> bytes | None:
        """Give the next piece of the answer, None after the last.

        Raises:
            DescentError: As the verb raises it, or because it took too long or too much memory.
        """
        if self._is_done:
            return None
        match self._receive():
            case ("piece", piece):
                return bytes(piece)
            case ("done", result):
                self._is_done, self.result = True, result
                return None
            case ("refused", DescentError() as error):
                self._is_done = True
                raise error
            case (_, text):
                self._is_done = True
                raise RuntimeError(f"a process that applies models failed:\n{text}")

    def close(self) -> None:
        """Free the slot. A process that has not finished is ended: nobody waits for it."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._is_done:
                self._owner.give_back(self._child)
            else:
                self._owner.forget(self._child)
        finally:
            self._owner.release()

    def _receive(self) -> tuple[str, Any]:
        try:
            answer: tuple[str, Any] = self._child.receive(time.monotonic() + self._timeout_s)
            return answer
        except TimeoutError:
            message, code = "it took longer than this installation allows", "too_slow"
        except (EOFError, OSError):
            if self._owner.is_closed:
                raise Unavailable("The service is stopping.") from None
            message, code = "the process ended, most likely for lack of memory", "out_of_memory"
        raise InvalidRequest(f"The dataset could not be worked through: {message}.", [Fault(AT, message, code)])
