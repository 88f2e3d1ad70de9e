"""The process that trains. It takes hand-overs of jobs, one a line, and answers how each run ended.

Only this process calls the matrix routines, from one thread, and their number of threads was set in the environment before
NumPy was loaded: bits depend on it. When its worker dies it dies, too.
"""

import logging
import os
import queue
import signal
import sys
import threading
from types import FrameType

from app.queue.tickets import read
from app.settings import settings
from app.store.blobs_by_url import open_blobs
from app.store.session import Database
from app.worker.parts import NEEDS_THREADS, NeedsThreads, Parts
from app.worker.run import run
from app.worker.warm import warm_all

# A training takes every core for as long as it lasts, and whoever asks the API how it goes waits for a moment of one.
NICER = 5
# Not 1: that is how the matrix library ends a process that gets no memory.
FAULT = 70

log = logging.getLogger("app.worker.child")


def main() -> None:
    """Train jobs until the worker closes the pipe, or says stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    stopping = threading.Event()
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal; the worker decides
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    os.nice(NICER)
    configured = settings()
    database = Database(configured.database)
    parts = Parts(
        database=database,
        blobs=open_blobs(configured, database),
        attempts=configured.attempts,
        stopping=stopping.is_set,
        threads=int(os.environ["OPENBLAS_NUM_THREADS"]),
    )
    threading.Thread(target=warm_all, daemon=True).start()  # a job that needs them meanwhile waits for the rest only
    _answer("ready")
    while True:
        job_id, hand_over = read(lines.get())
        try:
            answer: str = run(parts, job_id, hand_over)
        except NeedsThreads as needs:
            answer = f"{NEEDS_THREADS} {needs.threads}"
        _answer(answer)


def _read(lines: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line.strip())
    os._exit(0)  # the worker is gone


def _answer(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except Exception:
        log.exception("the training process ends")
        os._exit(FAULT)
