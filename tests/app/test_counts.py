"""How many jobs there are, by status."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from app.contract.jobs import TERMINAL, Status
from app.store import counts, jobs
from app.store.ids import new_id
from app.store.schema import _config, migrate
from app.store.session import Database, Session
from app.store.tables import JobRow
from tests.service import fresh_database

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database() as url:
        database = Database(url or f"sqlite:///{tmp_path / 'descent.db'}")
        migrate(database)
        yield database
        database.dispose()


def add(database: Database) -> str:
    with database.transaction() as session:
        row = JobRow(
            id=new_id("job"),
            owner="ann",
            name="a job",
            tags={},
            status=Status.QUEUED,
            dataset_id="ds_1",
            request={},
            resolved={},
            preprocessing={},
            epochs=10,
            created_at=NOW,
        )
        jobs.add(session, row)
        return row.id


def count(database: Database) -> tuple[dict[str, int], dict[str, int]]:
    with database.reading() as session:
        return counts.not_ended(session), counts.ended(session)


def move(session: Session, job_id: str, to: Status) -> None:
    row = jobs.find(session, "ann", job_id)
    assert row is not None
    jobs.advance(session, row, to)


def test_counts_are_those_of_the_jobs_after_any_steps_and_whenever_they_are_added_up(database: Database) -> None:
    generator = random.Random(5)
    status = dict.fromkeys((add(database) for _ in range(40)), Status.QUEUED)
    for _ in range(300):
        job_id = generator.choice(list(status))
        steps = [to for to in Status if status[job_id] in jobs.FROM[to]]
        with database.transaction() as session:
            if steps:
                status[job_id] = generator.choice(steps)
                move(session, job_id, status[job_id])
            if generator.random() < 0.05:
                counts.add_up(session)
    expected = Counter(status.values())
    not_ended, ended = count(database)
    assert not_ended == {one: expected[one] for one in Status if one not in TERMINAL}
    assert ended == {one: expected[one] for one in TERMINAL}
    assert sum(ended.values()) > 10


def test_a_step_that_is_taken_back_is_not_counted(database: Database) -> None:
    job_id = add(database)

    def fail_after_the_step() -> None:
        with database.transaction() as session:
            move(session, job_id, Status.CANCELLED)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_the_step()
    not_ended, ended = count(database)
    assert (not_ended["queued"], ended["cancelled"]) == (1, 0)


def test_jobs_that_had_ended_before_the_upgrade_are_counted(database: Database) -> None:
    for status in (Status.FAILED, Status.CANCELLED, Status.CANCELLED):
        job_id = add(database)
        with database.transaction() as session:
            move(session, job_id, status)
    add(database)
    with database.engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0009")
        connection.commit()
    migrate(database)
    not_ended, ended = count(database)
    assert not_ended["queued"] == 1
    assert ended == {"cancelled": 2, "failed": 1, "succeeded": 0}


def test_sqlite_counts_without_reading_the_jobs_that_have_ended(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'descent.db'}")
    migrate(database)
    asked: list[str] = []
    with database.reading() as session:
        session.connection().connection.driver_connection.set_trace_callback(asked.append)
        counts.not_ended(session)
        session.connection().connection.driver_connection.set_trace_callback(None)
        (question,) = (one for one in asked if "GROUP BY" in one)
        plan = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {question}"))]
    assert len(plan) == 1
    assert "ix_jobs_not_ended" in plan[0]
    database.dispose()
