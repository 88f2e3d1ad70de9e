"""When a look into the queue is worthwhile. On SQLite it can be told for next to nothing, and so be asked often."""

import time
from collections.abc import Callable

from app.store.session import Database
from app.store.version import FileVersion

# Whatever was overlooked: a look that found the database locked, for one, took nothing and leaves no trace.
LOOK_ANYWAY_S = 0.5
OFTENER = 2


class Lookout:
    """Tells one thread, the one that looks into the queue, when to look.

    A look costs a millisecond and finds what the last one found, as long as nothing was committed to the database and this
    worker runs the same jobs. PostgreSQL does not say whether anything was committed; there every look counts.

    Args:
        database: Where the queue is.
        active: Gives the jobs that this worker runs.
        slots: How many it may run.
    """

    def __init__(self, database: Database, active: Callable[[], frozenset[str]], slots: int) -> None:
        self._version = FileVersion(database) if database.is_sqlite else None
        self._active = active
        self._slots = slots
        self._seen: tuple[int, frozenset[str]] | None = None
        self._look_at = 0.0

    def interval_s(self, looks_s: float) -> float:
        """How often to ask, where a look is to be had every `looks_s`."""
        return looks_s if self._version is None else looks_s / OFTENER

    def is_worthwhile(self) -> bool:
        """Tell whether a look could find a job to take that the last one did not take."""
        active = self._active()
        if len(active) >= self._slots:
            return False
        version = None if self._version is None else self._version.read()
        if version is None:
            return True
        now = time.monotonic()
        # What is committed after this moment changes the number for the next time, whether the look sees it or not.
        if (version, active) == self._seen and now < self._look_at:
            return False
        self._seen, self._look_at = (version, active), now + LOOK_ANYWAY_S
        return True

    def close(self) -> None:
        """Let go of the database."""
        if self._version is not None:
            self._version.close()
