"""Predictions over HTTP: one row on a warm server, and a large dataset as a stream."""

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.machine import Figure, Part, share, table
from tests.service import PENGUINS, Service

WARM_UP, REQUESTS = 50, 500
TYPES = {"CSV": "text/csv", "Parquet": "application/vnd.apache.parquet"}
PENGUIN = {
    "island": "Biscoe",
    "bill_length_mm": 47.5,
    "bill_depth_mm": 15.0,
    "flipper_length_mm": 217,
    "body_mass_g": 5000,
    "sex": "male",
    "year": 2009,
}


def measure(service: Service, n_rows: int) -> Part:
    """Predict one row again and again, and then a dataset."""
    penguins = pl.read_csv(PENGUINS, null_values=["NA", ""])
    numbers = np.random.default_rng(0).normal(size=(n_rows, 8)).round(4)
    eight = pl.DataFrame({f"x{i}": numbers[:, i] for i in range(8)} | {"y": numbers.sum(1)})
    many = pl.concat([penguins] * -(-n_rows // len(penguins))).head(n_rows)
    classifier = _trained(service, penguins, "species", [16])
    subjects = {
        "8 numbers, 8-64-32-1": (_trained(service, eight.head(5000), "y", [64, 32]), eight),
        "penguins (7 columns, categories, gaps), 10-16-3": (classifier, many),
    }
    times = _one_row(service, classifier)
    p50, p95 = 1e3 * share(times, 0.5), 1e3 * share(times, 0.95)
    rows = []
    for name, (model, frame) in subjects.items():
        dataset = _uploaded(service, frame)
        rows += [[name, format, *_streamed(service, model, dataset, TYPES[format], n_rows)] for format in TYPES]
    return Part(
        f"Prediction of one penguin over a kept connection, warm, {REQUESTS} requests: p50 "
        f"**{p50:.1f} ms**, p95 {p95:.1f} ms. "
        f"A dataset of {n_rows:,} rows as a stream, from the request to the last byte, computed in one thread:\n\n"
        f"{table(['', 'as', 'rows/s', 'MB', 'the API process grew by, MiB'], rows)}",
        (Figure("Prediction of one row, warm: p50 / p95", None, f"{p50:.1f} / {p95:.1f} ms"),),
    )


def _uploaded(service: Service, frame: pl.DataFrame) -> str:
    content = io.BytesIO()
    frame.write_csv(content)
    return str(service.upload(content.getvalue())["id"])


def _trained(service: Service, frame: pl.DataFrame, target: str, hidden: list[int]) -> str:
    network: dict[str, Any] = {"hidden_layers": hidden}
    training = {"epochs": 5}
    job = service.submit(dataset_id=_uploaded(service, frame), target=target, network=network, training=training)
    job = service.wait(job["id"])
    assert job["status"] == "succeeded", job
    return str(job["model_id"])


def _one_row(service: Service, model: str) -> list[float]:
    times = []
    for _ in range(WARM_UP + REQUESTS):
        begin = time.perf_counter()
        service.http.post(f"/v1/models/{model}/predict", json={"rows": [PENGUIN]}).raise_for_status()
        times.append(time.perf_counter() - begin)
    return times[WARM_UP:]


def _streamed(service: Service, model: str, dataset: str, media_type: str, n_rows: int) -> list[str]:
    """The best of three streams, the first of which also starts the process."""
    url, body, headers = f"/v1/models/{model}/predict", {"dataset_id": dataset}, {"Accept": media_type}
    seconds, size, grown = [], 0, 0
    for _ in range(3):
        before, size = _memory_kib(service), 0
        begin = time.perf_counter()
        with service.http.stream("POST", url, json=body, headers=headers) as answer:
            answer.raise_for_status()
            for piece in answer.iter_raw():
                size += len(piece)
                grown = max(grown, _memory_kib(service) - before)
        seconds.append(time.perf_counter() - begin)
    return [f"{n_rows / min(seconds):,.0f}", f"{size / 1e6:.1f}", f"{grown / 1024:.0f}"]


def _memory_kib(service: Service) -> int:
    assert service.api is not None
    status = Path(f"/proc/{service.api.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
