"""The worker's side of the queue: starts jobs in its slots, and hands the jobs of dead workers back."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dbos import DBOS, DBOSConfig

from app.queue.jobs import APPLICATION, QUEUE, VERSION, WORKFLOW, JobQueue
from app.queue.life import FileLife, SessionLife
from app.queue.lookout import Lookout
from app.queue.tickets import read
from app.store.session import Database, sync_with_ours, write_in_turn

if TYPE_CHECKING:
    from dbos._sys_db import WorkflowStatusInternal

WATCH_INTERVAL_S = 0.25
# A started job that nobody runs: its handler raised, or the database went away while it was being started.
IDLE_S = 2.0

_log = logging.getLogger(__name__)


class HandBack(BaseException):
    """Raised by the handler when its run was ended in good order, for another worker to go on with.

    Not an `Exception`: the engine records those as the end of the job.
    """


class Runner:
    """Starts queued jobs in this process, one in each slot.

    Args:
        database: Where the queue is.
        data_dir: Folder of the signs of life, beside SQLite.
        handle: Runs the job of this ticket, and returns when the run is over.
        slots: Jobs at once.
        most_per_owner: Jobs of one owner at once, over all workers; None: as many as there are slots.
        poll_interval_s: How often to look for a queued job.
        attempts: Starts that may end with the process killed, or with an exception, before the job is given up.
        give_up: Told the ticket of a job that is given up; without it, the queue merely forgets the job.
        show_sign: Called after each look at the queue that the database answered, a few times a second.
    """

    def __init__(
        self,
        database: Database,
        data_dir: Path,
        handle: Callable[[str], None],
        *,
        slots: int,
        most_per_owner: int | None = None,
        poll_interval_s: float = 0.02,
        attempts: int = 3,
        give_up: Callable[[str], None] = lambda _: None,
        show_sign: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._handle = handle
        self._slots = slots
        self._most_per_owner = most_per_owner
        self._poll_interval_s = poll_interval_s
        self._attempts = attempts
        self._give_up = give_up
        self._show_sign = show_sign
        self._queue = JobQueue(database)
        # New at each start: two processes that shared an id would take each other's jobs.
        self._executor_id = f"{secrets.randbits(31):08x}"
        self._life = (
            FileLife(data_dir, self._executor_id)
            if database.is_sqlite
            else SessionLife(database.url, self._executor_id)
        )
        self._lookout = Lookout(database, self._active, slots)
        self._idle_since: dict[str, float] = {}
        self._starts: dict[str, int] = {}
        self._draining = threading.Event()
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="queue-watcher", daemon=True)

    @property
    def running(self) -> frozenset[str]:
        """The ids of the jobs being handled, or whose end is being recorded."""
        return frozenset(read(workflow_id)[0] for workflow_id in self._active())

    def start(self) -> None:
        """Show the sign of life, and start queued jobs from now on."""
        self._life.renew()
        config = DBOSConfig(
            name=APPLICATION,
            application_version=VERSION,
            executor_id=self._executor_id,
            log_level="WARNING",
            run_migrations=False,
            notification_listener_polling_interval_sec=0.1,  # how long the end of the engine waits for this thread
        )
        if self._database.is_sqlite:
            # Not our own connections: each of their transactions locks the file, and a poll is mostly reading.
            config["system_database_url"] = self._database.url
        else:
            config["system_database_engine"] = self._database.engine
        self._engine = DBOS(config=config)
        # The public queues keep the number of slots in the database, where the last worker's number rules all others.
        self._engine._registry._register_internal_queue(
            QUEUE,
            worker_concurrency=self._slots,
            partition_worker_concurrency=min(self._slots, self._most_per_owner or self._slots),
            partition_concurrency=self._most_per_owner,
            polling_interval_sec=self._lookout.interval_s(self._poll_interval_s),
        )
        # One start more than `attempts` is told to give up; one more than that is for a worker killed while doing so.
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=self._attempts + 1)(self._workflow())
        DBOS.launch()
        self._save_looks()
        self._watcher.start()

    def stop_pulling(self) -> None:
        """Start no job from now on."""
        self._draining.set()
        for event in self._engine.background_thread_stop_events:
            event.set()

    def stop(self, timeout_s: float) -> None:
        """Wait for the running jobs, then end the engine; what is still running is left to whoever sees us gone."""
        self.stop_pulling()
        deadline = time.monotonic() + timeout_s
        while self._active() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._stopped.set()
        self._watcher.join(timeout_s)
        DBOS.destroy(destroy_registry=True)
        self._lookout.close()
        self._life.end()

    def _save_looks(self) -> None:
        """Have the engine ask us before it looks into the queue, wait and sync with us, and not ask what is known."""
        database = self._engine._sys_db
        if self._database.is_sqlite:
            write_in_turn(database.engine)
            sync_with_ours(database.engine)
        scopes_of = database.dequeue_scopes

        def scopes(queue_name: str) -> list[str | None]:
            return scopes_of(queue_name) if queue_name != QUEUE or self._lookout.is_worthwhile() else []

        database.dequeue_scopes = scopes  # type: ignore[method-assign]
        statuses_of = database.get_workflow_statuses

        def statuses(workflow_ids: list[str]) -> list["WorkflowStatusInternal"]:
            """Read what was just taken from the queue; we need to know how often it was started, too."""
            found = statuses_of(workflow_ids)
            self._starts.update({one["workflow_uuid"]: one["recovery_attempts"] or 0 for one in found})
            return found

        database.get_workflow_statuses = statuses  # type: ignore[method-assign]
        # The expression for the time by the database's clock: always the same, and slow to put together.
        now_ms = database._now_ms_sql()
        database._now_ms_sql = lambda: now_ms  # type: ignore[method-assign]
        # Whether jobs of no version are ours: there are none.
        database._is_latest_version = lambda *_: False  # type: ignore[method-assign]

    def _workflow(self) -> Callable[[str], None]:
        def run_job(ticket: str) -> None:
            workflow_id = DBOS.workflow_id
            assert workflow_id is not None
            try:
                self._run(ticket, workflow_id)
            except Exception:
                _log.exception("job %s was not handled", ticket)
                raise HandBack from None  # else the engine takes the exception for the end of the job

        return run_job

    def _run(self, ticket: str, workflow_id: str) -> None:
        try:
            if self._draining.is_set():
                raise HandBack
            if (self._starts.pop(workflow_id, None) or self._queue.starts(workflow_id)) <= self._attempts:
                self._handle(ticket)
            else:
                _log.error("job %s is given up after %d starts", ticket, self._attempts)
                self._give_up(ticket)
        except HandBack:
            self._queue.give_back(workflow_id)
            raise

    def _active(self) -> frozenset[str]:
        return frozenset(self._engine._active_workflows_set.activeList())

    def _watch(self) -> None:
        away = False
        while True:
            try:
                self._sweep()
                self._show_sign()
                away = False
            except Exception:
                # The database is away and will be back; a worker that ended its watch now would not see who dies then.
                if not away:
                    _log.warning("the queue cannot be watched", exc_info=True)
                away = True
            if self._stopped.wait(WATCH_INTERVAL_S):
                return

    def _sweep(self) -> None:
        """Queue again what dead workers left, and what was started here and is not running."""
        self._life.renew()
        left: dict[str, list[str]] = {}
        for workflow_id, executor_id in self._queue.started():
            left.setdefault(executor_id, []).append(workflow_id)
        now = time.monotonic()
        idle = set(left.pop(self._executor_id, ())) - self._active()
        self._idle_since = {workflow_id: self._idle_since.get(workflow_id, now) for workflow_id in idle}
        for workflow_id in idle:
            if now - self._idle_since[workflow_id] > IDLE_S:
                self._queue.take_back(workflow_id, self._executor_id)
        for executor_id, workflow_ids in left.items():
            with self._life.bury(executor_id) as dead:
                if dead:
                    _log.warning("worker %s is dead; its jobs are queued again: %s", executor_id, workflow_ids)
                    for workflow_id in workflow_ids:
                        self._queue.take_back(workflow_id, executor_id)
