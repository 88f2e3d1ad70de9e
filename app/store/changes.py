"""Tells those who wait (long polls, event streams) that something was committed, by whatever process.

One watcher a process, not one a client. On SQLite it reads `PRAGMA data_version`, which costs 2 µs and changes when another
connection commits; on PostgreSQL it listens for the notification that `announce` sends with each commit.
"""

import asyncio
import logging
import threading
from contextlib import closing
from types import ModuleType

from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from app.store.session import Database
from app.store.version import FileVersion

CHANNEL = "descent"
LOOK_EVERY_S = 0.02
RETRY_AFTER_S = 1.0

log = logging.getLogger(__name__)


def announce(session: Session) -> None:
    """Tell other processes of this transaction when it is committed (SQLite does so by itself)."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {CHANNEL}"))


class _Away(Exception):
    """The database cannot be read now."""


class Changes:
    """A counter that grows with every commit that was noticed.

    Args:
        database: What is watched. The watching thread starts with the first wait.
    """

    def __init__(self, database: Database) -> None:
        self.count = 0
        self._database = database
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    async def wait(self, seen: int, timeout_s: float) -> int:
        """Wait until the counter is past `seen`, or until `timeout_s` is over; give the counter."""
        woken = asyncio.Event()
        entry = (asyncio.get_running_loop(), woken)
        with self._lock:
            self._waiting.add(entry)
            if self.count > seen or self._closed.is_set():
                woken.set()
        self._watch()
        try:
            await asyncio.wait_for(woken.wait(), timeout_s)
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return self.count

    def wake_all(self) -> None:
        """Wake all who wait, for the process is about to end. May be called by a signal handler."""
        self._closed.set()
        self._wanted.set()
        for loop, woken in list(self._waiting):
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

    def close(self) -> None:
        """Stop watching, and wake all who wait."""
        self.wake_all()
        if self._thread is not None:
            self._thread.join()

    @property
    def is_closed(self) -> bool:
        """Whether the process is about to end."""
        return self._closed.is_set()

    def _watch(self) -> None:
        self._wanted.set()
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="changes", daemon=True)
                self._thread.start()

    def _notice(self) -> None:
        with self._lock:
            self.count += 1
            for loop, woken in self._waiting:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(woken.set)

    def _run(self) -> None:
        look = self._look_at_sqlite if self._database.is_sqlite else self._listen_to_postgresql
        while not self._closed.is_set():
            try:
                look()
            except _Away:
                log.warning("the database does not answer; looking again in %s s", RETRY_AFTER_S)
                self._closed.wait(RETRY_AFTER_S)
                self._notice()

    def _look_at_sqlite(self) -> None:
        with closing(FileVersion(self._database)) as file:
            last = None
            while not self._closed.is_set():
                if not self._waiting:
                    self._wanted.clear()
                    self._wanted.wait(RETRY_AFTER_S)
                version = file.read()
                if version is None:
                    raise _Away
                if version != last:
                    last = version
                    self._notice()
                self._closed.wait(LOOK_EVERY_S)

    def _listen_to_postgresql(self) -> None:
        import psycopg  # takes a tenth of a second, which those who have SQLite need not wait for

        try:
            self._listen_by(psycopg)
        except psycopg.Error as error:
            raise _Away from error

    def _listen_by(self, driver: ModuleType) -> None:
        address = make_url(self._database.url).set(drivername="postgresql").render_as_string(hide_password=False)
        with driver.connect(address, autocommit=True, keepalives_idle=5, keepalives_interval=2) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self._notice()
            while not self._closed.is_set():
                for _ in connection.notifies(timeout=RETRY_AFTER_S / 4, stop_after=1):
                    self._notice()
