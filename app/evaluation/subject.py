"""A model and the columns of a dataset: whether they fit. Imports no polars: a request is checked with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.contract.datasets import Column, Kind
from app.errors import Fault
from app.exports.weights import from_npz
from app.tables.faults import MAX_ALLOWED, shown
from app.tables.fitted import FittedInput, FittedPreprocessing, FittedTarget
from engine.arrays import Array
from engine.losses import LOSSES, Loss
from engine.parameters import Value
from engine.predict import Scorer
from engine.spec import NetworkSpec
from engine.weights import flat_parameters

AT = "/dataset_id"


@dataclass(frozen=True)
class Subject:
    """A model, as the process that applies it is told of it.

    Args:
        weights: The `.npz` file.
        loss: What a row costs is measured with; as the model was trained, if that is known.
    """

    network: NetworkSpec
    weights: Path
    dtype: str
    preprocessing: FittedPreprocessing
    loss: str
    loss_parameters: Mapping[str, Value] = field(default_factory=dict)

    @property
    def probabilities(self) -> bool:
        """Whether the outputs are probabilities of classes."""
        last = self.network.layers[-1].activation
        return self.preprocessing.task == "classification" and last in {"sigmoid", "softmax"}

    def parameters(self) -> Array:
        """Read the weights."""
        return flat_parameters(self.network, from_npz(self.weights.read_bytes()), self.dtype)

    def scorer(self, n_rows: int) -> Scorer:
        """Make the network ready to answer up to so many rows at a time."""
        loss: Loss = LOSSES[self.loss].with_parameters(self.loss_parameters)
        return Scorer(self.network, self.parameters(), loss, n_rows)


def column_faults(fitted: FittedPreprocessing, columns: Sequence[Column], *, with_targets: bool) -> list[Fault]:
    """Give everything about a dataset's columns that keeps a model from being applied to it."""
    by_name = {column.name: column for column in columns}
    inputs = {one.name: one for one in fitted.inputs}
    wanted: list[FittedInput | FittedTarget] = [*inputs.values(), *(fitted.targets if with_targets else ())]
    return [fault for one in wanted for fault in _faults(one, by_name)]


def _faults(one: FittedInput | FittedTarget, by_name: Mapping[str, Column]) -> Iterator[Fault]:
    role = "target" if isinstance(one, FittedTarget) else "feature"
    column = by_name.get(one.name)
    if column is None:
        message = f"the dataset lacks the model's {role} {shown(one.name)}"
        yield Fault(AT, message, "lacking_column", tuple(by_name)[:MAX_ALLOWED])
        return
    is_empty = column.n_unique == 0
    wanted = _wanted(one)
    if not is_empty and not _fits(column, wanted):
        message = f"the {role} {shown(one.name)} is {column.kind} in the dataset; the model needs {wanted}"
        yield Fault(AT, message, "wrong_kind")


def _wanted(one: FittedInput | FittedTarget) -> str:
    """Say what a column must hold."""
    if isinstance(one, FittedTarget):
        if one.classes is None:
            return "numbers"
        if all(isinstance(value, bool) for value in one.classes):
            return "truth values"
        return "categories" if isinstance(one.classes[0], str) else "numbers"
    if one.categories is not None:
        return "categories"
    return {Kind.DATETIME: "times", Kind.BOOLEAN: "truth values"}.get(one.kind, "numbers")


def _fits(column: Column, wanted: str) -> bool:
    """Tell whether a column can be taken for what is wanted; numbers can be categories, as in rows sent to a prediction."""
    match wanted:
        case "times":
            return column.kind is Kind.DATETIME
        case "categories":
            return column.kind is not Kind.DATETIME
        case "truth values":
            zero_or_one = column.n_unique <= 2 and {column.min, column.max} <= {0.0, 1.0}
            return column.kind is Kind.BOOLEAN or (column.kind is Kind.NUMERIC and zero_or_one)
        case _:
            # Numbers of which all are 0 or 1 are taken for truth values, unlike the words `true` and `false`.
            zero_or_one = column.kind is Kind.BOOLEAN and set(column.categories or ()) <= {"0", "1"}
            return column.kind is Kind.NUMERIC or zero_or_one
