"""Brings the database up to date: `python -m app.migrate`. A second time changes nothing."""

from app.queue.jobs import JobQueue
from app.settings import Settings, settings
from app.store.schema import migrate
from app.store.session import Database


def migrate_all(configured: Settings) -> None:
    """Create or upgrade our tables, and the job engine's."""
    database = Database(configured.database)
    migrate(database)
    JobQueue(database).migrate()
    database.dispose()


def main() -> None:
    """Do so for the installation that the environment describes."""
    migrate_all(settings())


if __name__ == "__main__":
    main()
