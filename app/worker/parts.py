"""What a run works with, and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from app.store.blobs import Blobs
from app.store.session import Database

NEEDS_THREADS = "needs_threads"
"""What a training process answers, with the number, where it could not take a job for `NeedsThreads`."""


class Outcome(StrEnum):
    """How a run ended, for the worker."""

    DONE = "done"
    HANDED_BACK = "handed_back"


class NeedsThreads(Exception):
    """The job is not for this process, and was not taken: it is to be trained with another number of threads.

    Args:
        threads: That number.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(f"the job needs {threads} threads")
        self.threads = threads


@dataclass(frozen=True)
class Parts:
    """What a run works with.

    Args:
        attempts: Runs without progress after which a job is given up.
        stopping: Whether the worker is to end.
        threads: Threads of this process's matrix products; None: whatever a job asks for.
    """

    database: Database
    blobs: Blobs
    attempts: int
    stopping: Callable[[], bool]
    threads: int | None = None
