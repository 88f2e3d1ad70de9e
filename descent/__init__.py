"""The client of Descent: train multilayer perceptrons through its service.

>>> from descent import Client
>>> job = Client().jobs.create(Client().datasets.create("iris.csv"), target="species")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from app.contract.foreign import InitialWeights
from app.contract.jobs import Epoch, InlineData, Plan, Status, TrainingChanges
from app.contract.models import Prediction
from app.contract.network import EarlyStopping, HiddenLayer, KeepCheckpoints, Network, Training
from app.contract.preprocessing import (
    ColumnValidation,
    DatasetValidation,
    GroupValidation,
    Preprocessing,
    TimeValidation,
    Validation,
)
from descent.async_client import AsyncClient
from descent.async_handles import AsyncDataset, AsyncJob, AsyncModel
from descent.client import Client
from descent.errors import (
    APIError,
    BadRequest,
    Conflict,
    Corrupt,
    DatasetInUse,
    DescentError,
    ExportFailed,
    IllegalTransition,
    InvalidRequest,
    JobFailed,
    KeyReused,
    NoModel,
    NotConverted,
    NotFound,
    NotPrepared,
    ServerError,
    StorageFull,
    TooLarge,
    TooManyRequests,
    Unavailable,
    Unreachable,
    UnreadableDataset,
    UnsupportedFormat,
    WaitTimeout,
)
from descent.flow import Retries
from descent.handles import Dataset, Job, Model
from descent.specs import optimizer, schedule

if TYPE_CHECKING:
    from descent.estimators import DescentClassifier as DescentClassifier
    from descent.estimators import DescentRegressor as DescentRegressor

__all__ = [
    "APIError",
    "AsyncClient",
    "AsyncDataset",
    "AsyncJob",
    "AsyncModel",
    "BadRequest",
    "Client",
    "ColumnValidation",
    "Conflict",
    "Corrupt",
    "Dataset",
    "DatasetInUse",
    "DatasetValidation",
    "DescentError",
    "EarlyStopping",
    "Epoch",
    "ExportFailed",
    "GroupValidation",
    "HiddenLayer",
    "IllegalTransition",
    "InitialWeights",
    "InlineData",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "KeepCheckpoints",
    "KeyReused",
    "Model",
    "Network",
    "NoModel",
    "NotConverted",
    "NotFound",
    "NotPrepared",
    "Plan",
    "Prediction",
    "Preprocessing",
    "Retries",
    "ServerError",
    "Status",
    "StorageFull",
    "TimeValidation",
    "TooLarge",
    "TooManyRequests",
    "Training",
    "TrainingChanges",
    "Unavailable",
    "Unreachable",
    "UnreadableDataset",
    "UnsupportedFormat",
    "Validation",
    "WaitTimeout",
    "optimizer",
    "schedule",
]


def __getattr__(name: str) -> Any:
    """Import scikit-learn's estimators when they are asked for: it takes seconds, and may not be installed."""
    if name in {"DescentClassifier", "DescentRegressor"}:
        from descent import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
