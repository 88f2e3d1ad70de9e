"""A run that is stopped (SIGSTOP) while another one takes its job, and then woken: what it still writes is refused."""

import random
import time
from pathlib import Path

from sqlalchemy import select

from app.store.session import Database
from app.store.tables import CheckpointRow, EpochRow, JobRow, KeptCheckpointRow, ModelRow
from tests.crash.runs import SIGNALS, Run, Runs
from tests.crash.tally import Tally
from tests.crash.trainings import Trainings, differences
from tests.service import Service

FAULT = "stopped runs woken after their job was taken"
TAKEN_WITHIN_S = 4.0
STOPPED_AFTER_S = 0.8


def stop_runs(service: Service, runs: Runs, trainings: Trainings, database: Database, seed: int, count: int) -> Tally:
    """Stop runs, have others take their jobs, wake them: before or after the other has ended, or with that one stopped, too.

    A run that was stopped with the database's lock in its hand keeps everybody from taking its job: it is woken, and does
    not count. The others then take the job in any order.
    """
    draw = random.Random(seed)
    tally = Tally()
    while tally.faults[FAULT] < count:
        name = draw.choice(trainings.names)
        job_id = trainings.submit(name)["id"]
        stopped: list[Run] = []
        waiting: list[Run] = []
        for attempt in range(1, draw.choice((2, 2, 3))):
            run = runs.start(job_id)
            if _is_taken(database, job_id, attempt, within_s=30):
                time.sleep(draw.uniform(0, STOPPED_AFTER_S))
                run.send(SIGNALS.SIGSTOP)
                stopped.append(run)
            else:
                waiting.append(run)
        last = runs.start(job_id)
        taken = _is_taken(database, job_id, len(stopped) + 1, within_s=TAKEN_WITHIN_S) and not waiting
        if taken and draw.random() < 1 / 2:
            tally.check(last.ended(120), f"{job_id}: the run that took it did not end")
        before = _all_of(database, service.data_dir, job_id) if last.ended() else None
        for run in stopped:
            run.send(SIGNALS.SIGCONT)
        for run in [*stopped, *waiting, last]:
            tally.check(run.ended(120), f"{job_id}: a run did not end after it was woken")
        if taken:
            tally.faults[FAULT] += len(stopped)
            for run in stopped:
                tally.check(
                    run.was_refused and run.outcome == "done", f"{job_id}: a run was not refused: {run.outcome}"
                )
            tally.check(not last.was_refused, f"{job_id}: the run that had the job was refused")
            tally.check(
                before in (None, _all_of(database, service.data_dir, job_id)), f"{job_id} was changed after its end"
            )
        tally.violations += differences(service, service.job(job_id), trainings.expected[name])
    return tally


def _is_taken(database: Database, job_id: str, attempt: int, *, within_s: float) -> bool:
    """Wait until so many runs have taken the job; False if it ended before, or could not be taken."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with database.reading() as session:
            found, status = session.execute(select(JobRow.attempt, JobRow.status).where(JobRow.id == job_id)).one()
        if found >= attempt:
            return True
        if status in {"succeeded", "failed", "cancelled"}:
            return False
        time.sleep(0.005)
    return False


def _all_of(database: Database, data_dir: Path, job_id: str) -> object:
    """Give all that is stored of a job: rows, and the files of its model with their times."""
    model_id = "model_" + job_id.removeprefix("job_")
    stored: list[object] = []
    with database.reading() as session:
        for table, key in (
            (JobRow, JobRow.id == job_id),
            (EpochRow, EpochRow.job_id == job_id),
            (CheckpointRow, CheckpointRow.job_id == job_id),
            (KeptCheckpointRow, KeptCheckpointRow.job_id == job_id),
            (ModelRow, ModelRow.job_id == job_id),
        ):
            stored.append(sorted(map(repr, session.execute(select(*table.__table__.columns).where(key)).all())))
    files = sorted((data_dir / "blobs" / "models" / model_id).iterdir())
    return stored, [(file.name, file.stat().st_mtime_ns, file.read_bytes()) for file in files]
