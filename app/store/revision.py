"""Which schema a database has. Without Alembic: to import it took a fifth of a training process's start."""

from functools import cache
from pathlib import Path

from sqlalchemy import inspect, text

from app.store.session import Database

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def is_current(database: Database) -> bool:
    """Tell whether the schema is the one that this version needs."""
    with database.engine.execution_options(writes=False).connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [newest()]


@cache
def newest() -> str:
    """Give the revision that this version needs; files are named by theirs."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py"))
