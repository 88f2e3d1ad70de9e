"""Break the service at random, as often as you like: `python -m tests.torture --seed 1 --count 2000`, or `make torture`.

It prints how many faults were made and how many promises were found broken, and ends with 1 if any was. With the same seed
the same faults are drawn, but when they hit is up to the machine. TEST_POSTGRES tells where a PostgreSQL is, as in the tests.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.store.session import Database
from tests.crash.racing import race
from tests.crash.run_kills import kill_runs, undisturbed
from tests.crash.runs import runs_of
from tests.crash.service_kills import WORKERS, kill_processes
from tests.crash.stopping import stop_runs
from tests.crash.tally import Tally
from tests.crash.trainings import JOBS, Trainings
from tests.service import Service, fresh_database

ALL = frozenset(JOBS)


@contextmanager
def service_in(folder: Path, workers: int) -> Iterator[tuple[Service, Database]]:
    """Give a service on a database of its own, that gives no job up, however often it is killed."""
    with fresh_database() as url:
        service = Service(folder, url, worker_slots="1", attempts="100000")
        database = Database(url or f"sqlite:///{folder.resolve() / 'descent.db'}")
        try:
            service.start_api()
            for _ in range(workers):
                service.start_worker()
            yield service, database
        finally:
            service.close()
            database.dispose()


def torture_runs(folder: Path, seed: int, *, kills: int, stops: int, races: int, names: frozenset[str] = ALL) -> Tally:
    """Kill runs, stop runs, and have workers race, without the processes that are slow to start."""
    with service_in(folder, workers=0) as (service, database), runs_of(service, folder / "runs") as runs:
        tally = race(database, service.environment, races)
        trainings = undisturbed(service, runs, names)
        tally += kill_runs(service, runs, trainings, seed, kills)
        return tally + stop_runs(service, runs, trainings, database, seed, stops)


def torture_processes(folder: Path, seed: int, *, kills: int, names: frozenset[str] = ALL) -> Tally:
    """Kill API, workers and training processes."""
    with service_in(folder, workers=WORKERS) as (service, database):
        trainings = Trainings(service, lambda ids: [service.wait(job_id, 180) for job_id in ids], names)
        return kill_processes(service, database, trainings, seed, kills)


def main() -> int:
    """Give 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="what is drawn; by default another each time"
    )
    parser.add_argument("--count", type=int, default=2000, help="kills -9 in all, a tenth of them of whole processes")
    parser.add_argument("--stops", type=int, default=20, help="runs stopped and woken after their job was taken")
    parser.add_argument("--races", type=int, default=500, help="races of two workers for a job")
    options = parser.parse_args()
    of_processes = options.count // 10
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="descent-torture-") as folder:
        began_at = time.monotonic()
        for part in ("runs", "processes"):
            place = Path(folder) / part
            place.mkdir()
            if part == "runs":
                kills = options.count - of_processes
                found = torture_runs(place, options.seed, kills=kills, stops=options.stops, races=options.races)
            else:
                found = torture_processes(place, options.seed, kills=of_processes)
            say(f"{part}: {found}")
            tally += found
    say(f"seed {options.seed}, {time.monotonic() - began_at:.0f} s: {tally}")
    return 1 if tally.violations else 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
