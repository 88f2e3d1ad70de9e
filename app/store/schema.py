"""The schema, brought up to date by Alembic."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, make_url, text

from app.store.session import Database

ADVISORY_LOCK = 0x6465_7363_656E_74  # "descent"


def migrate(database: Database) -> None:
    """Bring the schema up to date; processes that start together take turns, and a second time changes nothing."""
    with _turn(database), database.engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _turn(database: Database) -> Iterator[None]:
    """Hold the right to change the schema."""
    if database.is_sqlite:
        name = make_url(database.url).database
        with Path(f"{name}.migrating").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with database.engine.connect() as connection:
        _lock(connection, "pg_advisory_lock")
        try:
            yield
        finally:
            _lock(connection, "pg_advisory_unlock")


def _lock(connection: Connection, function: str) -> None:
    connection.execute(text(f"SELECT {function}({ADVISORY_LOCK})"))
    connection.commit()
