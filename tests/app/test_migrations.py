"""What is stored before an upgrade can be read after it."""

import json
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text

from app.store.revision import is_current, newest
from app.store.schema import _config, migrate
from app.store.session import Database
from tests.service import fresh_database


@pytest.fixture
def database(tmp_path: Path):
    with fresh_database() as url:
        database = Database(url or f"sqlite:///{tmp_path / 'descent.db'}")
        yield database
        database.dispose()


def to_revision(database: Database, revision: str) -> None:
    with database.engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        (command.upgrade if revision == "0002" else command.downgrade)(config, revision)
        connection.commit()


def test_the_newest_revision_is_alembics_head(database: Database) -> None:
    assert newest() == ScriptDirectory.from_config(_config()).get_current_head()
    assert not is_current(database)  # which has no table yet
    to_revision(database, "0002")
    assert not is_current(database)


def test_jobs_and_models_of_before_are_kept_and_drew_their_weights(database: Database) -> None:
    to_revision(database, "0002")
    at = "2026-01-02 03:04:05"
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO jobs (id, owner, name, tags, status, dataset_id, request, resolved, preprocessing, run, attempt, "
                "lost_runs, epoch, epochs, created_at) VALUES ('job_1', 'ann', 'a', '{}', 'succeeded', 'ds_1', '{}', "
                f"""'{{"task": "regression"}}', '{{}}', 1, 1, 0, 2, 2, '{at}')"""
            )
        )
        session.execute(
            text(
                "INSERT INTO models (id, owner, name, task, network, preprocessing, dtype, epoch, metrics, environment, sha256, "
                "size_bytes, created_at) VALUES ('model_1', 'ann', 'a', 'regression', '{}', '{}', 'float32', 2, "
                f"""'{{"epoch": 2}}', '{{}}', 'abc', 3, '{at}')"""
            )
        )
    migrate(database)
    assert is_current(database)
    with database.reading() as session:
        (resolved,) = session.execute(text("SELECT resolved FROM jobs")).one()
        (metrics,) = session.execute(text("SELECT metrics FROM models")).one()
        indexes = {row[0] for row in session.execute(text(INDEXES[database.is_sqlite]))}
    resolved, metrics = (json.loads(one) if isinstance(one, str) else one for one in (resolved, metrics))
    assert resolved["task"] == "regression"
    assert resolved["initial_weights"] is None
    assert metrics == {"epoch": 2}
    assert {"ix_models_owner_id", "ix_models_job_id"} <= indexes


INDEXES = {
    True: "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'models'",
    False: "SELECT indexname FROM pg_indexes WHERE tablename = 'models'",
}


def test_the_way_back_leaves_out_what_had_no_place_before(database: Database) -> None:
    migrate(database)
    with database.transaction() as session:
        for model, metrics in (("model_1", "NULL"), ("model_2", """'{"epoch": 2}'""")):
            session.execute(
                text(
                    "INSERT INTO models (id, owner, name, task, network, preprocessing, dtype, epoch, metrics, environment, "
                    f"sha256, size_bytes, created_at) VALUES ('{model}', 'ann', 'a', 'regression', '{{}}', '{{}}', 'float32', 2, "
                    f"{metrics}, '{{}}', 'abc', 3, '2026-01-02 03:04:05')"
                )
            )
    to_revision(database, "0001")
    with database.reading() as session:
        assert session.scalars(text("SELECT id FROM models")).all() == ["model_2"]
