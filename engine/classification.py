"""How well classes are told apart, over rows that come block by block; and how well scores rank them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from engine.arrays import Array

MAX_SCORES = 32 << 20


@dataclass(frozen=True)
class ClassScores:
    """How well one class is told from the others; 0 where there is nothing to divide by.

    ``roc_auc`` is None unless there are rows of the class and rows of others (and scores were kept).
    """

    precision: float
    recall: float
    f1: float
    support: int
    roc_auc: float | None


@dataclass(frozen=True)
class ClassificationScores:
    """The metrics of a classification.

    Attributes:
        confusion: rows of each class (first axis) that were said to be of each class (second axis).
        balanced_accuracy: mean recall of the classes that there are rows of.
        log_loss: mean of ``-log p`` of the actual class, ``p`` kept a rounding error away from 0 and 1; None if the
            outputs are no probabilities.
        roc_auc: of the second of two classes; of more, the mean over the classes, each against the others, or None if
            one of them has none.
        ranked: whether the scores of all rows were kept; without them there is no ``roc_auc``.
    """

    confusion: Int[Array, "n_classes n_classes"]
    accuracy: float
    balanced_accuracy: float
    log_loss: float | None
    roc_auc: float | None
    classes: tuple[ClassScores, ...]
    ranked: bool


class Classification:
    """Adds up the metrics of a classification.

    ``ranks`` asks for ``roc_auc``, which needs the scores of all rows at once: rows times classes of them (rows, for two
    classes), and at most ``max_scores``; with more it is given up.
    """

    def __init__(
        self, n_classes: int, *, probabilities: bool, ranks: bool = True, max_scores: int = MAX_SCORES
    ) -> None:
        self._n_classes, self._probabilities = n_classes, probabilities
        self._ranks, self._room = ranks, max_scores
        self._confusion = np.zeros((n_classes, n_classes), np.int64)
        self._log_loss = 0.0
        self._scores: list[Array] = []
        self._actual: list[Array] = []

    def add(self, actual: Int[Array, " n"], outputs: Float[Array, "n n_outputs"]) -> None:
        """Add rows: the place of the class of each, and what the network says; all outputs are finite."""
        places = actual * self._n_classes + answers(outputs)
        self._confusion += np.bincount(places, minlength=self._confusion.size).reshape(self._confusion.shape)
        if self._probabilities:
            eps = np.finfo(outputs.dtype).eps
            p = np.clip(of_actual(actual, outputs), eps, 1 - eps)
            self._log_loss -= float(np.log(p, dtype=np.float64).sum())
        if self._ranks:
            self._keep(actual, outputs)

    def _keep(self, actual: Int[Array, " n"], outputs: Float[Array, "n n_outputs"]) -> None:
        scores = outputs
        if self._n_classes == 2 and outputs.shape[1] == 2:
            scores = outputs[:, 1:] if self._probabilities else outputs[:, 1:] - outputs[:, :1]
        self._room -= scores.size
        if self._room < 0:
            self._ranks = False
            self._scores, self._actual = [], []
        else:
            self._scores.append(scores.copy())
            self._actual.append(actual.astype(np.int32))

    def read(self) -> ClassificationScores:
        """The metrics of the rows so far, of which there is at least one."""
        confusion, n = self._confusion, int(self._confusion.sum())
        right, support, said = np.diag(confusion), confusion.sum(1), confusion.sum(0)
        precision, recall, f1 = _ratio(right, said), _ratio(right, support), _ratio(2 * right, said + support)
        areas = self._areas()
        mean = None if None in areas else sum(area for area in areas if area is not None) / len(areas)
        return ClassificationScores(
            confusion=confusion,
            accuracy=float(right.sum()) / n,
            balanced_accuracy=float(recall[support > 0].mean()),
            log_loss=self._log_loss / n if self._probabilities else None,
            roc_auc=areas[1] if self._n_classes == 2 else mean,
            classes=tuple(map(ClassScores, precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), areas)),
            ranked=self._ranks,
        )

    def _areas(self) -> list[float | None]:
        """The area of each class against the others; of two classes it is the same for both."""
        if not self._ranks or not self._scores:
            return [None] * self._n_classes
        scores, actual = np.concatenate(self._scores), np.concatenate(self._actual)
        if self._n_classes == 2:
            return [roc_auc(actual == 1, scores[:, 0])] * 2
        return [roc_auc(actual == place, scores[:, place]) for place in range(self._n_classes)]


def answers(outputs: Float[Array, "n n_outputs"]) -> Int[Array, " n"]:
    """The class that each row is said to be of: the first of the largest outputs; a single output says 1 above a half."""
    if outputs.shape[1] == 1:
        return np.asarray(outputs[:, 0] > 0.5, np.int64)
    return np.asarray(outputs.argmax(1), np.int64)


def of_actual(actual: Int[Array, " n"], outputs: Float[Array, "n n_outputs"]) -> Float[Array, " n"]:
    """The output for the actual class of each row; a single output is that of the class 1."""
    if outputs.shape[1] == 1:
        return np.where(actual == 1, outputs[:, 0], 1 - outputs[:, 0])
    return np.take_along_axis(outputs, actual[:, None], 1)[:, 0]


def roc_auc(positive: Bool[Array, " n"], scores: Float[Array, " n"]) -> float | None:
    """The share of pairs (a positive row, another) of which the positive has the higher score; equal scores are a half.

    It is exact: pairs are counted in integers. None if there are no pairs.
    """
    n_positive = int(np.count_nonzero(positive))
    n_pairs = n_positive * (len(positive) - n_positive)
    if n_pairs == 0:
        return None
    order = scores.argsort()
    ordered = scores[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)  # the last row of each equal score
    up_to = positive[order].cumsum(dtype=np.int64)[last]
    positives = np.diff(up_to, prepend=0)
    others = np.diff(last + 1 - up_to, prepend=0)
    below = others.cumsum() - others
    return int((positives * (2 * below + others)).sum()) / (2 * n_pairs)


def _ratio(part: Int[Array, " n_classes"], whole: Int[Array, " n_classes"]) -> Float[Array, " n_classes"]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
