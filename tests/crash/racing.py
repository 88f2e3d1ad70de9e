"""Workers that race for one job; `python -m tests.crash.racing URL` is one of them.

Each takes the job at the same moment, and then does with it what a run does, until it is refused or at the end.
"""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from app.contract.jobs import Status
from app.errors import IllegalTransition
from app.store import jobs as store
from app.store.ids import new_id
from app.store.session import Database
from app.store.tables import EpochRow, JobRow
from tests.crash.tally import Tally
from tests.service import ROOT

FAULT = "races for a job"
RECORDS = 3
START_IN_S = 0.004
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def race(database: Database, environment: dict[str, str], count: int, *, racers: int = 2) -> Tally:
    """Have so many workers race, and look after each race at who wrote what."""
    tally = Tally()
    command = [sys.executable, "-m", "tests.crash.racing", database.url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)) for _ in range(racers)
        ]
        for one in processes:
            one.stdout.readline()
        for _ in range(count):
            with database.transaction() as session:
                row = _row()
                store.add(session, row)
            start = json.dumps({"job_id": row.id, "at": time.monotonic() + START_IN_S})
            for one in processes:
                one.stdin.write(start + "\n")
                one.stdin.flush()
            told = [json.loads(one.stdout.readline()) for one in processes]
            tally.faults[FAULT] += 1
            tally.violations += [f"{row.id}: {what}; {told}" for what in _broken(database, row.id, told)]
        for one in processes:
            one.stdin.close()
    return tally


def _row() -> JobRow:
    of_nothing = {"request": {}, "resolved": {}, "preprocessing": {}, "tags": {}}
    counts = {"run": 0, "attempt": 0, "lost_runs": 0, "epoch": 0, "epochs": RECORDS}
    names = {"owner": "ann", "name": "raced for", "dataset_id": "ds_1"}
    return JobRow(id=new_id("job"), status=Status.QUEUED, created_at=NOW, **names, **of_nothing, **counts)


def _broken(database: Database, job_id: str, told: list[dict[str, Any]]) -> list[str]:
    with database.reading() as session:
        row = session.get_one(JobRow, job_id)
        writers = session.execute(
            select(EpochRow.epoch, EpochRow.learning_rate).where(EpochRow.job_id == job_id).order_by(EpochRow.epoch)
        ).all()
    tokens = [one["token"] for one in told if one["token"] is not None]
    promises = {
        "a worker failed": all(one["fault"] is None for one in told),
        "two have one token": len(set(tokens)) == len(tokens),
        "the job's token is not the last that was given": row.run == row.attempt == max(tokens),
        "not one of them ended it": [one["token"] for one in told if one["ended"]] == [row.run],
        "the history has a gap": [epoch for epoch, _ in writers] == list(range(1, RECORDS + 1)),
        "an older token wrote after a newer one": [token for _, token in writers]
        == sorted(token for _, token in writers),
        "what they say they wrote is not what is there": sorted(
            (epoch, float(one["token"])) for one in told for epoch in one["wrote"]
        )
        == [(epoch, token) for epoch, token in writers],
    }
    return [what for what, holds in promises.items() if not holds]


def main() -> None:
    """Take the job of each line at its moment, and say what came of it."""
    database = Database(sys.argv[1])
    with database.reading() as session:
        session.connection()
    _say("ready")
    for line in sys.stdin:
        start = json.loads(line)
        while time.monotonic() < start["at"]:
            pass
        told: dict[str, Any] = {"token": None, "wrote": [], "ended": False, "fault": None}
        try:
            _work(database, start["job_id"], told)
        except (store.RunLost, IllegalTransition):
            pass
        except Exception as error:
            told["fault"] = repr(error)
        _say(json.dumps(told))


def _work(database: Database, job_id: str, told: dict[str, Any]) -> None:
    with database.transaction() as session:
        row = store.claim(session, job_id, NOW)
    if row is None:
        return
    told["token"] = row.run
    with database.reading() as session:
        saved = store.checkpoint(session, job_id)
    for epoch in range(1 if saved is None else saved.epoch + 1, RECORDS + 1):
        losses: dict[str, Any] = {"train_loss": 0.5, "validation_loss": None, "metrics": {}, "gradient_norm": 1.0}
        values = {"epoch": epoch, **losses, "learning_rate": float(row.run), "duration_s": 0.1, "at": NOW}
        with database.transaction() as session:
            store.record(session, row, [values], {"epoch": epoch, "state": b"state", "at": NOW}, epoch=epoch)
        told["wrote"].append(epoch)
    with database.transaction() as session:
        store.hold(session, row)
        store.advance(session, row, Status.SUCCEEDED, finished_at=NOW)
    told["ended"] = True


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
