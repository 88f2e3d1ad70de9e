"""How long a job stands still when its worker is killed and another is there: `python -m benchmarks.recovery [POSTGRESQL]`."""

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import Figure, Part, cpu_s, share
from tests.service import PENGUINS, Service

JOB: dict[str, Any] = {
    "target": "species",
    "network": {"hidden_layers": [64]},
    "training": {"epochs": 10_000_000},
}
WITHIN_S = 60


def measure(folder: Path, deaths: int, database_url: str | None = None) -> Part:
    """Kill a worker so many times."""
    times = seconds(folder, deaths, database_url)
    p50, p99 = share(times, 0.5), share(times, 0.99)
    name = "A killed worker's job runs again elsewhere: p99"
    return Part(
        f"Worker and training process killed (`kill -9`) while a job runs, another worker idle, "
        f"{'PostgreSQL' if database_url else 'SQLite'}, {deaths} times: the job ran again after p50 **{p50:.1f} s**, "
        f"p99 {p99:.1f} s.\n\n",
        (Figure(name, "≤ 16 s", f"{p99:.1f} s, of {deaths}"),),
    )


def seconds(folder: Path, deaths: int, database_url: str | None) -> list[float]:
    """Seconds from each kill until the job had a new run."""
    service = Service(folder, database_url, worker_slots="1")
    times = []
    try:
        service.start(workers=2)
        dataset = service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
        job_id = service.submit(dataset_id=dataset, **JOB)["id"]
        for attempt in range(1, deaths + 1):
            _until(lambda: service.job(job_id)["attempt"] == attempt)  # noqa: B023
            service.wait_for_epoch(job_id, service.job(job_id)["progress"]["epoch"] + 1)
            worker, child = _of_job(service)
            begin = time.perf_counter()
            service.kill_worker(worker)
            os.kill(child, signal.SIGKILL)
            _until(lambda: service.job(job_id)["attempt"] > attempt)  # noqa: B023
            times.append(time.perf_counter() - begin)
            service.start_worker()
            _until(lambda: service.http.get("/readyz").json()["workers"] >= 2)
        service.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        service.wait(job_id)
    finally:
        service.close()
    return times


def _of_job(service: Service) -> tuple[Any, int]:
    """Give the worker whose training process is busy, and that process."""
    children = [(worker, child) for worker in service.workers for child in service.children(worker)]
    before = [cpu_s(child) for _, child in children]
    time.sleep(0.5)
    used = [cpu_s(child) - earlier for (_, child), earlier in zip(children, before, strict=True)]
    return children[used.index(max(used))]


def _until(true: Any) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", nargs="?", help="address of an empty PostgreSQL database (default: SQLite)")
    parser.add_argument("--deaths", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(measure(Path(folder), given.deaths, given.database).text)


if __name__ == "__main__":
    main()
