"""The engine beside its peers: the same work on one pinned core, in turns, each contestant in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import table
from benchmarks.workloads import WORKLOADS, Workload

ROOT = Path(__file__).parent.parent
OURS, PRODUCTS = "descent", "matrix_products"
PEERS = {
    "scikit_learn": "scikit-learn",
    "pytorch": "PyTorch eager",
    "pytorch_compiled": "PyTorch compiled",
    "jax": "JAX jit(scan)",
}
NAMES = {OURS: "Descent", **PEERS}
THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "NUMBA", "VECLIB")
# By rounding alone; but scikit-learn adds Adam's eps before it corrects the bias, which is more.
SAME_WITHIN = 0.01


@dataclass(frozen=True)
class Effort:
    """How much is measured: runs of about `run_s`, in rounds until `workload_s` are over, but at least `rounds`.

    `leave_out` are peers that take no part.
    """

    run_s: float
    rounds: int
    workload_s: float
    leave_out: tuple[str, ...] = ()


FULL = Effort(run_s=0.4, rounds=5, workload_s=40)
# PyTorch takes some 10 s to compile a step, as long as all the rest of a quick workload.
QUICK = Effort(run_s=0.05, rounds=3, workload_s=2, leave_out=("pytorch_compiled",))


class Failed(Exception):
    """A contestant cannot do a workload; the text says why."""


@dataclass
class Contestant:
    """A process that trains when it is told to, and what it said."""

    name: str
    process: subprocess.Popen[str]
    ready: dict[str, Any] = field(default_factory=dict)
    epochs: int = 1
    # Seconds of each round, for one epoch.
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    def ask(self, **request: Any) -> dict[str, Any]:
        """Say a line and wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": f"ended with {self.process.wait()}"}
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def calibrate(self, run_s: float) -> None:
        """Choose how many epochs are a run."""
        self.epochs = max(1, round(run_s / self.ask(epochs=1)["cpu_s"]))

    def take_turn(self) -> None:
        """Train as many epochs as a run has, while the others wait."""
        answer = self.ask(epochs=self.epochs)
        self.cpu_s.append(answer["cpu_s"] / self.epochs)
        self.wall_s.append(answer["wall_s"] / self.epochs)

    def end(self) -> None:
        """Hear how much memory it took."""
        self.peak_bytes = self.ask(end=True)["peak_bytes"]

    def step_us(self, workload: Workload) -> float:
        """Microseconds of one step: the median of the rounds."""
        return 1e6 * median(self.cpu_s) / workload.steps


@dataclass
class Measured:
    """A workload with those who did it, and why the others did not."""

    workload: Workload
    contestants: dict[str, Contestant]
    failures: dict[str, str]

    @property
    def ours(self) -> Contestant:
        """Descent."""
        return self.contestants[OURS]

    def ratios(self, name: str) -> list[float]:
        """How many times our seconds the other took, in each round."""
        return [theirs / ours for theirs, ours in zip(self.contestants[name].cpu_s, self.ours.cpu_s, strict=True)]

    def difference(self, name: str) -> float:
        """The largest relative difference of a loss from ours in the check."""
        pairs = zip(self.contestants[name].ready["losses"], self.ours.ready["losses"], strict=True)
        return max(abs(theirs - ours) / ours for theirs, ours in pairs)


def measure(effort: Effort, peers_python: Path) -> list[Measured]:
    """Every workload in turn."""
    core = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as cache:
        # OpenBLAS is to choose its kernels by itself, as it does for anyone.
        given = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
        environment = {
            **given,
            **{f"{name}_NUM_THREADS": "1" for name in THREADS},
            # What PyTorch compiled in another run is not found, so the time to compile is that of a first time.
            "TORCHINDUCTOR_CACHE_DIR": cache,
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "JAX_PLATFORMS": "cpu",
        }
        results = []
        for number, workload in enumerate(WORKLOADS):
            print(f"{workload.name} ...", file=sys.stderr, flush=True)
            results.append(_measure(number, workload, effort, peers_python, core, environment))
        return results


def _measure(
    number: int, workload: Workload, effort: Effort, peers_python: Path, core: int, environment: dict[str, str]
) -> Measured:
    started: list[Contestant] = []
    failures: dict[str, str] = {}
    contestants: dict[str, Contestant] = {}
    try:
        for name in (OURS, PRODUCTS, *PEERS):
            if name in effort.leave_out:
                failures[name] = "it is left out where it has to be quick"
                continue
            python = peers_python if name in PEERS else Path(sys.executable)
            if not python.exists():
                failures[name] = f"there is no {peers_python}; `make bench` makes it"
                continue
            started.append(contestant := _start(name, python, core, environment))
            try:
                contestant.ready = contestant.ask(workload=number)
                contestant.calibrate(effort.run_s)
                contestants[name] = contestant
            except Failed as failed:
                if name not in PEERS:
                    raise
                failures[name] = str(failed)
        _rounds(list(contestants.values()), effort)
    finally:
        for contestant in started:
            contestant.process.kill()
            contestant.process.wait()
    return Measured(workload, contestants, failures)


def _start(name: str, python: Path, core: int, environment: dict[str, str]) -> Contestant:
    command = [str(python), "-m", "benchmarks.contestant", name]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Before anything is imported: libraries count the cores they may use when they are loaded.
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return Contestant(name, process)


def _rounds(contestants: list[Contestant], effort: Effort) -> None:
    """One at a time, round after round, each round begun by another."""
    begin, done = time.monotonic(), 0
    while done < effort.rounds or time.monotonic() - begin < effort.workload_s:
        first = done % len(contestants)
        for contestant in contestants[first:] + contestants[:first]:
            contestant.take_turn()
        done += 1
    for contestant in contestants:
        contestant.end()


def report(results: list[Measured]) -> tuple[str, bool]:
    """The text in Markdown, and whether all did the same work."""
    same = all(one.difference(name) <= SAME_WITHIN for one in results for name in one.contestants if name in PEERS)
    parts = [
        "## The engine\n",
        _how(results),
        _ratios(results),
        "Microseconds a step:\n",
        _table(results, list(NAMES), lambda one, name: f"{one.contestants[name].step_us(one.workload):,.1f}"),
        "Peak memory of the process in MiB, with interpreter, libraries and rows:\n",
        _table(results, list(NAMES), lambda one, name: f"{one.contestants[name].peak_bytes / 2**20:,.0f}"),
        "Seconds to compile, which are no part of the times above (Descent: its first epoch; a second start finds "
        "what it compiled in its cache):\n",
        _table(
            results,
            [OURS, "pytorch_compiled", "jax"],
            lambda one, name: f"{one.contestants[name].ready['compile_s']:.2f}",
        ),
        f"The same work: largest difference of a loss from Descent's over {len(results[0].ours.ready['losses'])} epochs "
        f"from the same weights, over the rows in their order (up to {SAME_WITHIN:.0%} is taken as equal):\n",
        _table(results, list(PEERS), _check),
        *_failures(results),
    ]
    return "\n".join(parts), same


def _how(results: list[Measured]) -> str:
    versions: dict[str, str] = {}
    for one in results:
        for contestant in one.contestants.values():
            versions |= contestant.ready["versions"]
    rounds = [len(one.ours.cpu_s) for one in results]
    turns = [c for one in results for c in one.contestants.values()]
    waited = sum(sum(c.wall_s) * c.epochs for c in turns) / sum(sum(c.cpu_s) * c.epochs for c in turns)
    return (
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}. One pinned core, one thread, float32, "
        "the same rows and first weights. Every contestant is a process of its own; they take turns, "
        f"{min(rounds)} to {max(rounds)} rounds. Every epoch draws a new order; drawing it and moving the rows are "
        "part of the time. Every turn starts from the first weights. Times are processor time of the whole "
        f"process; the clock showed {waited:.2f} times as much (other programs on the core).\n\n"
        "A ratio is the peer's time by Descent's in the same round: the median, and the least and the largest. "
        "*Of the products* is the rate of Descent's matrix products as a share of what NumPy reaches on this core with "
        "the same products and nothing else; for small ones that limit is mostly NumPy's own calls. Descent leaves out of those of "
        "wide layers what relu made 0, and is counted as if it did not.\n"
    )


def _ratios(results: list[Measured]) -> str:
    rows = []
    for one in results:
        workload, ours = one.workload, one.ours
        medians = {name: median(one.ratios(name)) for name in PEERS if name in one.contestants}
        cells = [
            f"{medians[n]:.2f} ({min(one.ratios(n)):.2f} to {max(one.ratios(n)):.2f})" if n in medians else "-"
            for n in PEERS
        ]
        fastest = f"**{min(medians.values()):.2f}**" if medians else "-"
        gflops = workload.flops / ours.step_us(workload) / 1e3
        share = f"{median(one.ratios(PRODUCTS)):.0%}, {gflops:.3g} GFLOP/s"
        rows.append(
            [
                workload.name,
                f"{workload.n_rows:,}",
                f"{ours.step_us(workload):,.1f}",
                *cells,
                fastest,
                f"{workload.wanted:.1f}",
                share,
            ]
        )
    head = ["network", "rows", "Descent, µs a step", *PEERS.values(), "fastest peer", "wanted", "of the products"]
    return table(head, rows)


def _table(results: list[Measured], names: list[str], cell: Any) -> str:
    rows = [
        [one.workload.name, *[cell(one, name) if name in one.contestants else "-" for name in names]] for one in results
    ]
    return table(["network", *[NAMES[name] for name in names]], rows)


def _check(one: Measured, name: str) -> str:
    difference = one.difference(name)
    return f"{difference:.1e}" if difference <= SAME_WITHIN else f"**{difference:.1e}: other work**"


def _failures(results: list[Measured]) -> list[str]:
    found = {(name, why): None for one in results for name, why in one.failures.items()}
    return [f"{NAMES[name]} took no part: {why}.\n" for name, why in found]
