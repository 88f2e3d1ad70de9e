"""What the store promises."""

from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import TextClause, create_engine, event, text

from app.contract.jobs import Status
from app.errors import IllegalTransition
from app.store import datasets, jobs
from app.store.blobs import Blobs
from app.store.ids import new_id
from app.store.revision import is_current
from app.store.schema import _config, migrate
from app.store.session import Database, sync_with_ours
from app.store.tables import DatasetRow, JobRow, Row
from app.worker.endings import end_by_name
from app.worker.parts import Parts
from tests.service import fresh_database

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path):
    with fresh_database() as url:
        database = Database(url or f"sqlite:///{tmp_path / 'descent.db'}")
        migrate(database)
        yield database
        database.dispose()


def job_row(status: Status = Status.QUEUED) -> JobRow:
    return JobRow(
        id=new_id("job"),
        owner="ann",
        name="a job",
        tags={"team": "botany"},
        status=status,
        dataset_id="ds_1",
        request={},
        resolved={},
        preprocessing={"fitted": True},
        run=0,
        attempt=0,
        lost_runs=0,
        epoch=0,
        epochs=10,
        created_at=NOW,
    )


def add(database: Database, row: JobRow) -> str:
    with database.transaction() as session:
        jobs.add(session, row)
    return row.id


def epoch(number: int) -> dict:
    losses = {"train_loss": 1 / number, "validation_loss": None, "metrics": {"accuracy": 0.5}}
    return {"epoch": number, **losses, "learning_rate": 0.1, "gradient_norm": 1.0, "duration_s": 0.1, "at": NOW}


def test_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    migrate(database)
    assert is_current(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        ours = [change for change in compare_metadata(context, Row.metadata) if "dbos" not in str(change)]
    assert ours == []


def test_sqlite_syncs_every_commit(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'descent.db'}")
    with database.reading() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(text("PRAGMA synchronous")).scalar() == 2
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
    database.dispose()


def test_the_job_engines_commits_are_synced_with_ours_and_ours_at_once(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'descent.db'}")
    engine = create_engine(database.url)
    with engine.connect() as before, engine.connect():
        assert before.execute(text("PRAGMA synchronous")).scalar() == 2
    sync_with_ours(engine)
    with engine.connect() as known, engine.connect() as also_known, engine.connect() as new, database.reading() as ours:
        assert [one.execute(text("PRAGMA synchronous")).scalar() for one in (known, also_known, new)] == [1, 1, 1]
        assert ours.execute(text("PRAGMA synchronous")).scalar() == 2
    engine.dispose()
    database.dispose()


@pytest.mark.parametrize(("start", "to"), list(product(Status, Status)))
def test_a_job_goes_only_where_the_table_says(database: Database, start: Status, to: Status) -> None:
    job_id = add(database, job_row(start))
    with database.transaction() as session:
        row = jobs.find(session, "ann", job_id)
        assert row is not None
        if start in jobs.FROM[to]:
            jobs.advance(session, row, to)
            assert row.status == to
        else:
            with pytest.raises(IllegalTransition):
                jobs.advance(session, row, to)
            assert row.status == start


def test_terminal_jobs_go_nowhere() -> None:
    assert not any(status.is_terminal for origins in jobs.FROM.values() for status in origins)


def test_a_run_that_lost_its_job_writes_nothing(database: Database) -> None:
    job_id = add(database, job_row())
    with database.transaction() as session:
        stale = jobs.claim(session, job_id, NOW)
    with database.transaction() as session:
        fresh = jobs.claim(session, job_id, NOW)
    assert stale is not None
    assert fresh is not None
    assert (stale.run, fresh.run, fresh.attempt) == (1, 2, 2)
    checkpoint = {"epoch": 1, "state": b"state", "at": NOW}
    with pytest.raises(jobs.RunLost), database.transaction() as session:
        jobs.record(session, stale, [epoch(1)], checkpoint, epoch=1)
    with pytest.raises(jobs.RunLost), database.reading() as session:
        jobs.status_of(session, stale)
    with pytest.raises(IllegalTransition), database.transaction() as session:
        jobs.advance(session, stale, Status.SUCCEEDED)
    with database.transaction() as session:
        jobs.record(session, fresh, [epoch(1), epoch(2)], checkpoint, epoch=2)
    with database.reading() as session:
        assert [row.epoch for row in jobs.epochs(session, job_id, after=0, limit=10)] == [1, 2]
        assert jobs.checkpoint(session, job_id).state == b"state"


def test_the_row_at_hand_is_what_advance_has_written(database: Database) -> None:
    job_id = add(database, job_row(Status.RUNNING))
    error = {"code": "diverged", "message": "It did.", "epoch": 3}
    with database.transaction() as session:
        row = jobs.find(session, "ann", job_id)
        jobs.advance(session, row, Status.FAILED, error=error, finished_at=NOW)
        assert not session.dirty
        here = {column.key: getattr(row, column.key) for column in JobRow.__mapper__.column_attrs}
    with database.reading() as session:
        stored = jobs.find(session, "ann", job_id)
        assert (stored.status, stored.error, stored.finished_at) == (Status.FAILED, error, NOW)
        assert {name: getattr(stored, name) for name in here} == here


def test_what_a_run_executes_is_put_together_once(database: Database) -> None:
    seen: list[object] = []

    def note(_connection: object, statement: object, *_: object) -> None:
        if not isinstance(statement, TextClause):  # PostgreSQL is told of each commit
            seen.append(statement)

    def run() -> list[object]:
        job_id = add(database, job_row())
        with database.transaction() as session:
            event.listen(database.engine, "before_execute", note)
            row = jobs.claim(session, job_id, NOW, hand_over=1)
            jobs.status_of(session, row)
            jobs.checkpoint(session, job_id)
            jobs.initial_weights(session, job_id)
            datasets.sha256_of(session, "ann", "ds_1")
            jobs.record(session, row, [epoch(1)], {"epoch": 1, "state": b"state", "at": NOW}, epoch=1)
            jobs.advance(session, row, Status.SUCCEEDED, finished_at=NOW)
            event.remove(database.engine, "before_execute", note)
        done = [*seen]
        seen.clear()
        return done

    first, second = run(), run()
    assert len(first) >= 11
    assert [id(one) for one in first] == [id(one) for one in second]


def test_a_job_that_ends_by_name_tells_the_epoch_it_had_reached(database: Database, tmp_path: Path) -> None:
    job_id = add(database, job_row())
    with database.transaction() as session:
        run = jobs.claim(session, job_id, NOW)
    with database.transaction() as session:
        jobs.record(session, run, [epoch(1), epoch(2)], {"epoch": 2, "state": b"state", "at": NOW}, epoch=2)
    parts = Parts(database, Blobs(tmp_path / "blobs"), attempts=1, stopping=lambda: False)
    end_by_name(parts, run, "out_of_memory", "There was none.")
    with database.reading() as session:
        row = jobs.find(session, "ann", job_id)
        assert (row.status, row.error["code"], row.error["epoch"]) == (Status.FAILED, "out_of_memory", 2)


def test_a_job_that_has_ended_is_claimed_by_nobody(database: Database) -> None:
    job_id = add(database, job_row(Status.SUCCEEDED))
    with database.transaction() as session:
        assert jobs.claim(session, job_id, NOW) is None
        assert jobs.claim(session, "job_none", NOW) is None
        assert jobs.find(session, "ann", job_id).attempt == 0


def test_epochs_checkpoint_and_job_are_written_together_or_not_at_all(database: Database) -> None:
    job_id = add(database, job_row())
    with database.transaction() as session:
        run = jobs.claim(session, job_id, NOW)

    def interrupted() -> None:
        with database.transaction() as session:
            jobs.record(session, run, [epoch(1)], {"epoch": 1, "state": b"state", "at": NOW}, epoch=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    with database.reading() as session:
        assert jobs.epochs(session, job_id, after=0, limit=10) == []
        assert jobs.checkpoint(session, job_id) is None
        assert jobs.find(session, "ann", job_id).epoch == 0


def test_what_another_owner_has_is_not_there(database: Database) -> None:
    job_id = add(database, job_row())
    with database.reading() as session:
        assert jobs.find(session, "ann", job_id) is not None
        assert jobs.find(session, "bob", job_id) is None
        assert jobs.newest(session, "bob", status=None, tag=None, cursor=None, limit=10).items == []
        assert jobs.newest(session, "bob", status=None, tag=("team", "botany"), cursor=None, limit=10).items == []


def test_a_deleted_job_leaves_no_row(database: Database) -> None:
    job_id = add(database, job_row())
    with database.transaction() as session:
        run = jobs.claim(session, job_id, NOW)
        jobs.record(session, run, [epoch(1)], {"epoch": 1, "state": b"state", "at": NOW}, epoch=1)
    with database.transaction() as session:
        jobs.remove(session, jobs.find(session, "ann", job_id))
    with database.reading() as session:
        for table in ("jobs", "epochs", "checkpoints", "job_tags"):
            assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0


@pytest.mark.parametrize(("n_epochs", "after", "max_points"), [(250, 0, 20), (7, 0, 500), (1000, 400, 2), (3, 0, 3)])
def test_a_thinned_out_history_keeps_its_ends(database: Database, n_epochs: int, after: int, max_points: int) -> None:
    job_id = add(database, job_row())
    with database.transaction() as session:
        run = jobs.claim(session, job_id, NOW)
        rows = [epoch(number) for number in range(1, n_epochs + 1)]
        jobs.record(session, run, rows, {"epoch": n_epochs, "state": b"", "at": NOW}, epoch=n_epochs)
    with database.reading() as session:
        thin = jobs.sampled_epochs(session, job_id, after=after, last=n_epochs, max_points=max_points)
    numbers = [row.epoch for row in thin]
    assert len(numbers) <= max_points
    assert (numbers[0], numbers[-1]) == (after + 1, n_epochs)
    assert numbers == sorted(set(numbers))


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = [new_id("job") for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [one[:14] for one in ids] == sorted(one[:14] for one in ids)


def test_datasets_of_before_are_kept_and_nothing_is_claimed_of_how_they_were_read(database: Database) -> None:
    config = _config()
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
        command.downgrade(config, "-1")
        connection.execute(
            text(
                "INSERT INTO datasets (id, owner, name, format, size_bytes, sha256, n_rows, columns, created_at) "
                """VALUES ('ds_1', 'ann', 'old', 'csv', 8, 'ab', 1, '[{"name"\\:"a"}]', '2026-01-02 03:04:05')"""
            )
        )
        connection.commit()
    migrate(database)
    with database.reading() as session:
        row = session.get_one(DatasetRow, "ds_1")
        assert row.read == dict.fromkeys(["encoding", "separator", "has_header", "compression"])
        assert row.warnings == []
        assert row.columns == [{"name": "a", "date_order": None}]
