"""What a run works with, and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from app.store.blobs import Blobs
from app.store.session import Database


class Outcome(StrEnum):
    """How a run ended, for the worker."""

    DONE = "done"
    HANDED_BACK = "handed_back"


@dataclass(frozen=True)
class Parts:
    """What a run works with.

    Args:
        attempts: Runs without progress after which a job is given up.
        stopping: Whether the worker is to end.
    """

    database: Database
    blobs: Blobs
    attempts: int
    stopping: Callable[[], bool]
