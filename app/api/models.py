"""Models: look, download, predict, delete."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status

from app.api.answers import download, tagged
from app.api.deps import Cursor, Installed, Limit, Owner, Reading
from app.contract.base import Page
from app.contract.models import Model, Predictions, PredictRequest, Receipt, Weights, WeightsFormat
from app.errors import Fault, NotAcceptable
from app.services import models

router = APIRouter(prefix="/v1/models", tags=["models"])

MAX_PREDICT_BYTES = 16 * 2**20
MEDIA_TYPES = {WeightsFormat.NPZ: "application/octet-stream", WeightsFormat.JSON: "application/json"}


@router.get("")
def list_models(session: Reading, owner: Owner, limit: Limit = 20, cursor: Cursor = None) -> Page[Model]:
    """List models, newest first."""
    return models.newest(session, owner, cursor=cursor, limit=limit)


@router.get("/{model_id}", response_model=Model)
def get_model(request: Request, session: Reading, owner: Owner, model_id: str) -> Response:
    """Give a model."""
    return tagged(request, models.get(session, owner, model_id))


@router.get("/{model_id}/receipt", response_model=Receipt)
def get_receipt(request: Request, session: Reading, owner: Owner, model_id: str) -> Response:
    """Give what a model was made of and where, and the chain of hashes of its training."""
    return tagged(request, models.receipt(session, owner, model_id))


@router.delete("/{model_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_model(installed: Installed, owner: Owner, model_id: str) -> None:
    """Delete a model and its weights."""
    models.delete(installed, owner, model_id)


@router.get(
    "/{model_id}/weights",
    response_model=Weights,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def download_weights(
    request: Request,
    installed: Installed,
    session: Reading,
    owner: Owner,
    model_id: str,
    format: Annotated[WeightsFormat | None, Query(description="null: by `Accept`, else npz.")] = None,
) -> Response:
    """Download the weights: `layers.0.weight` `(units_out, units_in)`, `layers.0.bias` `(units_out,)`, and so on.

    The ETag is the SHA-256 of the file. Takes `Range`.
    """
    chosen = format or by_accept(request.headers.get("accept", "*/*"))
    file = models.weights_file(installed, session, owner, model_id, chosen)
    return download(
        request, file.path, sha256=file.sha256, file_name=f"{model_id}.{chosen}", media_type=MEDIA_TYPES[chosen]
    )


def by_accept(accept: str) -> WeightsFormat:
    """Choose a format by what a client accepts."""
    asked = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if asked & {"*/*", "application/*", "application/octet-stream", "application/x-npz"}:
        return WeightsFormat.NPZ
    if "application/json" in asked:
        return WeightsFormat.JSON
    fault = Fault("?format", "Ask for one of these.", "not_allowed", tuple(WeightsFormat))
    raise NotAcceptable("The weights cannot be had in that media type.", [fault])


@router.post("/{model_id}/predict", max_body_size=MAX_PREDICT_BYTES)
def predict(rows: PredictRequest, installed: Installed, session: Reading, owner: Owner, model_id: str) -> Predictions:
    """Predict rows with a model. Columns are prepared as they were in training; what was missing or unseen follows its rule."""
    return models.predict(installed, session, owner, model_id, rows)
