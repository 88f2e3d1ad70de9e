"""The queue of jobs: hand-over in the caller's transaction, and back to the queue when a run was cut off."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dbos import DBOS, DBOSClient, WorkflowSerializationFormat

from app.queue.tickets import write
from app.store.session import Database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

QUEUE = "jobs"
WORKFLOW = "run_job"
APPLICATION = "descent"
# Pinned: a job that was queued under another version is never started.
VERSION = "1"
# What the engine calls priority 1 goes first, and a job without any before all others.
PRIORITY_0 = 100

# With a handler of its own, the engine adds no console to its logger, and what it says goes the way of every other log.
logging.getLogger("dbos").addHandler(logging.NullHandler())
logging.getLogger("dbos").setLevel(logging.WARNING)


class JobQueue:
    """The queue, on the same database as the jobs themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._client = DBOSClient(
            system_database_engine=database.engine,
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def migrate(self) -> None:
        """Create the engine's own tables, or bring them up to date; may be called by several processes at once."""
        with self._database.reading() as session:
            session.connection()  # sets WAL, which is kept in the file and which the engine does not set
        DBOS.migrate(self._database.url)

    def enqueue(self, session: "Session", job_id: str, owner: str, run: int = 1, priority: int = 0) -> None:
        """Queue a job in the caller's transaction: a rollback queues nothing.

        Args:
            session: The caller's transaction.
            job_id: The worker is given its ticket.
            owner: Owners take turns in the queue.
            run: Which hand-over of this job it is. The same one twice is queued once.
            priority: From -10 to 10; of an owner's jobs, the highest goes first.
        """
        ticket = write(job_id, run)
        self._client.enqueue_in_transaction(
            session,
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": ticket,
                "app_version": VERSION,
                "application_name": APPLICATION,
                "priority": PRIORITY_0 - priority,
                "queue_partition_key": owner,
                "serialization_type": WorkflowSerializationFormat.PORTABLE,
            },
            ticket,
        )

    def started(self) -> Iterator[tuple[str, str]]:
        """Give each hand-over that was started and has not ended, with the executor that started it."""
        for workflow in self._client.list_workflows(status="PENDING", load_input=False, load_output=False):
            if workflow.executor_id is not None:
                yield workflow.workflow_id, workflow.executor_id

    def starts(self, workflow_id: str) -> int:
        """Count how often a hand-over was started, this time included, since it was last given back in good order."""
        (workflow,) = self._client.list_workflows(workflow_ids=[workflow_id], load_input=False, load_output=False)
        return workflow.recovery_attempts or 1

    def give_back(self, workflow_id: str) -> None:
        """Queue a hand-over again whose run was ended in good order; it counts as never started."""
        self._client.resume_workflow(workflow_id, queue_name=QUEUE)

    def take_back(self, workflow_id: str, executor_id: str) -> None:
        """Queue a hand-over again whose run was cut off, unless it is no longer this executor's."""
        self._client._sys_db.reenqueue_for_recovery(workflow_id, [executor_id], QUEUE)
