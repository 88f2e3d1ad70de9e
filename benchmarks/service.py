"""The whole service, by HTTP, each part of it with an empty data folder: on SQLite, or (TEST_POSTGRES) on PostgreSQL."""

import os
import random
import tempfile
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks import overhead, pages, polling, predictions, recovery
from benchmarks.machine import Figure, Part, cpu_s, share, table
from tests.service import POSTGRES, Service, fresh_database

IRIS_JOB: dict[str, Any] = {"target": "species", "network": {"hidden_layers": [16]}, "training": {"epochs": 50}}
XOR_JOB: dict[str, Any] = {
    "data": {"inputs": [[0, 0], [0, 1], [1, 0], [1, 1]], "targets": [[0], [1], [1], [0]]},
    "validation": None,
    "network": {"hidden_layers": [4], "activation": "tanh"},
    "training": {"epochs": 10},
}
CLIENTS = 4
TIMES = {
    "total": "POST of 150 rows as CSV to weights in hand, 50 epochs",
    "upload": "of that: upload of the table",
    "submit": "of that: POST of the job to its 202",
    "start": "job stored to training started (the service's own times)",
    "train": "training started to job finished (the service's own times)",
}


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    runs: int
    tiny_jobs: int
    predicted_rows: int
    training_s: float
    polled_s: float
    stored: pages.Many
    deaths: int


FULL = Effort(
    runs=30,
    tiny_jobs=600,
    predicted_rows=1_000_000,
    training_s=10,
    polled_s=20,
    stored=pages.Many(1_000_000),
    deaths=20,
)
QUICK = Effort(
    runs=10, tiny_jobs=100, predicted_rows=200_000, training_s=3, polled_s=5, stored=pages.Many(50_000), deaths=3
)


def flowers(seed: int) -> bytes:
    """A table like Fisher's irises: 150 rows, four lengths, three species. Another seed is another file."""
    generator = random.Random(seed)
    means = {"setosa": (5.0, 3.4, 1.5, 0.2), "versicolor": (5.9, 2.8, 4.3, 1.3), "virginica": (6.6, 3.0, 5.6, 2.0)}
    lines = ["sepal_length,sepal_width,petal_length,petal_width,species"]
    for species, lengths in means.items():
        numbers = [[f"{generator.gauss(mean, 0.3):.2f}" for mean in lengths] for _ in range(50)]
        lines += [",".join([*flower, species]) for flower in numbers]
    return "\n".join(lines).encode() + b"\n"


def measure(effort: Effort, only: Collection[str] = ()) -> str:
    """The text in Markdown: first the figures that count, of the parts that are wanted (all, if none is named)."""
    parts = [measured(effort) for name, measured in PARTS.items() if not only or name in only]
    rows = [[one.name, one.aim or "", one.measured] for part in parts for one in part.figures]
    return (
        "## The service\n\n"
        f"API and workers as processes of their own, {_database()}, clients over HTTP; clients, service and trainings share the "
        f"machine's cores.\n\n{table(['', 'aim', 'measured'], rows)}\n" + "".join(part.text for part in parts)
    )


def _database() -> str:
    return "PostgreSQL" if POSTGRES else "SQLite on disk"


def _with_service(workers: int, use: Callable[[Service], Part]) -> Part:
    """Measure with a service of its own, on an empty folder and an empty database."""
    with tempfile.TemporaryDirectory() as folder, fresh_database() as url:
        service = Service(Path(folder), url)
        try:
            return use(service.start(workers))
        finally:
            service.close()


def _start(effort: Effort) -> Part:
    return _with_service(1, lambda service: _table_to_weights(service, effort.runs))


def _tiny(effort: Effort) -> Part:
    return _with_service(2, lambda service: _tiny_jobs(service, effort.tiny_jobs))


def _overhead(effort: Effort) -> Part:
    return _with_service(1, lambda service: overhead.measure(service, effort.training_s, runs=3))


def _polling(effort: Effort) -> Part:
    return _with_service(1, lambda service: polling.measure(service, effort.polled_s, (1, 2)))


def _pages(effort: Effort) -> Part:
    with tempfile.TemporaryDirectory() as folder:
        return pages.measure(Path(folder), effort.stored)


def _recovery(effort: Effort) -> Part:
    with tempfile.TemporaryDirectory() as folder, fresh_database() as url:
        return recovery.measure(Path(folder), effort.deaths, url)


def _predictions(effort: Effort) -> Part:
    return _with_service(1, lambda service: predictions.measure(service, effort.predicted_rows))


PARTS: dict[str, Callable[[Effort], Part]] = {
    "start": _start,
    "tiny": _tiny,
    "overhead": _overhead,
    "polling": _polling,
    "pages": _pages,
    "recovery": _recovery,
    "predictions": _predictions,
}


def _table_to_weights(service: Service, runs: int) -> Part:
    """From a table to weights, again and again. The first runs warm up."""
    times: dict[str, list[float]] = {name: [] for name in TIMES}
    for run in range(-3, runs):
        content = flowers(run + 3)
        begin = time.perf_counter()
        dataset = service.upload(content)
        uploaded = time.perf_counter()
        job = service.submit(dataset_id=dataset["id"], **IRIS_JOB)
        submitted = time.perf_counter()
        job = service.wait(job["id"])
        assert job["status"] == "succeeded", job
        assert service.weights(job["model_id"])
        end = time.perf_counter()
        if run < 0:
            continue
        created, started, finished = (
            datetime.fromisoformat(job[f"{verb}_at"]) for verb in ("created", "started", "finished")
        )
        times["total"].append(end - begin)
        times["upload"].append(uploaded - begin)
        times["submit"].append(submitted - uploaded)
        times["start"].append((started - created).total_seconds())
        times["train"].append((finished - started).total_seconds())
    shares = {name: (1e3 * share(s, 0.5), 1e3 * share(s, 0.95)) for name, s in times.items()}
    rows = [[TIMES[name], f"{p50:.0f}", f"{p95:.0f}"] for name, (p50, p95) in shares.items()]
    return Part(
        f"One client, warm, {runs} runs:\n\n{table(['', 'p50, ms', 'p95, ms'], rows)}\n",
        (Figure("Submit to start: p50 / p95", None, "{:.0f} / {:.0f} ms".format(*shares["start"])),),
    )


def _tiny_jobs(service: Service, n: int) -> Part:
    """From the first request until all jobs have succeeded."""

    def submit_all(client: httpx.Client, count: int) -> list[str]:
        return [client.post("/v1/jobs", json=XOR_JOB).raise_for_status().json()["id"] for _ in range(count)]

    clients = [httpx.Client(base_url=service.http.base_url, timeout=90) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        for warm_up in [submit_all(client, 4) for client in clients]:
            for job_id in warm_up:
                service.wait(job_id)
        processes = _processes(service)
        used = {name: -sum(map(cpu_s, pids)) for name, pids in processes.items()}
        begin = time.perf_counter()
        shares = pool.map(submit_all, clients, [n // CLIENTS] * CLIENTS)
        ids = [job_id for some in shares for job_id in some]
        accepted = time.perf_counter() - begin
        for job_id in ids:
            job = service.wait(job_id, within_s=300)
            assert job["status"] == "succeeded", job
        ended = time.perf_counter() - begin
    cpu_ms = {name: 1e3 * (used[name] + sum(map(cpu_s, pids))) / len(ids) for name, pids in processes.items()}
    for client in clients:
        client.close()
    total = sum(cpu_ms.values()) - cpu_ms["clients"]
    rate = f"{60 * len(ids) / ended:,.0f}"
    return Part(
        f"Tiny jobs (XOR sent inline, {XOR_JOB['training']['epochs']} epochs), end to end with 2 workers and {CLIENTS} clients: "
        f"**{rate} a minute** ({len(ids)} jobs, from the first POST until the last one has succeeded; all were accepted after "
        f"{accepted / ended:.0%} of that time). Processor time of a job, in ms: "
        f"{', '.join(f'{name} {ms:.1f}' for name, ms in cpu_ms.items())}.\n\n",
        (
            Figure("Tiny jobs a minute, end to end, 2 workers", "≥ 3,000", rate),
            Figure("Processor time of a tiny job, in all processes of the service", "≤ 40 ms", f"{total:.0f} ms"),
        ),
    )


def _processes(service: Service) -> dict[str, list[int]]:
    """Who uses the processor."""
    assert service.api is not None
    return {
        "API": [service.api.pid],
        "its readers of tables": service.children(service.api),
        "workers": [worker.pid for worker in service.workers],
        "training processes": [child for worker in service.workers for child in service.children(worker)],
        "clients": [os.getpid()],
    }
