"""Random `kill -9` of runs, many at once: while they start, train, record and publish."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.crash.runs import Runs
from tests.crash.tally import Tally
from tests.crash.trainings import Trainings, differences
from tests.service import Service

FAULT = "kills of a run"
# A run records for the first time after 0.25 s; a third of the kills come before that, in the midst of its start.
EARLY_S, LATE_S = 0.12, 1.0


def undisturbed(service: Service, runs: Runs, names: set[str]) -> Trainings:
    def finish(ids: list[str]) -> list[dict[str, Any]]:
        for job_id in ids:
            runs.finish(job_id)
        return [service.job(job_id) for job_id in ids]

    return Trainings(service, finish, names)


def kill_runs(service: Service, runs: Runs, trainings: Trainings, seed: int, count: int, *, at_once: int = 3) -> Tally:
    """Kill runs of jobs until `count` were cut off, then let all jobs end and hold them against the undisturbed ones."""
    draw = random.Random(seed)
    total = Tally()
    with ThreadPoolExecutor(at_once) as pool:
        while (left := count - total.faults[FAULT]) > 0:
            # Each job takes part in the kills that are left, with an odd number of them so that their phases differ.
            share = -(-left // at_once)
            plans = [
                (draw.choice(trainings.names), draw.random(), min(share, draw.randint(5, 25))) for _ in range(at_once)
            ]
            tallies = pool.map(lambda plan: _kill_one(service, runs, trainings, *plan), plans)
            total = sum(tallies, total)
    return total


def _kill_one(service: Service, runs: Runs, trainings: Trainings, name: str, seed: float, most: int) -> Tally:
    """Kill the runs of one job up to so often; kills that came after its end do not count."""
    draw = random.Random(seed)
    tally = Tally()
    job_id = trainings.submit(name)["id"]
    while tally.faults[FAULT] < most:
        run = runs.start(job_id)
        time.sleep(draw.uniform(0, EARLY_S) if draw.random() < 1 / 3 else draw.uniform(EARLY_S, LATE_S))
        if run.kill():
            tally.faults[FAULT] += 1
        else:
            break
    else:
        runs.finish(job_id)
    tally.violations += differences(service, service.job(job_id), trainings.expected[name])
    models = service.http.get("/v1/models", params={"limit": 100}).json()["items"]
    tally.check([one["job_id"] for one in models].count(job_id) == 1, f"{job_id} has not one model")
    return tally
