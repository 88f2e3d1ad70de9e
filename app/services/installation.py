"""What an installation is made of: the parts that every verb works with."""

from dataclasses import dataclass
from datetime import UTC, datetime

from app.evaluation.processes import Processes
from app.exports.process import Exporter
from app.queue.jobs import JobQueue
from app.settings import Settings
from app.store.blobs import Blobs
from app.store.blobs_by_url import open_blobs
from app.store.changes import Changes
from app.store.session import Database
from app.tables.reader import TableReader


@dataclass(frozen=True)
class Installation:
    """The parts of a running API process.

    Uploads are read in a process of their own, so that a large one does not hold up the jobs that are being submitted.
    """

    settings: Settings
    database: Database
    blobs: Blobs
    queue: JobQueue
    uploads: TableReader
    tables: TableReader
    appliers: Processes
    changes: Changes
    exporter: Exporter

    @classmethod
    def open(cls, settings: Settings) -> "Installation":
        """Open the database and the files, and start the processes that read tables."""
        database = Database(settings.database)

        def reader() -> TableReader:
            return TableReader(timeout_s=settings.read_timeout_s, memory_bytes=settings.reader_memory_bytes)

        return cls(
            settings=settings,
            database=database,
            blobs=open_blobs(settings, database),
            queue=JobQueue(database),
            uploads=reader(),
            tables=reader(),
            appliers=Processes(
                slots=settings.dataset_predictions,
                timeout_s=settings.read_timeout_s,
                memory_bytes=settings.reader_memory_bytes,
            ),
            changes=Changes(database),
            exporter=Exporter(timeout_s=settings.export_timeout_s, memory_bytes=settings.reader_memory_bytes),
        )

    def close(self) -> None:
        """Let go of everything."""
        self.changes.close()
        self.uploads.close()
        self.tables.close()
        self.exporter.close()
        self.appliers.close()
        self.database.dispose()


def now() -> datetime:
    """Give the time, in UTC."""
    return datetime.now(UTC)
