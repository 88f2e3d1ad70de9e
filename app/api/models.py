"""Models: look, download, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import JSONResponse

from app.api.answers import download, tagged, tagged_text
from app.api.deps import Cursor, Installed, Limit, Owner, Reading
from app.api.media import BINARY, SENT_AS, preferred
from app.contract.base import Page
from app.contract.models import Model, Receipt, Weights, WeightsFormat, Which
from app.services import exports, models

router = APIRouter(prefix="/v1/models", tags=["models"])


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


def _files(*formats: WeightsFormat) -> dict[int | str, dict[str, Any]]:
    """Say what is answered where a file of one of these formats is."""
    return {
        200: {
            "description": "The file.",
            "content": {SENT_AS[format]: {} if format == WeightsFormat.JSON else BINARY for format in formats},
            "headers": {
                "ETag": {"description": "The SHA-256 of the file, in quotes.", "schema": {"type": "string"}},
                "Content-Disposition": {"description": "A name to save it as.", "schema": {"type": "string"}},
            },
        },
        206: {"description": "The range of the file that was asked for."},
        304: {"description": "The client has it: `If-None-Match` names its ETag."},
    }


AskedEpoch = Annotated[
    Which | None,
    Query(
        description="The weights of the epoch with the lowest watched loss, or of the last one; null: the model's own, which are "
        "the best ones if early stopping restores them, else the latest."
    ),
]


@router.get("/{model_id}/weights", response_model=Weights, responses=_files(*WeightsFormat))
def download_weights(
    request: Request,
    installed: Installed,
    owner: Owner,
    model_id: str,
    format: Annotated[WeightsFormat | None, Query(description="null: by `Accept`, else npz.")] = None,
    which: AskedEpoch = None,
) -> Response:
    """Download the weights, or with `onnx` the whole model, preprocessing included.

    `npz` and `safetensors` hold `layers.0.weight` `(units_out, units_in)`, `layers.0.bias` `(units_out,)`, and so on; `json` is
    what `initial_weights` takes. Before a file is offered for the first time, it is opened by its format's own library and
    compared with the engine; one that differs is 409 `export_failed`. Takes `Range` and `If-Range`.
    """
    chosen = format or preferred(request.headers.get("accept"))
    answer = _weights(request, installed, owner, model_id, chosen, which)
    answer.headers["Vary"] = "Accept"
    return answer


def _address(format: WeightsFormat) -> None:
    """Give one format an address of its own, which has one media type only."""

    def download_file(
        request: Request, installed: Installed, owner: Owner, model_id: str, which: AskedEpoch = None
    ) -> Response:
        return _weights(request, installed, owner, model_id, format, which)

    is_json = format == WeightsFormat.JSON
    router.get(
        f"/{{model_id}}/weights.{format}",
        name=f"download_{format}",
        description=f"Download the weights, as `weights?format={format}` does.",
        response_class=JSONResponse if is_json else Response,
        response_model=Weights if is_json else None,
        responses=_files(format),
    )(download_file)


for one in WeightsFormat:
    _address(one)


def _weights(
    request: Request, installed: Installed, owner: str, model_id: str, format: WeightsFormat, which: Which | None
) -> Response:
    file = exports.weights_file(installed, owner, model_id, format, which)
    return download(request, file.path, sha256=file.sha256, file_name=file.name, media_type=SENT_AS[format])


@router.get(
    "/{model_id}/card",
    response_class=Response,
    responses={200: {"description": "Markdown.", "content": {"text/markdown": {"schema": {"type": "string"}}}}},
)
def get_card(request: Request, session: Reading, owner: Owner, model_id: str) -> Response:
    """Give the model card: what it was trained on and how, what was measured, and how to load it elsewhere."""
    return tagged_text(request, models.card(session, owner, model_id), "text/markdown; charset=utf-8")
