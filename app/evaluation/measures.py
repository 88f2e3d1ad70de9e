"""How good a model is on the rows of a dataset that have a target."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import Fault, InvalidRequest
from app.evaluation.rows import Chunk, chunk_rows, chunks
from app.evaluation.subject import AT, Subject
from app.tables.fitted import Array, FittedPreprocessing
from engine.classification import MAX_SCORES, Classification
from engine.regression import Regression

MAX_NAMED = 100


@dataclass
class Counts:
    """What became of the rows: used, or left out for one of three reasons."""

    n_rows: int = 0
    n_used: int = 0
    n_without_target: int = 0
    n_unseen_class: int = 0
    n_without_prediction: int = 0
    unseen: dict[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Raise unless some row was used."""
        if self.n_used:
            return
        message = (
            f"none of the {self.n_rows:,} rows can be used: {self.n_without_target:,} have no target, "
            f"{self.n_unseen_class:,} are of a class that the model does not know, "
            f"{self.n_without_prediction:,} cannot be predicted"
        )
        raise InvalidRequest(message, [Fault(AT, message, "no_rows")])


@dataclass(frozen=True)
class Scored:
    """Rows of a chunk that were used: their numbers in the table, and what the network says and should say of them."""

    rows: Array
    x: Array
    y: Array
    actual: Array
    outputs: Array
    costs: Array

    def picked(self, chosen: Array) -> "Scored":
        """Give some of the rows, by their places."""
        return Scored(*(values[chosen] for values in vars(self).values()))

    def joined(self, others: "Scored") -> "Scored":
        """Give these rows, then the others."""
        pairs = zip(vars(self).values(), vars(others).values(), strict=True)
        return Scored(*(np.concatenate(pair) for pair in pairs))


def scored(table: Path, subject: Subject, counts: Counts) -> Iterator[Scored]:
    """Give the rows that have a target and a prediction, chunk by chunk, and count the others."""
    scorer = subject.scorer(chunk_rows(subject.preprocessing))
    for chunk in chunks(table, subject.preprocessing, subject.dtype, with_targets=True):
        assert chunk.y is not None
        assert chunk.actual is not None
        kept = _with_known_target(chunk, counts)
        outputs, costs = scorer.score(chunk.x[kept], chunk.y[kept])
        good = chunk.usable[kept] & np.isfinite(outputs).all(axis=1) & ~np.isnan(costs)
        counts.n_without_prediction += int(np.count_nonzero(~good))
        counts.n_used += int(np.count_nonzero(good))
        rows = kept[good]
        yield Scored(chunk.start + rows, chunk.x[rows], chunk.y[rows], chunk.actual[rows], outputs[good], costs[good])


def _with_known_target(chunk: Chunk, counts: Counts) -> Array:
    """Give the places in the chunk of the rows that have a target which the model knows."""
    assert chunk.has_target is not None
    counts.n_rows += len(chunk.x)
    counts.n_without_target += int(np.count_nonzero(~chunk.has_target))
    for name, n in chunk.unseen.items():
        counts.n_unseen_class += n
        if name in counts.unseen or len(counts.unseen) < MAX_NAMED:
            counts.unseen[name] = counts.unseen.get(name, 0) + n
    known = chunk.has_target if chunk.actual is None or chunk.actual.ndim == 2 else chunk.actual >= 0
    return np.flatnonzero(known)


class Measures:
    """The loss and the metrics of a model, over rows that come chunk by chunk.

    Args:
        ranks: Whether `roc_auc` is asked for, which keeps the scores of all rows in memory.
    """

    def __init__(self, subject: Subject, *, ranks: bool) -> None:
        fitted = subject.preprocessing
        self._fitted = fitted
        self._n, self._cost = 0, 0.0
        self._classes: Classification | None = None
        self._numbers: Regression | None = None
        if fitted.task == "classification":
            n_classes = len(fitted.classes or ())
            self._classes = Classification(n_classes, probabilities=subject.probabilities, ranks=ranks)
        else:
            self._numbers = Regression(tuple(one.scale / one.unit for one in fitted.targets))

    def add(self, actual: Array, outputs: Array, costs: Array) -> None:
        """Add rows."""
        self._n += len(actual)
        with np.errstate(over="ignore", invalid="ignore"):  # a cost may be infinite
            self._cost += float(costs.sum())
        if self._classes is not None:
            self._classes.add(actual, outputs)
        if self._numbers is not None:
            self._numbers.add(actual, outputs)

    def read(self) -> dict[str, Any]:
        """Give the metrics by name, null where one is undefined or too large to be written."""
        loss = finite(self._cost / self._n)
        if self._classes is not None:
            return {"loss": loss, **_classification(self._classes, self._fitted)}
        assert self._numbers is not None
        return {"loss": loss, **_regression(self._numbers, self._fitted)}


def evaluate(table: Path, subject: Subject) -> dict[str, Any]:
    """Give the metrics over the whole table, and what became of its rows."""
    counts, measures = Counts(), Measures(subject, ranks=True)
    for rows in scored(table, subject, counts):
        measures.add(rows.actual, rows.outputs, rows.costs)
    counts.check()
    found = measures.read()
    ranked = found.pop("ranked", True)
    warnings = _warnings(counts)
    if not ranked:
        message = (
            f"roc_auc is left out: it needs the scores of all rows at once, and more than {MAX_SCORES:,} are not kept"
        )
        warnings.append({"code": "too_many_scores", "message": message})
    return {**found, **_shown(counts), "warnings": warnings}


def finite(value: float | None) -> float | None:
    """Give a number, or None if it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def _shown(counts: Counts) -> dict[str, Any]:
    return {
        "n_rows": counts.n_rows,
        "n_evaluated": counts.n_used,
        "n_without_target": counts.n_without_target,
        "n_unseen_class": counts.n_unseen_class,
        "n_without_prediction": counts.n_without_prediction,
        "unseen_classes": counts.unseen,
    }


def _warnings(counts: Counts) -> list[dict[str, str]]:
    found = []
    if counts.n_without_target:
        message = f"{counts.n_without_target:,} rows without a target are left out"
        found.append({"code": "missing_target", "message": message})
    if counts.n_unseen_class:
        message = f"{counts.n_unseen_class:,} rows of classes that the model does not know are left out"
        found.append({"code": "unseen_class", "message": message})
    if counts.n_without_prediction:
        message = f"{counts.n_without_prediction:,} rows that the model cannot predict are left out"
        found.append({"code": "unpredictable_rows", "message": message})
    return found


def _classification(classes: Classification, fitted: FittedPreprocessing) -> dict[str, Any]:
    found = classes.read()
    labels = list(fitted.classes or ())
    return {
        "accuracy": found.accuracy,
        "balanced_accuracy": found.balanced_accuracy,
        "roc_auc": found.roc_auc,
        "log_loss": found.log_loss,
        "per_class": {label: vars(one) for label, one in zip(labels, found.classes, strict=True)},
        "confusion_matrix": {"labels": labels, "counts": found.confusion.tolist()},
        "ranked": found.ranked,
    }


def _regression(numbers: Regression, fitted: FittedPreprocessing) -> dict[str, Any]:
    """Give the metrics over all targets as the history of a job has them, and those of each target."""
    found = numbers.read()
    n = len(found)
    with_r2 = [one.r2 for one in found if one.r2 is not None]
    return {
        "rmse": finite(math.hypot(*(one.rmse for one in found)) / math.sqrt(n)),
        "mae": finite(sum(one.mae for one in found) / n),
        "r2": finite(sum(with_r2) / n) if len(with_r2) == n else None,
        "per_target": {
            target.name: {"rmse": finite(one.rmse), "mae": finite(one.mae), "r2": finite(one.r2)}
            for target, one in zip(fitted.targets, found, strict=True)
        },
    }
