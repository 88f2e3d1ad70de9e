"""A worker: `python -m app.worker`. It takes queued jobs, one in each slot, until it is told to end."""

import gc
import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime

from app.child_process import await_end_of_stdin
from app.queue.runner import Runner
from app.queue.tickets import read
from app.settings import settings
from app.store import jobs as store
from app.store.blobs_by_url import open_blobs
from app.store.faults import DATABASE_DOWN, WrongStore
from app.store.identity import claim_at_start
from app.store.session import Database
from app.worker import health
from app.worker.children import ChildDied, Children
from app.worker.endings import OUT_OF_MEMORY, fail

STOP_WITHIN_S = 8.0
# The queue counts every start; a job that makes progress between two crashes may be started many times.
STARTS = 10_000

log = logging.getLogger("app.worker")


def main() -> None:
    """Work until SIGTERM or SIGINT; then write checkpoints, hand back what is running, and end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    configured = settings()
    database = Database(configured.database)
    try:
        claim_at_start(database, open_blobs(configured))
    except WrongStore as error:
        log.critical("%s", error)
        sys.exit(1)
    told_to_end = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda _signal, _frame: told_to_end.set())
    if "--end-with-stdin" in sys.argv:
        threading.Thread(target=_await_end_of_stdin, args=(told_to_end,), daemon=True).start()

    def give_up(ticket: str) -> None:
        end(ticket, "worker_lost", "The job was started too often.")

    def end(ticket: str, code: str, message: str) -> None:
        job_id, hand_over = read(ticket)
        with database.transaction() as session:
            row = store.claim(session, job_id, datetime.now(UTC), hand_over=hand_over)
            if row is not None:
                fail(session, row, code, message)

    def on_death(ticket: str, death: ChildDied) -> None:
        try:
            if death.for_memory:
                end(ticket, "out_of_memory", OUT_OF_MEMORY)
                return
            with database.transaction() as session:
                store.note_loss(session, read(ticket)[0], str(death))
        except DATABASE_DOWN:
            log.warning("job %s: its loss could not be written down", ticket)

    children = Children(configured.worker_slots, on_death)
    runner = Runner(
        database,
        configured.data_dir.resolve(),
        children.train,
        slots=configured.worker_slots,
        most_per_owner=configured.jobs_per_owner,
        poll_interval_s=configured.poll_interval_s,
        attempts=STARTS,
        give_up=give_up,
        show_sign=health.shower(sys.argv),
    )
    children.wait_ready()
    runner.start()
    gc.freeze()  # what is here now stays: it need not be looked through again for every few jobs
    log.info("worker ready, %d slots", configured.worker_slots)
    told_to_end.wait()
    log.info("worker ends; %d jobs are handed back", len(runner.running))
    runner.stop_pulling()
    children.stop()
    runner.stop(STOP_WITHIN_S)
    children.end()
    database.dispose()
    if runner.running:
        # A run that would not stop; its thread must not keep the process, and with it the sign of life.
        os._exit(1)


def _await_end_of_stdin(ended: threading.Event) -> None:
    await_end_of_stdin()
    ended.set()


if __name__ == "__main__":
    main()
