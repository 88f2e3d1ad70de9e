"""What can be done with a model and a dataset: predict, evaluate, and see what matters and which rows are hard."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.contract.evaluation import (
    OF_CLASSES,
    OF_NUMBERS,
    ClassificationEvaluation,
    EvaluateRequest,
    Importance,
    ImportanceRequest,
    Losses,
    LossesRequest,
    PredictionsFormat,
    RegressionEvaluation,
)
from app.contract.jobs import ResolvedNetwork
from app.contract.models import PredictRequest
from app.errors import Fault, InvalidRequest
from app.evaluation.processes import Work
from app.evaluation.subject import Subject, column_faults
from app.services import datasets, models
from app.services.installation import Installation
from app.services.specs import network_spec
from app.store import jobs as jobs_store
from app.store.session import Session
from app.store.tables import DatasetRow, ModelRow
from app.tables.fitted import FittedPreprocessing

MAX_CELLS = 100_000
# What a model was trained with, where no job says so.
USUAL_LOSSES = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}


@dataclass(frozen=True)
class _Pair:
    """A model and a dataset that has its columns."""

    model: ModelRow
    dataset: DatasetRow
    subject: Subject

    @property
    def ids(self) -> dict[str, str]:
        return {"model_id": self.model.id, "dataset_id": self.dataset.id}


def predictions(
    installation: Installation, owner: str, model_id: str, request: PredictRequest, format: PredictionsFormat
) -> Work:
    """Begin to predict a dataset; the pieces of the work are the file. The caller closes it.

    Raises:
        InvalidRequest: The dataset does not fit the model; every reason is listed.
    """
    models.check_predict(request, installation.settings.max_predict_rows)
    pair = _pair(installation, owner, model_id, request.dataset_id or "", with_targets=False)
    table = datasets.table_path(installation, pair.dataset.id)
    return installation.appliers.begin("predict", table, pair.subject, format)


def evaluate(
    installation: Installation, owner: str, model_id: str, request: EvaluateRequest
) -> ClassificationEvaluation | RegressionEvaluation:
    """Measure a model on a dataset."""
    pair = _pair(installation, owner, model_id, request.dataset_id, with_targets=True)
    table = datasets.table_path(installation, pair.dataset.id)
    found: Mapping[str, Any] = installation.appliers.answer("evaluate", table, pair.subject)
    answer = ClassificationEvaluation if pair.model.task == "classification" else RegressionEvaluation
    fields = {**pair.ids, "task": pair.model.task, "loss_name": pair.subject.loss, **found}
    return answer.model_validate(fields)


def importance(installation: Installation, owner: str, model_id: str, request: ImportanceRequest) -> Importance:
    """Say how much each column matters to a model."""
    pair = _pair(installation, owner, model_id, request.dataset_id, with_targets=True)
    allowed = OF_CLASSES if pair.model.task == "classification" else OF_NUMBERS
    if request.metric not in allowed:
        message = f"A {pair.model.task} has no {request.metric}."
        raise InvalidRequest(message, [Fault("/metric", message, "not_allowed", tuple(allowed))])
    found: Mapping[str, Any] = installation.appliers.answer(
        "importance",
        datasets.table_path(installation, pair.dataset.id),
        pair.subject,
        request.metric,
        repeats=request.repeats,
        seed=request.seed,
        max_rows=request.max_rows,
    )
    asked = {"metric": request.metric, "repeats": request.repeats, "seed": request.seed}
    return Importance.model_validate({**pair.ids, **asked, **found})


def losses(installation: Installation, owner: str, model_id: str, request: LossesRequest) -> Losses:
    """Give the rows of a dataset that cost a model most."""
    pair = _pair(installation, owner, model_id, request.dataset_id, with_targets=True)
    most = max(MAX_CELLS // len(pair.dataset.columns), 1)
    if request.limit > most:
        message = f"The dataset has {len(pair.dataset.columns):,} columns; ask for at most {most:,} of its rows."
        raise InvalidRequest(message, [Fault("/limit", message, "too_many")])
    table = datasets.table_path(installation, pair.dataset.id)
    found: Mapping[str, Any] = installation.appliers.answer("hardest", table, pair.subject, request.limit)
    return Losses.model_validate({**pair.ids, "loss_name": pair.subject.loss, **found})


def _pair(installation: Installation, owner: str, model_id: str, dataset_id: str, *, with_targets: bool) -> _Pair:
    """Find both, and see that they fit. No session is held while the dataset is worked through.

    Raises:
        NotFound: There is no such model.
        InvalidRequest: There is no such dataset, or it does not fit the model.
    """
    with installation.database.reading() as session:
        model = models.find(session, owner, model_id)
        dataset = datasets.named(session, owner, dataset_id, "/dataset_id")
        loss, loss_parameters = _loss(session, owner, model)
    fitted = FittedPreprocessing.from_json(model.preprocessing)
    faults = column_faults(fitted, datasets.columns_of(dataset), with_targets=with_targets)
    if faults:
        raise InvalidRequest("The dataset does not fit the model.", faults)
    network = network_spec(ResolvedNetwork.model_validate(model.network))
    return _Pair(
        model,
        dataset,
        Subject(network, models.npz_path(installation, model), model.dtype, fitted, loss, loss_parameters),
    )


def _loss(session: Session, owner: str, model: ModelRow) -> tuple[str, Mapping[str, Any]]:
    """Give the loss that the model was trained with, and its parameters; the usual one if its job is not there."""
    job = jobs_store.find(session, owner, model.job_id) if model.job_id is not None else None
    if job is not None:
        training = job.resolved["training"]
        return training["loss"], training["loss_parameters"]
    if model.task == "regression":
        return "mean_squared_error", {}
    output = ResolvedNetwork.model_validate(model.network).output_activation
    return USUAL_LOSSES.get(output, "quadratic"), {}
