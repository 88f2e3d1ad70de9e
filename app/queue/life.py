"""Signs of life: a lock that a worker holds as long as its process lives. There is no timeout to tune, and no clock.

Beside SQLite it is a lock on a file, in PostgreSQL one of a session.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from app.store.locks import SessionLocks, held_keys
from app.store.session import Database

# How long a session's lock must be free: a live worker whose connection broke needs time to take it again.
GRACE_S = 3.0


def workers_alive(database: Database, data_dir: Path) -> int:
    """Count the workers that show a sign of life."""
    if not database.is_sqlite:
        with database.reading() as session:
            return len(held_keys(session))
    return sum(_is_locked(path) for path in _folder(data_dir).glob("*.lock"))


class FileLife:
    """The sign of life of a worker beside SQLite.

    Args:
        data_dir: Folder that the workers share.
        executor_id: Name of this start of the process; no other start may have it.
    """

    def __init__(self, data_dir: Path, executor_id: str) -> None:
        self._folder = _folder(data_dir)
        self._executor_id = executor_id
        self._file: TextIO | None = None

    def renew(self) -> None:
        """Show the sign, and sweep up those of dead workers."""
        if self._file is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("*.lock"):
            with self.bury(path.stem):
                pass
        draft = self._folder / f"{self._executor_id}.draft"
        self._file = draft.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        # A forked child would hold the lock beyond our death.
        os.register_at_fork(after_in_child=self._file.close)
        draft.rename(self._path(self._executor_id))  # only now can others see it, and never unlocked

    @contextmanager
    def bury(self, executor_id: str) -> Iterator[bool]:
        """Say whether an executor is dead; if so, no one else is told so during the block."""
        path = self._path(executor_id)
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
            path.unlink(missing_ok=True)

    def end(self) -> None:
        """Take the sign back."""
        if self._file is not None:
            self._path(self._executor_id).unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def _path(self, executor_id: str) -> Path:
        return self._folder / f"{executor_id}.lock"


class SessionLife:
    """The sign of life of a worker in PostgreSQL.

    Args:
        url: Address of the database.
        executor_id: Name of this start of the process, a hexadecimal number below 2**31.
    """

    def __init__(self, url: str, executor_id: str) -> None:
        self._locks = SessionLocks(url, int(executor_id, 16))
        self._held: set[int] = set()
        self._missed_since: dict[str, float] = {}

    def renew(self) -> None:
        """Show the sign, again if the connection was broken."""
        self._held = self._locks.renew()

    @contextmanager
    def bury(self, executor_id: str) -> Iterator[bool]:
        """Say whether an executor is dead; if so, no one else is told so during the block."""
        key = int(executor_id, 16)
        if key in self._held:
            self._missed_since.pop(executor_id, None)
            yield False
            return
        missed_since = self._missed_since.setdefault(executor_id, time.monotonic())
        if time.monotonic() - missed_since < GRACE_S or not self._locks.take(key):
            yield False
            return
        try:
            yield True
            del self._missed_since[executor_id]
        finally:
            self._locks.free(key)

    def end(self) -> None:
        """Take the sign back."""
        self._locks.close()


def _folder(data_dir: Path) -> Path:
    return data_dir / "workers"


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
