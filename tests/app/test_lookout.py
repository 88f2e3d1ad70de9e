"""When a worker looks into the queue."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.queue import lookout
from app.queue.lookout import Lookout
from app.store.session import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'descent.db'}")
    with database.transaction() as session:
        session.execute(text("CREATE TABLE things (n INTEGER)"))
    yield database
    database.dispose()


def commit(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("INSERT INTO things VALUES (1)"))


def test_a_look_is_worthwhile_after_each_commit_and_only_then(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "LOOK_ANYWAY_S", 1000.0)
    one = Lookout(database, frozenset, slots=1)
    assert one.is_worthwhile()
    assert not one.is_worthwhile()
    for _ in range(20):
        commit(database)
        assert one.is_worthwhile()
        assert not one.is_worthwhile()
    one.close()


def test_a_commit_during_a_look_makes_the_next_one_worthwhile(database: Database) -> None:
    one = Lookout(database, frozenset, slots=1)
    assert one.is_worthwhile()
    with database.reading() as session:  # the look, which sees what was there before the commit
        session.execute(text("SELECT count(*) FROM things"))
        commit(database)
    assert one.is_worthwhile()
    one.close()


def test_a_slot_that_becomes_free_after_the_commit_makes_a_look_worthwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "LOOK_ANYWAY_S", 1000.0)
    running = {"job_a", "job_b"}
    one = Lookout(database, lambda: frozenset(running), slots=2)
    commit(database)  # the end of a job is recorded while it still has its slot
    assert not one.is_worthwhile()
    running.remove("job_a")
    assert one.is_worthwhile()
    assert not one.is_worthwhile()
    running.remove("job_b")
    assert one.is_worthwhile()
    one.close()


def test_whatever_was_overlooked_is_found_soon(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Lookout(database, frozenset, slots=1)
    assert one.is_worthwhile()
    assert not one.is_worthwhile()
    later = lookout.time.monotonic() + lookout.LOOK_ANYWAY_S
    monkeypatch.setattr(lookout.time, "monotonic", lambda: later)
    assert one.is_worthwhile()
    one.close()
