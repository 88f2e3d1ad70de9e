"""What a caller says, as the service wants to hear it: JSON with nothing that was not said."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypedDict
from urllib.parse import quote

from pydantic import BaseModel

from app.contract.datasets import Dataset
from app.contract.foreign import InitialWeights
from app.contract.models import Model
from app.contract.network import Network, Training
from app.contract.preprocessing import AnyValidation, ClassWeight, Preprocessing, Task
from descent.sources import plain

DatasetOrId: TypeAlias = Dataset | str
Json: TypeAlias = Mapping[str, Any]


class _Unsaid:
    """Not given; null can mean something else than the default."""

    def __repr__(self) -> str:
        return "..."


UNSAID: Final[Any] = _Unsaid()


class JobOptions(TypedDict, total=False):
    """What can be said of a job beside its dataset and its target; what is left out has the service's default.

    The models (`Network`, `Training`, `Preprocessing`, …) are the service's own; plain dictionaries of the same fields do as well.
    """

    features: list[str] | None
    task: Task | str
    network: Network | Json
    training: Training | Json
    preprocessing: Preprocessing | Json
    validation: AnyValidation | Json | None
    sample_weight: str | None
    class_weight: ClassWeight | None
    initial_weights: InitialWeights | Model | Json | None
    name: str | None
    tags: dict[str, str]
    priority: int
    data: Json


def job_body(
    dataset: DatasetOrId | None, target: str | Sequence[str] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Make the body of a job."""
    said = {name: said_of(value) for name, value in options.items() if value is not UNSAID}
    if dataset is not None:
        said["dataset_id"] = id_of(dataset)
    if target is not None:
        said["target"] = target if isinstance(target, str) else list(target)
    start = options.get("initial_weights")
    if isinstance(start, Model):
        said["initial_weights"] = {"model_id": start.id}
    return said


def said_of(value: Any) -> Any:
    """Give a model of the contract as JSON, with the fields that were set alone; the service fills in the rest."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: said_of(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [said_of(one) for one in value]
    return value


def id_of(thing: Any) -> str:
    """Give the id of a dataset, a job or a model, or the id itself."""
    return thing if isinstance(thing, str) else str(thing.id)


def quoted(id: str) -> str:
    """Give an id as it stands in a path, whatever is in it.

    Raises:
        ValueError: It would name another place: it is empty, or dots, or has a slash, which a server takes for one even quoted.
    """
    if id in {"", ".", ".."} or "/" in id:
        raise ValueError(f"{id!r} is no id.")
    return quote(id, safe="")


def predict_body(rows: Any) -> tuple[str, list[Any]]:
    """Say what rows are: objects by column (`rows`) or lists of numbers (`inputs`).

    Args:
        rows: Objects by column name, a pandas data frame, lists of numbers, or an array `(rows, features)`.
    """
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        rows = rows.to_dict("records")
    elif hasattr(rows, "tolist"):
        rows = rows.tolist()
    listed = [rows] if isinstance(rows, Mapping) else list(rows)
    if listed and isinstance(listed[0], Mapping):
        return "rows", [{str(key): plain(value) for key, value in row.items()} for row in listed]
    return "inputs", [[plain(value) for value in _row(row)] for row in listed]


def _row(row: Any) -> Iterable[Any]:
    if not isinstance(row, Iterable) or isinstance(row, str):
        raise TypeError("Rows are objects by column name, or lists of numbers; for one row, give a list with one.")
    return row
