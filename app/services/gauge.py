"""How fast this machine trains, measured once: `python -m app.services.gauge` prints it, and a file in the data folder keeps it.

It is measured in a process of its own, since the API may not compute from several threads, and with one thread.
"""

import json
import logging
import os
import platform
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine import __version__ as engine_version
from engine import kernels
from engine.batches import Rows
from engine.cost import SECONDS, Speed, epoch_counts
from engine.spec import LayerSpec, NetworkSpec, OptimizerSpec, TrainingSpec
from engine.training import initial_state, train

FILE = "speed.json"
TIMEOUT_S = 90.0  # with what may have to be compiled first
AGAIN_AFTER_S = 600.0
PROBE_S = 0.25
MOST = 20.0  # a measurement that differs more than this is none

log = logging.getLogger(__name__)
_lock = threading.Lock()
_known: dict[Path, tuple[Speed, float]] = {}


def gauge(data_dir: Path) -> Speed:
    """Give this machine's speed; measuring it takes a few seconds, once for a data folder and a version.

    If it cannot be measured, it is taken to be that of the machine on which the engine's costs were, for ten minutes.
    """
    path = data_dir.resolve() / FILE
    with _lock:
        speed, until = _known.get(path, (None, 0.0))
        if speed is None or time.monotonic() > until:
            speed = _read(path) or _measured(path)
            until = float("inf") if speed is not None else time.monotonic() + AGAIN_AFTER_S
            speed = speed or Speed()
            _known[path] = speed, until
        return speed


def _fingerprint() -> str:
    return f"{engine_version} {np.__version__} {platform.machine()} {platform.node()} {kernels.is_installed()} {len(SECONDS)}"


def _read(path: Path) -> Speed | None:
    try:
        kept = json.loads(path.read_text())
        return Speed(**kept["speed"]) if kept["machine"] == _fingerprint() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measured(path: Path) -> Speed | None:
    """Measure in a process of its own, and keep what it says."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "app.services.gauge"],
            env={**os.environ, **dict.fromkeys(names, "1")},
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        speed = Speed(**json.loads(done.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("the speed of this machine could not be measured: %s", error)
        return None
    try:
        temporary = path.with_name(f".{FILE}.{os.getpid()}")
        temporary.write_text(json.dumps({"machine": _fingerprint(), "speed": asdict(speed)}))
        temporary.replace(path)
    except OSError as error:
        log.warning("the speed of this machine is not kept: %s", error)
    return speed


def measure() -> Speed:
    """Train three small networks: one that is all calls, one that is all matrix products, and one in machine code."""
    calls = _factor(_probe((2, 8, 8, 1), 4, 400, "numpy"), "calls", Speed())
    products = _factor(_probe((784, 512, 512, 10), 256, 512, "numpy"), "products", Speed(calls=calls))
    compiled = calls
    if kernels.is_installed():
        compiled = _factor(_probe((8, 64, 32, 1), 32, 4000, "numba"), "compiled", Speed(calls=calls))
    return Speed(calls, products, compiled)


def _probe(widths: tuple[int, ...], batch: int, n_rows: int, kernel: str) -> tuple[NetworkSpec, TrainingSpec, int]:
    network = NetworkSpec(widths[0], (*(LayerSpec(n) for n in widths[1:-1]), LayerSpec(widths[-1], "linear")))
    training = TrainingSpec(
        "mean_squared_error",
        OptimizerSpec("adam", 1e-5),
        epochs=1_000_000,
        batch_size=batch,
        task="regression",
        kernels="numba" if kernel == "numba" else "numpy",
    )
    return network, training, n_rows


def _factor(probe: tuple[NetworkSpec, TrainingSpec, int], which: str, speed: Speed) -> float:
    """Give how many times as long as expected one kind of work takes, the others being known."""
    network, training, n_rows = probe
    expected = {"calls": 0.0, "products": 0.0, "compiled": 0.0}
    for what, n in epoch_counts(network, training, n_rows, 0).items():
        expected[speed.kind(what)] += n * SECONDS[what]
    known = sum(seconds * getattr(speed, kind) for kind, seconds in expected.items() if kind != which)
    factor = (_fastest(network, training, n_rows) - known) / expected[which]
    return float(np.clip(factor, 1 / MOST, MOST))


def _fastest(network: NetworkSpec, training: TrainingSpec, n_rows: int) -> float:
    """Give the seconds of the fastest epoch."""
    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal((n_rows, n), dtype=np.float32) for n in (network.n_inputs, network.n_outputs))
    durations: list[float] = []
    began_at = at = time.thread_time()
    for report in train(network, training, initial_state(network, training), Rows(x, y), None):
        now = time.thread_time()
        if report is None:
            continue
        durations.append(now - at)
        at = now
        if len(durations) > 3 and now - began_at > PROBE_S:
            break
    return min(durations[1:])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure())))
