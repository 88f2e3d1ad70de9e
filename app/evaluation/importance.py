"""How much each column matters: what becomes of a metric when the column's values are dealt out anew among the rows."""

from pathlib import Path
from typing import Any

import numpy as np

from app.contract.evaluation import Metric
from app.errors import Fault, InvalidRequest
from app.evaluation.measures import Counts, Measures, Scored, scored
from app.evaluation.subject import Subject
from app.tables.fitted import Array, FittedPreprocessing

MAX_CELLS = 32 << 20
# Of these, more is better.
SCORES = frozenset({Metric.ACCURACY, Metric.BALANCED_ACCURACY, Metric.ROC_AUC, Metric.R2})
_SAMPLE, _SHUFFLE = 0, 1


def importance(
    table: Path, subject: Subject, metric: Metric, *, repeats: int, seed: int, max_rows: int
) -> dict[str, Any]:
    """Give, for each column, mean and standard deviation (population) over the repeats of how much worse the metric becomes.

    Up to `max_rows` rows are drawn without replacement, fewer if they are very wide. Equal seeds give equal answers; a column's
    shuffles do not depend on the other columns.

    Raises:
        InvalidRequest: No row can be used, or the metric is undefined on these rows.
    """
    counts = Counts()
    rows = _sample(table, subject, counts, seed, max_rows)
    counts.check()
    measured = _Measured(subject, rows, metric)
    baseline = measured.value(rows.x)
    if baseline is None:
        message = f"{metric} is undefined on the {len(rows.x):,} rows that were drawn; choose another metric"
        raise InvalidRequest(message, [Fault("/metric", message, "undefined_metric")])
    sign = 1.0 if metric in SCORES else -1.0
    columns: list[dict[str, Any]] = []
    for place, (name, inputs) in enumerate(input_columns(subject.preprocessing).items()):
        generator = np.random.default_rng([_SHUFFLE, place, seed])
        values = [measured.shuffled(inputs, generator) for _ in range(repeats)]
        worse = [None if value is None else sign * (baseline - value) for value in values]
        columns.append({"name": name, **_summary(worse)})
    columns.sort(key=lambda one: (one["mean"] is None, -(one["mean"] or 0.0)))
    return {"baseline": baseline, "n_rows": len(rows.x), "columns": columns}


def input_columns(fitted: FittedPreprocessing) -> dict[str, list[int]]:
    """Give the places of the network's inputs that each column of the table became."""
    found: dict[str, list[int]] = {}
    start = 0
    for one in fitted.inputs:
        found.setdefault(one.name, []).extend(range(start, start + one.width))
        start += one.width
    return found


class _Measured:
    """One metric of one set of rows, with other inputs each time."""

    def __init__(self, subject: Subject, rows: Scored, metric: Metric) -> None:
        self._subject, self._rows, self._metric = subject, rows, metric
        self._scorer = subject.scorer(len(rows.x))
        self._x = rows.x.copy()

    def value(self, x: Array) -> float | None:
        """Give the metric; None if it is undefined or not finite."""
        outputs, costs = self._scorer.score(x, self._rows.y)
        measures = Measures(self._subject, ranks=self._metric is Metric.ROC_AUC)
        measures.add(self._rows.actual, outputs, costs)
        found: float | None = measures.read()[self._metric]
        return found

    def shuffled(self, inputs: list[int], generator: np.random.Generator) -> float | None:
        """Give the metric with the values of one column dealt out anew: all its inputs go together."""
        order = generator.permutation(len(self._x))
        self._x[:, inputs] = self._rows.x[order[:, None], inputs]
        value = self.value(self._x)
        self._x[:, inputs] = self._rows.x[:, inputs]
        return value


def _sample(table: Path, subject: Subject, counts: Counts, seed: int, max_rows: int) -> Scored:
    """Draw rows in one pass: each usable row draws a number, and those with the smallest are kept."""
    fitted = subject.preprocessing
    most = max(min(max_rows, MAX_CELLS // (fitted.n_inputs + fitted.n_outputs)), 1)
    generator = np.random.default_rng([_SAMPLE, 0, seed])
    kept: Scored | None = None
    drawn = np.empty(0)
    for rows in scored(table, subject, counts):
        drawn = np.concatenate([drawn, generator.random(len(rows.rows))])
        kept = rows if kept is None else kept.joined(rows)
        if len(drawn) > most:
            chosen = np.sort(np.argpartition(drawn, most)[:most])
            drawn, kept = drawn[chosen], kept.picked(chosen)
    assert kept is not None
    return kept


def _summary(values: list[float | None]) -> dict[str, float | None]:
    defined = [value for value in values if value is not None]
    if len(defined) < len(values):
        return {"mean": None, "std": None}
    return {"mean": float(np.mean(defined)), "std": float(np.std(defined))}
