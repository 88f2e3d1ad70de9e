"""How much each row counts: by a column of the table, by its class, or both."""

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from app.contract.preprocessing import ClassWeight
from app.errors import Fault
from app.tables.faults import pointer, shown
from app.tables.fitted import Array, FittedPreprocessing, FittedTarget
from app.tables.selection import Selection, numbers, places, read_columns
from app.tables.words import as_text


def fit_class_weights(
    class_weight: ClassWeight | None, table: Path, target: FittedTarget, selection: Selection, faults: list[Fault]
) -> tuple[float, ...] | None:
    """Give the weight of each class, in the order of the classes; None if all count the same.

    `balanced` is n_rows / (n_classes * rows of the class), over the training rows. A class that is not named counts 1.
    """
    if class_weight is None:
        return None
    at = "/class_weight"
    if target.classes is None:
        faults.append(Fault(at, "a regression has no classes", "not_a_classification"))
        return None
    labels = [as_text(value) for value in target.classes]
    if class_weight == "balanced":
        values = read_columns(table, [target.name])[target.name].gather(selection.train)
        counts = np.bincount(places(values, target.classes), minlength=len(labels))
        return tuple((selection.n_train / (len(labels) * counts)).tolist())
    for name in class_weight:
        if name not in labels:
            message = f"{shown(name)} is not a class of {shown(target.name)}"
            faults.append(Fault(pointer("class_weight", name), message, "unknown_class", tuple(labels[:50])))
    return tuple(class_weight.get(label, 1.0) for label in labels)


def check_sample_weights(table: Path, name: str, selection: Selection, faults: list[Fault]) -> None:
    """See that the rows of each side count something."""
    weights = numbers(read_columns(table, [name])[name])
    for side, rows in (("training", selection.train), ("validation", selection.held_out)):
        if len(rows) and not weights[rows].any():
            message = f"no {side} row has a weight above 0 in {shown(name)}"
            faults.append(Fault("/sample_weight", message, "no_weight"))


def row_weights(table: Path, fitted: FittedPreprocessing, dtype: DTypeLike) -> Array | None:
    """Give how much each row of the table counts; None if all count the same."""
    if fitted.sample_weight is None and fitted.class_weights is None:
        return None
    target = fitted.targets[0]
    names = [target.name, *([fitted.sample_weight] if fitted.sample_weight is not None else [])]
    held = read_columns(table, names)
    weights = np.ones(held.height)
    if fitted.sample_weight is not None:
        weights = numbers(held[fitted.sample_weight])
    if fitted.class_weights is not None:
        # A row without a class is on neither side; its place, -1, is as good as any.
        weights = weights * np.array(fitted.class_weights)[places(held[target.name], target.classes or ())]
    return weights.astype(dtype)
