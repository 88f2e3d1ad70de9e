"""However many jobs are stored, a page is found by an index that has its rows in order: nothing is scanned, nothing sorted."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.contract.jobs import JobKind, Status
from app.store import jobs
from app.store.schema import migrate
from app.store.session import Database

LISTS: list[dict[str, Any]] = [
    {"status": status, "tag": tag, "cursor": cursor}
    for status in (None, Status.FAILED)
    for tag in (None, ("team", "blue"))
    for cursor in (None, "job_x")
]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'plans.db'}")
    migrate(made)
    return made


def plans(database: Database, ask: Any) -> list[str]:
    """Give the steps by which SQLite answers what `ask` asks."""
    asked: list[Any] = []
    event.listen(database.engine, "before_cursor_execute", lambda _c, _cursor, *statement: asked.append(statement[:2]))
    with database.reading() as session:
        ask(session)
        explained = [
            session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
            for text, values in list(asked)
            if text.startswith("SELECT")
        ]
    database.dispose()
    assert explained
    return [str(step[-1]) for steps in explained for step in steps]


@pytest.mark.parametrize("given", LISTS)
@pytest.mark.parametrize("kind", list(JobKind))
def test_a_page_of_jobs_reads_an_index_in_order(database: Database, kind: JobKind, given: dict[str, Any]) -> None:
    steps = plans(database, lambda session: jobs.newest(session, "me", kind=kind, limit=50, **given))
    assert all(step.startswith("SEARCH") for step in steps), steps
    narrow = "job_tags" if given["tag"] else "status=?" if given["status"] else "kind=?"
    assert narrow in steps[0], steps


def test_a_page_of_a_history_reads_its_own_rows_in_order(database: Database) -> None:
    steps = plans(database, lambda session: jobs.epochs(session, "job_x", after=5, limit=100))
    assert steps == ["SEARCH epochs USING PRIMARY KEY (job_id=? AND epoch>?)"]
