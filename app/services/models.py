"""What can be done with models."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contract.base import Page
from app.contract.jobs import EpochSummary, ResolvedNetwork
from app.contract.models import Model, ModelLinks, Prediction, Predictions, PredictRequest, Receipt
from app.errors import Fault, InvalidRequest, NotFound
from app.exports.card import model_card
from app.exports.weights import from_npz
from app.services import exports
from app.services.installation import Installation
from app.services.specs import network_spec
from app.store import models as store
from app.store import weights
from app.store.session import Session
from app.store.tables import ModelRow
from app.tables.fitted import FittedPreprocessing
from engine.predict import predict as feed_forward
from engine.spec import NetworkSpec
from engine.weights import flat_parameters

KEPT_MODELS = 32


@dataclass(frozen=True)
class Loaded:
    """A model in memory, ready to predict."""

    network: NetworkSpec
    parameters: NDArray[np.floating]
    preprocessing: FittedPreprocessing


class _LoadedModels:
    """The models that were used last. They never change, so that none is ever stale."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, installation: Installation, row: ModelRow) -> Loaded:
        """Give a model, from memory or from its file."""
        key = f"{row.id}:{row.sha256}"
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
                return self._models[key]
        network = network_spec(ResolvedNetwork.model_validate(row.network))
        arrays = named_weights(installation, row)
        loaded = Loaded(
            network, flat_parameters(network, arrays, row.dtype), FittedPreprocessing.from_json(row.preprocessing)
        )
        with self._lock:
            self._models[key] = loaded
            while len(self._models) > KEPT_MODELS:
                self._models.popitem(last=False)
        return loaded


_loaded = _LoadedModels()
# Matrix products from several threads at once have given wrong numbers; they take turns.
_one_at_a_time = threading.Lock()


def get(session: Session, owner: str, model_id: str) -> Model:
    """Give a model."""
    return describe(find(session, owner, model_id))


def card(session: Session, owner: str, model_id: str) -> str:
    """Give the model card, as Markdown."""
    row = find(session, owner, model_id)
    model = describe(row)
    return model_card(
        model, network_spec(model.network), FittedPreprocessing.from_json(row.preprocessing), row.training or {}
    )


def receipt(session: Session, owner: str, model_id: str) -> Receipt:
    """Give the receipt of a model."""
    row = find(session, owner, model_id)
    if row.receipt is None:
        raise NotFound("The model was not trained here, or by a version that wrote no receipts.")
    return Receipt.model_validate(row.receipt)


def newest(session: Session, owner: str, *, cursor: str | None, limit: int) -> Page[Model]:
    """List the models."""
    page = store.newest(session, owner, cursor=cursor, limit=limit)
    return Page(items=[describe(row) for row in page.items], next_cursor=page.next_cursor)


def delete(installation: Installation, owner: str, model_id: str) -> None:
    """Delete a model and its files."""
    with installation.database.transaction() as session:
        row = find(session, owner, model_id)
        session.delete(row)
    exports.delete_files(installation, row)


def named_weights(installation: Installation, row: ModelRow) -> dict[str, NDArray[np.floating]]:
    """Give the weights of a model by name.

    Raises:
        NotFound: The model was deleted since its row was read.
    """
    try:
        return from_npz(npz_path(installation, row).read_bytes())
    except FileNotFoundError:
        raise NotFound("There is no such model.") from None


def predict(installation: Installation, owner: str, model_id: str, request: PredictRequest) -> Predictions:
    """Say what a model makes of some rows."""
    check_predict(request, installation.settings.max_predict_rows)
    with installation.database.reading() as session:
        row = find(session, owner, model_id)
    model = _loaded.get(installation, row)
    x = (
        model.preprocessing.encode_rows(request.rows, row.dtype)
        if request.rows is not None
        else model.preprocessing.encode_inputs(request.inputs or [], row.dtype)
    )
    with _one_at_a_time:
        outputs = feed_forward(model.network, model.parameters, x)
    probabilities = row.task == "classification" and model.network.layers[-1].activation in {"sigmoid", "softmax"}
    decoded = model.preprocessing.decode(outputs, probabilities=probabilities)
    return Predictions(
        predictions=[Prediction(value=one["value"], probabilities=one.get("probabilities")) for one in decoded]
    )


def check_predict(request: PredictRequest, max_rows: int) -> None:
    """See that one thing is to be predicted, and not too much of it."""
    if sum(given is not None for given in (request.rows, request.inputs, request.dataset_id)) != 1:
        message = "Give either `rows`, `inputs` or `dataset_id`."
        raise InvalidRequest(message, [Fault("/rows", message, "one_of")])
    field, n_rows = ("rows", len(request.rows)) if request.rows is not None else ("inputs", len(request.inputs or []))
    if n_rows > max_rows:
        message = f"At most {max_rows:,} rows at once."
        raise InvalidRequest(message, [Fault(f"/{field}", message, "too_many")])


def find(session: Session, owner: str, model_id: str) -> ModelRow:
    """Give the row of a model, or say that there is none."""
    row = store.find(session, owner, model_id)
    if row is None:
        raise NotFound("There is no such model.")
    return row


def describe(row: ModelRow) -> Model:
    """Say what a client hears of a model."""
    network = ResolvedNetwork.model_validate(row.network)
    return Model(
        id=row.id,
        name=row.name,
        job_id=row.job_id,
        dataset_id=row.dataset_id,
        task=row.task,
        network=network,
        n_parameters=network_spec(network).n_parameters,
        dtype=row.dtype,
        preprocessing=row.preprocessing,
        epoch=row.epoch,
        metrics=None if row.metrics is None else EpochSummary.model_validate(row.metrics),
        monotone=row.monotone,
        environment=row.environment,
        receipt=row.receipt and Receipt.model_validate(row.receipt),
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        verified=exports.verified(row, "weights"),
        versions=exports.versions(row),
        dataset_sha256=row.dataset_sha256,
        created_at=row.created_at,
        links=ModelLinks(
            self=f"/v1/models/{row.id}",
            weights=f"/v1/models/{row.id}/weights",
            card=f"/v1/models/{row.id}/card",
            predict=f"/v1/models/{row.id}/predict",
            receipt=row.receipt and f"/v1/models/{row.id}/receipt",
            job=row.job_id and f"/v1/jobs/{row.job_id}",
        ),
    )


def npz_path(installation: Installation, row: ModelRow) -> Path:
    """Give the file of a model's own weights."""
    return installation.blobs.get(f"{weights.files_of(row)}/weights.npz", sha256=row.sha256)
