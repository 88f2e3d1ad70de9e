"""Models at work: predict rows or a whole dataset, evaluate, see which columns matter and which rows are hard."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from app.api.deps import Installed, Owner
from app.api.media import BINARY
from app.api.streams import WorkResponse
from app.contract.evaluation import (
    EvaluateRequest,
    Evaluation,
    Importance,
    ImportanceRequest,
    Losses,
    LossesRequest,
    PredictionsFormat,
)
from app.contract.models import Predictions, PredictRequest
from app.errors import Fault, NotAcceptable
from app.services import evaluation, models

router = APIRouter(prefix="/v1/models", tags=["models"])

MAX_PREDICT_BYTES = 16 * 2**20
_MEDIA_TYPES = {PredictionsFormat.CSV: "text/csv", PredictionsFormat.PARQUET: "application/vnd.apache.parquet"}
_ACCEPTED = {
    PredictionsFormat.CSV: {"*/*", "text/*", "text/csv"},
    PredictionsFormat.PARQUET: {"application/*", "application/vnd.apache.parquet", "application/x-parquet"},
}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON for rows; for a dataset a file with a line a row, in the order of the rows: the predicted value "
        "under the name of the target (a column a target, if there are several), and for a classification the probability of "
        "each class as `p_` and its name. A row that cannot be predicted is left blank.",
        "content": dict.fromkeys(_MEDIA_TYPES.values(), BINARY),
    }
}


@router.post("/{model_id}/predict", max_body_size=MAX_PREDICT_BYTES, response_model=Predictions, responses=_FILES)
def predict(request: Request, rows: PredictRequest, installed: Installed, owner: Owner, model_id: str) -> Response:
    """Predict rows, or a whole dataset, with a model.

    Columns are prepared as they were in training; what is missing or was not seen in training follows the fitted rule. A
    dataset is answered as CSV, or as Parquet if `Accept` asks for `application/vnd.apache.parquet`, while it is predicted:
    nobody waits for the end. If the connection ends early, the file is not whole.
    """
    if rows.dataset_id is None:
        answer = models.predict(installed, owner, model_id, rows)
        return Response(answer.model_dump_json(), media_type="application/json")
    format = _by_accept(request.headers.get("accept", "*/*"))
    work = evaluation.predictions(installed, owner, model_id, rows, format)
    headers = {"Content-Disposition": f'attachment; filename="{model_id}-{rows.dataset_id}.{format}"'}
    return WorkResponse(work, media_type=_MEDIA_TYPES[format], headers=headers)


@router.post("/{model_id}/evaluate")
def evaluate(
    request: Annotated[EvaluateRequest, Body()], installed: Installed, owner: Owner, model_id: str
) -> Evaluation:
    """Measure a model on a dataset that has its features and its target.

    Rows without a target, of a class that the model does not know, or that it cannot predict are left out of every figure, and
    counted. Every row counts once: weights of the training play no part.
    """
    return evaluation.evaluate(installed, owner, model_id, request)


@router.post("/{model_id}/importance")
def importance(
    request: Annotated[ImportanceRequest, Body()], installed: Installed, owner: Owner, model_id: str
) -> Importance:
    """Find out what each column matters: how much a metric worsens when its values are shuffled among the rows.

    Columns that say the same thing stand in for each other, and then each seems to matter little.
    """
    return evaluation.importance(installed, owner, model_id, request)


@router.post("/{model_id}/losses")
def losses(request: Annotated[LossesRequest, Body()], installed: Installed, owner: Owner, model_id: str) -> Losses:
    """Give the rows of a dataset that cost the model most: mislabelled ones are often among them."""
    return evaluation.losses(installed, owner, model_id, request)


def _by_accept(accept: str) -> PredictionsFormat:
    asked = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    for format, media_types in _ACCEPTED.items():
        if asked & media_types:
            return format
    fault = Fault("header:accept", "Ask for one of these.", "not_allowed", tuple(_MEDIA_TYPES.values()))
    raise NotAcceptable("The predictions of a dataset cannot be had in that media type.", [fault])
