"""Transactions that write, on SQLite: one at a time."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.store import session as sessions
from app.store.session import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'descent.db'}")
    with database.transaction() as session:
        session.execute(text("CREATE TABLE counters (n INTEGER)"))
        session.execute(text("INSERT INTO counters VALUES (0)"))
    yield database
    database.dispose()


def test_no_addition_of_many_threads_is_lost(database: Database) -> None:
    def add() -> None:
        for _ in range(20):
            with database.transaction() as session:
                (n,) = session.execute(text("SELECT n FROM counters")).one()
                session.execute(text("UPDATE counters SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.execute(text("SELECT n FROM counters")).scalar() == 160


def test_who_waits_too_long_is_told_that_the_database_is_locked_and_can_go_on_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BUSY_TIMEOUT_S", 0.2)
    with database.transaction() as writer:
        writer.execute(text("UPDATE counters SET n = 1"))
        began_at = time.monotonic()
        with pytest.raises(OperationalError, match="locked"), database.transaction() as other:
            other.execute(text("UPDATE counters SET n = 2"))
        assert time.monotonic() - began_at >= 0.2
    with database.transaction() as other:
        other.execute(text("UPDATE counters SET n = n + 1"))
        assert other.execute(text("SELECT n FROM counters")).scalar() == 2
