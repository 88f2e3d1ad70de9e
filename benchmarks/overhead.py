"""What the service adds to a training: the same job by HTTP, and its epochs pulled from the bare engine.

As a program, `python -m benchmarks.overhead DATABASE BLOBS JOB`, it is the bare engine: it prints the seconds.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from app.contract.jobs import Resolved
from app.services.specs import network_spec, training_spec
from app.store import jobs as store
from app.store.blobs import Blobs
from app.store.session import Database
from app.tables.fitted import FittedPreprocessing
from app.tables.preparation import prepare
from app.worker.child import NICER
from benchmarks.machine import Figure, Part
from engine.batches import Rows
from engine.training import initial_state, train
from tests.service import ROOT, Service

ROWS, TRY_EPOCHS = 20_000, 20
JOB: dict[str, Any] = {"target": "y", "network": {"hidden_layers": [64, 32], "activation": "tanh"}}


def measure(service: Service, training_s: float, runs: int) -> Part:
    """Let the two take turns; the shorter time of each counts."""
    numbers = np.random.default_rng(0).normal(size=(ROWS, 8)).round(4)
    lines = [",".join([*(f"x{i}" for i in range(8)), "y"])]
    lines += [",".join([*(f"{x:.4f}" for x in row), f"{row.sum():.4f}"]) for row in numbers]
    dataset = service.upload("\n".join(lines).encode())["id"]
    tried = _bare(service, _trained(service, dataset, TRY_EPOCHS)[0])
    epochs = max(1, round(TRY_EPOCHS * training_s / tried))
    services, bares = [], []
    for _ in range(runs):
        job_id, *times = _trained(service, dataset, epochs)
        services.append(times)
        bares.append(_bare(service, job_id))
    bare, (inside, outside) = min(bares), map(min, zip(*services, strict=True))
    name = f"What the service adds to a job of {bare:.0f} s, from start to finish"
    return Part(
        f"The same training of {bare:.1f} s ({epochs} epochs of {ROWS:,} rows, 8-64-32-1, one thread) by the service, with its "
        f"history, checkpoints and model, and by the bare engine; the best of {runs} each: **{inside / bare - 1:+.1%}** from "
        f"start to finish by the service's own times, {outside / bare - 1:+.1%} from the POST until the client knows.\n\n",
        (Figure(name, "≤ 5 %", f"{inside / bare - 1:+.1%}"),),
    )


def _trained(service: Service, dataset: str, epochs: int) -> tuple[str, float, float]:
    begin = time.perf_counter()
    job = service.submit(dataset_id=dataset, **JOB, training={"epochs": epochs})
    job = service.wait(job["id"], within_s=300)
    ended = time.perf_counter()
    assert job["status"] == "succeeded", job
    started, finished = (datetime.fromisoformat(job[f"{verb}_at"]) for verb in ("started", "finished"))
    return str(job["id"]), (finished - started).total_seconds(), ended - begin


def _bare(service: Service, job_id: str) -> float:
    """In a process of its own, as the service trains."""
    database = service.environment.get("DESCENT_DATABASE_URL", f"sqlite:///{service.data_dir / 'descent.db'}")
    command = [sys.executable, "-m", "benchmarks.overhead", database, str(service.data_dir / "blobs"), job_id]
    done = subprocess.run(command, cwd=ROOT, env=service.environment, capture_output=True, check=True, text=True)
    return float(done.stdout)


def _train_bare(database_url: str, blob_dir: str, job_id: str) -> float:
    """Pull the epochs of a stored job; the seconds from the first to the last."""
    database, blobs = Database(database_url), Blobs(Path(blob_dir))
    with database.reading() as session:
        row = store.find(session, "local", job_id)
        assert row is not None
        resolved, fitted = Resolved.model_validate(row.resolved), FittedPreprocessing.from_json(row.preprocessing)
    network, training = network_spec(resolved.network), training_spec(resolved)
    with tempfile.TemporaryDirectory() as scratch:
        data = prepare(
            blobs.path(f"datasets/{row.dataset_id}/table.arrow"),
            fitted,
            validation=resolved.validation,
            validation_table=None,
            seed=training.seed,
            dtype=training.dtype,
            scratch=Path(scratch),
        )
        assert data.x_validation is not None
        assert data.y_validation is not None
        units = tuple(one.scale / one.unit for one in fitted.targets)
        rows = Rows(data.x_train, data.y_train, units, data.w_train)
        held_out = Rows(data.x_validation, data.y_validation, units, data.w_validation)
        for _ in train(
            network, training, initial_state(network, training), rows, held_out
        ):  # the compiled steps are loaded
            break
        begin = time.perf_counter()
        for _ in train(network, training, initial_state(network, training), rows, held_out):
            pass
        return time.perf_counter() - begin


if __name__ == "__main__":
    os.nice(NICER)  # as trainings are
    print(_train_bare(*sys.argv[1:]))
