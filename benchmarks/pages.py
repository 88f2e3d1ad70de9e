"""How long a page of a list or of a history takes, with few jobs stored and with very many."""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import Figure, Part, share, table
from tests.service import PENGUINS, Service

FEW, HISTORY, REQUESTS = 100, 1000, 60
PAGES = {
    "list, newest 50": "/v1/jobs?limit=50",
    "list, 50 from the middle": "/v1/jobs?limit=50&cursor={middle}",
    "list, 50 that failed": "/v1/jobs?limit=50&status=failed",
    "list, 50 of a tag that many have": "/v1/jobs?limit=50&tag=every:tenth",
    "list, of a tag that one has": "/v1/jobs?limit=50&tag=the:first",
    "list, of a rare kind": "/v1/jobs?limit=50&kind=verification",
    "one job": "/v1/jobs/{job}",
    "history, first 1,000 epochs": "/v1/jobs/{job}/epochs?limit=1000",
    "history, 100 points": "/v1/jobs/{job}/epochs?max_points=100",
    "`/metrics`": "/metrics",
}
COUNT = ("list, newest 50", "list, 50 from the middle", "history, first 1,000 epochs", "`/metrics`")


@dataclass(frozen=True)
class Many:
    """What is stored beside the few jobs."""

    jobs: int
    epochs_each: int = 10


def measure(folder: Path, many: Many) -> Part:
    """Ask for each page beside few jobs and beside many; `folder` is empty."""
    service = Service(folder, None, worker_slots="1")
    try:
        service.start()
        dataset = service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
        job_id = service.submit(dataset_id=dataset, target="species", training={"epochs": HISTORY})["id"]
        service.wait(job_id)
    finally:
        service.close()
    times = []
    for n_jobs in (FEW, many.jobs):
        _fill(folder / "descent.db", job_id, n_jobs, many.epochs_each)
        service = Service(folder, None)
        try:
            service.start_api()
            times.append({name: _median_ms(service, path, job_id, n_jobs) for name, path in PAGES.items()})
        finally:
            service.close()
    few, full = times
    rows = [[name, f"{few[name]:.1f}", f"{full[name]:.1f}"] for name in PAGES]
    head = ["p50, ms", f"{FEW} jobs", f"{many.jobs:,} jobs, {many.jobs * many.epochs_each:,} epochs"]
    figures = [
        Figure(f"{name}, {FEW} jobs / {many.jobs:,} jobs: p50", "the same", f"{few[name]:.1f} / {full[name]:.1f} ms")
        for name in COUNT
    ]
    return Part(f"Pages by HTTP, {REQUESTS} requests each, SQLite:\n\n{table(head, rows)}\n", tuple(figures))


def _fill(database: Path, job_id: str, n_jobs: int, epochs_each: int) -> None:
    """Copy the job, while no service runs, until there are so many, each with some epochs.

    Every tenth has a tag, the very first another one; every hundredth failed.
    """
    with closing(sqlite3.connect(database, isolation_level=None, timeout=60)) as connection:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000"):  # the service is not there
            connection.execute(f"PRAGMA {pragma}")
        names = [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
        values = {
            "id": "printf('job_%026d', n)",
            "status": "CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'succeeded' END",
        }
        (stored,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
        numbers = (
            f"WITH RECURSIVE numbers(n) AS (SELECT {stored} UNION ALL SELECT n + 1 FROM numbers WHERE n < {n_jobs - 1})"
        )
        connection.execute("BEGIN")
        connection.execute(
            f"INSERT INTO jobs ({', '.join(names)}) {numbers} "
            f"SELECT {', '.join(values.get(name, name) for name in names)} FROM numbers, jobs WHERE id = '{job_id}'"
        )
        connection.execute(
            f"INSERT INTO job_tags (job_id, owner, key, value) {numbers} "
            "SELECT printf('job_%026d', n), 'local', 'every', 'tenth' FROM numbers WHERE n % 10 = 0"
        )
        columns = (
            "epoch, train_loss, validation_loss, metrics, learning_rate, gradient_norm, duration_s, line_search, at"
        )
        connection.execute(
            f"INSERT INTO epochs (job_id, {columns}) {numbers} SELECT printf('job_%026d', n), {columns} "
            f"FROM numbers CROSS JOIN epochs WHERE job_id = '{job_id}' AND epoch <= {epochs_each}"
        )
        connection.execute("COMMIT")


def _median_ms(service: Service, path: str, job_id: str, n_jobs: int) -> float:
    url = path.format(job=job_id, middle=f"job_{n_jobs // 2:026d}")
    times = []
    for _ in range(REQUESTS):
        begin = time.perf_counter()
        service.http.get(url).raise_for_status()
        times.append(time.perf_counter() - begin)
    return 1e3 * share(times, 0.5)
