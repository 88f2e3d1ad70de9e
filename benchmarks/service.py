"""The whole service: from a table to weights, on a fresh data folder with SQLite, by HTTP."""

import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks import overhead, pages, polling, predictions, recovery
from benchmarks.machine import table
from tests.service import Service

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
    runs=10, tiny_jobs=40, predicted_rows=200_000, training_s=2, polled_s=5, stored=pages.Many(10_000), deaths=3
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


def measure(effort: Effort) -> str:
    """The text in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        times = _with_service(Path(folder), 1, lambda service: _table_to_weights(service, effort.runs))
    with tempfile.TemporaryDirectory() as folder:
        tiny = _with_service(Path(folder), 2, lambda service: _tiny_jobs(service, effort.tiny_jobs))
    with tempfile.TemporaryDirectory() as folder:
        predicted = _with_service(Path(folder), 1, lambda service: predictions.measure(service, effort.predicted_rows))
    with tempfile.TemporaryDirectory() as folder:
        added = _with_service(Path(folder), 1, lambda service: overhead.measure(service, effort.training_s, runs=3))
    with tempfile.TemporaryDirectory() as folder:
        polled = _with_service(Path(folder), 1, lambda service: polling.measure(service, effort.polled_s, (1, 2)))
    with tempfile.TemporaryDirectory() as folder:
        paged = pages.measure(Path(folder), effort.stored)
    with tempfile.TemporaryDirectory() as folder:
        recovered = recovery.measure(Path(folder), effort.deaths)
    rate, accepted = 60 * effort.tiny_jobs / tiny["ended"], tiny["accepted"] / tiny["ended"]
    epochs = XOR_JOB["training"]["epochs"]
    return (
        "## The service\n\n"
        f"API and worker as processes of their own, SQLite on disk, one client over HTTP; warm; {effort.runs} runs.\n\n"
        f"{table(['', 'p50, ms', 'p95, ms'], [[TIMES[name], _ms(s, 0.5), _ms(s, 0.95)] for name, s in times.items()])}\n"
        f"Tiny jobs (XOR sent inline, {epochs} epochs), end to end with 2 workers and {CLIENTS} clients: "
        f"**{rate:,.0f} a minute** ({effort.tiny_jobs} jobs, from the first POST until the last one has succeeded; "
        f"all were accepted after {accepted:.0%} of that time).\n\n"
        f"{added}{polled}{paged}{recovered}{predicted}"
    )


def _with_service(folder: Path, workers: int, use: Callable[[Service], Any]) -> Any:
    service = Service(folder, None)
    try:
        return use(service.start(workers))
    finally:
        service.close()


def _table_to_weights(service: Service, runs: int) -> dict[str, list[float]]:
    """Seconds of each part of each run. The first runs warm up."""
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
    return times


def _tiny_jobs(service: Service, n: int) -> dict[str, float]:
    """Seconds from the first request until all jobs were accepted, and until all have succeeded."""

    def submit_all(client: httpx.Client, count: int) -> list[str]:
        return [client.post("/v1/jobs", json=XOR_JOB).raise_for_status().json()["id"] for _ in range(count)]

    clients = [httpx.Client(base_url=service.http.base_url, timeout=90) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        for job_id in submit_all(clients[0], 4):
            service.wait(job_id)
        begin = time.perf_counter()
        shares = pool.map(submit_all, clients, [n // CLIENTS] * CLIENTS)
        ids = [job_id for share in shares for job_id in share]
        accepted = time.perf_counter() - begin
        for job_id in ids:
            job = service.wait(job_id, within_s=300)
            assert job["status"] == "succeeded", job
        ended = time.perf_counter() - begin
    for client in clients:
        client.close()
    return {"accepted": accepted, "ended": ended}


def _ms(seconds: list[float], share: float) -> str:
    """The least time that is at least as long as this share of them."""
    ordered = sorted(seconds)
    return f"{1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.0f}"
