"""Learning rates over time, as PyTorch's schedulers define them.

A schedule is one entry of `SCHEDULES`. Most look at the epoch; `Schedule.per_step` ones look at the step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, floor, inf, log, pi
from types import MappingProxyType
from typing import Any

from engine.parameters import Parameter

Memory = dict[str, float]


@dataclass(frozen=True, slots=True)
class Schedule:
    """One way for the learning rate to change.

    Attributes:
        name: what a specification calls it.
        doc: its formula, for people; ``t`` is the number of epochs (or steps) that have ended, ``n`` that of the run.
        rate: ``rate(base, t, n, values, memory)``: the learning rate of the epoch (or step) after ``t`` of ``n``, where
            the optimizer's own is ``base``.
        parameters: what it takes.
        per_step: whether ``t`` and ``n`` count steps.
        observe: ``observe(memory, loss, base, values)`` takes note of an epoch's watched loss; None: it plays no part.
    """

    name: str
    doc: str
    rate: Callable[[float, int, int, Mapping[str, Any], Mapping[str, float]], float]
    parameters: tuple[Parameter, ...] = ()
    per_step: bool = False
    observe: Callable[[Memory, float, float, Mapping[str, Any]], None] | None = None


def _constant(base: float, t: int, n: int, values: Mapping[str, Any], memory: Mapping[str, float]) -> float:
    del t, n, values, memory
    return base


def _step(base: float, t: int, n: int, values: Mapping[str, Any], memory: Mapping[str, float]) -> float:
    del n, memory
    return float(base * values["gamma"] ** (t // values["step_size"]))


def _exponential(base: float, t: int, n: int, values: Mapping[str, Any], memory: Mapping[str, float]) -> float:
    del n, memory
    return float(base * values["gamma"] ** t)


def _inverse_time(base: float, t: int, n: int, values: Mapping[str, Any], memory: Mapping[str, float]) -> float:
    del n, memory
    return float(base / (1.0 + values["decay"] * t))


def _cosine(base: float, t: int, n: int, values: Mapping[str, Any], memory: Mapping[str, float]) -> float:
    del memory
    return _between(base, values["eta_min"], t / (values["t_max"] or n))


def _cosine_restarts(base: float, t: int, n: int, values: Mapping[str, Any], memory: Mapping[str, float]) -> float:
    """Period number ``k`` is ``t_0 t_mult^k`` epochs long."""
    del n, memory
    length, growth = values["t_0"], values["t_mult"]
    if growth == 1:
        t %= length
    else:
        # The periods before number k take t_0 (t_mult^k - 1) / (t_mult - 1) epochs; a logarithm may be off by one.
        k = floor(log(t * (growth - 1) / length + 1, growth))
        k += (t - length * (growth ** (k + 1) - 1) // (growth - 1)) >= 0
        k -= (t - length * (growth**k - 1) // (growth - 1)) < 0
        t -= length * (growth**k - 1) // (growth - 1)
        length *= growth**k
    return _between(base, values["eta_min"], t / length)


def _between(start: float, end: float, share: float) -> float:
    """From ``start`` to ``end`` along half a cosine."""
    return end + (start - end) * (1.0 + cos(pi * share)) / 2.0


def _linear_warmup(base: float, t: int, n: int, values: Mapping[str, Any], memory: Mapping[str, float]) -> float:
    del n, memory
    start, end, total = values["start_factor"], values["end_factor"], values["total_iters"]
    return float(base * (start + (end - start) * min(t, total) / total))


def _one_cycle(base: float, t: int, n: int, values: Mapping[str, Any], memory: Mapping[str, float]) -> float:
    """Up to ``base`` and down again; the ends of the phases are those of PyTorch, which counts from 0."""
    del memory
    low = base / values["div_factor"]
    lowest = low / values["final_div_factor"]
    peak = values["pct_start"] * n - 1.0
    phases = [(peak, low, base), (n - 1.0, base, lowest)]
    if values["three_phase"]:
        phases = [(peak, low, base), (2.0 * peak, base, low), (n - 1.0, low, lowest)]
    begin = 0.0
    for end, start, goal in phases:
        if t <= end:
            return _between(start, goal, (t - begin) / (end - begin)) if end > begin else float(goal)
        begin = end
    return float(lowest)


def _plateau_rate(base: float, t: int, n: int, values: Mapping[str, Any], memory: Mapping[str, float]) -> float:
    del t, n, values
    return memory.get("learning_rate", base)


def _observe_plateau(memory: Memory, loss: float, base: float, values: Mapping[str, Any]) -> None:
    """Count the epochs without a better loss, and lower the rate when there were more than ``patience``."""
    best = memory.get("best", inf)
    rate, bad, rest = (memory.get(name, start) for name, start in (("learning_rate", base), ("bad", 0), ("rest", 0)))
    if loss < best * (1.0 - values["threshold"]) or (best == inf and loss < inf):
        best, bad = loss, 0
    else:
        bad += 1
    if rest > 0:
        rest, bad = rest - 1, 0
    if bad > values["patience"]:
        lower = max(rate * values["factor"], values["min_lr"])
        rate = lower if rate - lower > values["eps"] else rate
        rest, bad = values["cooldown"], 0
    memory |= {"learning_rate": rate, "best": best, "bad": bad, "rest": rest}


def _share(name: str, default: float, doc: str) -> Parameter:
    return Parameter(name, default, doc, 0.0, 1.0, exclusive_minimum=True)


_ETA_MIN = Parameter("eta_min", 0.0, "Lowest learning rate.", 0.0)

SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {
        schedule.name: schedule
        for schedule in (
            Schedule("constant", "The learning rate stays as it is.", _constant),
            Schedule(
                name="step",
                doc="base gamma^floor(t / step_size); PyTorch's StepLR.",
                rate=_step,
                parameters=(
                    Parameter("step_size", 10, "Epochs between two reductions.", 1),
                    _share("gamma", 0.1, "Factor of a reduction."),
                ),
            ),
            Schedule(
                name="exponential",
                doc="base gamma^t; PyTorch's ExponentialLR.",
                rate=_exponential,
                parameters=(_share("gamma", 0.95, "Factor of each epoch."),),
            ),
            Schedule(
                name="cosine",
                doc="Half a cosine from base to eta_min; PyTorch's CosineAnnealingLR.",
                rate=_cosine,
                parameters=(
                    Parameter("t_max", 0, "Epochs until the lowest learning rate; 0: all of the run.", 0),
                    _ETA_MIN,
                ),
            ),
            Schedule(
                name="cosine_restarts",
                doc="Half a cosine again and again; PyTorch's CosineAnnealingWarmRestarts.",
                rate=_cosine_restarts,
                parameters=(
                    Parameter("t_0", 10, "Epochs until the first restart.", 1),
                    Parameter("t_mult", 1, "Factor of the epochs after each restart.", 1, 1000),
                    _ETA_MIN,
                ),
            ),
            Schedule(
                name="linear_warmup",
                doc="From start_factor base to end_factor base in total_iters steps; PyTorch's LinearLR.",
                rate=_linear_warmup,
                parameters=(
                    _share("start_factor", 1.0 / 3.0, "Factor of the first step."),
                    _share("end_factor", 1.0, "Factor after the last step of the warm-up."),
                    Parameter("total_iters", 5, "Steps of the warm-up.", 1),
                ),
                per_step=True,
            ),
            Schedule(
                name="one_cycle",
                doc="From base / div_factor up to base and far down, by cosines; PyTorch's OneCycleLR, momentum left alone.",
                rate=_one_cycle,
                parameters=(
                    Parameter("pct_start", 0.3, "Share of the steps that go up.", 0.0, 1.0),
                    Parameter("div_factor", 25.0, "base / first learning rate.", 1.0),
                    Parameter("final_div_factor", 1e4, "First / last learning rate.", 1.0),
                    Parameter("three_phase", False, "Go down as far as the start first, then to the last one."),
                ),
                per_step=True,
            ),
            Schedule(
                name="inverse_time",
                doc="base / (1 + decay t).",
                rate=_inverse_time,
                parameters=(Parameter("decay", 0.1, "How fast it falls.", 0.0),),
            ),
            Schedule(
                name="reduce_on_plateau",
                doc="Times factor when the watched loss has not fallen for patience epochs; PyTorch's ReduceLROnPlateau.",
                rate=_plateau_rate,
                parameters=(
                    Parameter("factor", 0.1, "Factor of a reduction.", 0.0, 1.0, True, True),
                    Parameter("patience", 10, "Epochs without a better loss that are borne.", 0),
                    Parameter("threshold", 1e-4, "Share of the best loss that counts as better.", 0.0, 1.0),
                    Parameter("cooldown", 0, "Epochs after a reduction that are not counted.", 0),
                    Parameter("min_lr", 0.0, "Lowest learning rate.", 0.0),
                    Parameter("eps", 1e-8, "A smaller reduction is not made.", 0.0),
                ),
                observe=_observe_plateau,
            ),
        )
    }
)
