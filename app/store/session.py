"""The database: engines, transactions and what SQLite needs to keep its word."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker

__all__ = ["Database", "Session", "sync_with_ours", "write_in_turn"]

BUSY_TIMEOUT_S = 30.0
LOOK_AGAIN_AFTER_S = 0.001


@cache
def engine(url: str) -> Engine:
    """Open the database at `url`, once in a process.

    On SQLite: WAL with `synchronous=FULL` (with NORMAL, commits that were acknowledged are lost in a power cut), and
    transactions begin explicitly, since the driver's own rule starts them at the first write and then deadlocks.
    """
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, pool_size=20, max_overflow=20)
    database = make_url(url).database
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    sqlite = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, pool_size=20, max_overflow=40
    )
    event.listen(sqlite, "connect", _on_connect)
    event.listen(sqlite, "begin", _on_begin)
    return sqlite


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-16000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Any) -> None:
    if connection.get_execution_options().get("writes", True):
        _begin_to_write(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_to_write(connection: Any) -> None:
    """Begin as soon as nobody else writes.

    SQLite's own wait looks again after 1 ms, and soon only every 25 to 100 ms, while a transaction of ours lasts 2 ms: with
    seven processes that write, most of them would be asleep whenever the file is free.
    """
    sqlite = connection.connection.driver_connection
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    sqlite.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < give_up_at:
            try:
                sqlite.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
                time.sleep(LOOK_AGAIN_AFTER_S)
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # has the error made one of SQLAlchemy's
    finally:
        sqlite.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000:.0f}")


def write_in_turn(others: Engine) -> None:
    """Have an engine on SQLite that is not ours, and begins with its first change, wait for the file as ours does."""

    def before(connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
        changes = context is not None and (context.isinsert or context.isupdate or context.isdelete)
        if changes and not connection.connection.driver_connection.in_transaction:
            _begin_to_write(connection)

    event.listen(others, "before_cursor_execute", before)


def sync_with_ours(others: Engine) -> None:
    """Have what an engine on SQLite that is not ours commits reach the disk with our next commit, not by itself.

    The log is written in order: a power cut takes the newest of these commits, and with them nothing of ours. For what can
    be done again only: see docs/decisions/0015.
    """

    def relax(connection: Any, record: Any, _proxy: Any) -> None:
        if not record.info.get("relaxed"):
            connection.execute("PRAGMA synchronous=NORMAL")
            record.info["relaxed"] = True

    event.listen(others, "checkout", relax)


class Database:
    """Transactions on one database.

    Args:
        url: SQLAlchemy's address: `sqlite:///…` or `postgresql://…`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = engine(url)
        self._write = sessionmaker(self.engine, expire_on_commit=False)
        self._read = sessionmaker(self.engine.execution_options(writes=False), expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Give a session that commits at the end of the block, or rolls back if it raises."""
        with self._write.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one state of the database and does not hold up writers."""
        with self._read() as session:
            yield session

    def dispose(self) -> None:
        """Close every connection, as before a fork or at the end of a test."""
        self.engine.dispose()
