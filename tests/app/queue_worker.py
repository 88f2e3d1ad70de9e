"""A worker for the tests of the queue, in a process of its own: `queue_worker.py URL DATA_DIR SLOTS [MOST_PER_OWNER]`.

What it does with a job is in the job's name. Each start is a line in `DATA_DIR/starts`: job, process id, time.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from app.queue.runner import HandBack, Runner
from app.store.session import Database

url, data_dir, slots = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
most_per_owner = int(sys.argv[4]) if len(sys.argv) > 4 else None
terminated = threading.Event()


def handle(job_id: str) -> None:
    note("starts", job_id)
    if "kill" in job_id:
        os.kill(os.getpid(), signal.SIGKILL)
    if "raise" in job_id:
        raise RuntimeError("a bug")
    if "long" in job_id:
        while not (data_dir / "go").exists():
            if terminated.wait(0.01):
                raise HandBack
    note("ends", job_id)


def note(file: str, job_id: str) -> None:
    with (data_dir / file).open("a") as notes:
        notes.write(f"{job_id} {os.getpid()} {time.time()}\n")


signal.signal(signal.SIGTERM, lambda *_: terminated.set())
database = Database(url)
runner = Runner(
    database,
    data_dir,
    handle,
    slots=slots,
    most_per_owner=most_per_owner,
    attempts=3,
    give_up=lambda job_id: note("given_up", job_id),
)
runner.start()
note("up", "worker")
terminated.wait()
runner.stop_pulling()
if (data_dir / "linger").exists():
    time.sleep(1)
runner.stop(5)
database.dispose()
