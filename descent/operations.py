"""Every verb of the service as a conversation; the blocking and the asynchronous client drive the same ones."""

import json
from collections.abc import Mapping
from errno import ENOENT
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, TypeAdapter

from app.contract.base import Page
from app.contract.evaluation import Evaluation, Importance, Losses
from app.contract.jobs import Epoch, Epochs, Job, Plan, Status
from app.contract.models import Prediction, Predictions, WeightsFormat
from app.contract.profiles import ColumnProfile, Profile
from descent import transfers
from descent.errors import Corrupt, IllegalTransition, NotFound
from descent.flow import KEY, Call, Flow, Retries, ask
from descent.sources import Table, Weights, source, weights_source
from descent.wording import id_of, job_body, predict_body, quoted, said_of

M = TypeVar("M", bound=BaseModel)
J = TypeVar("J", bound=Job)
# A long poll of this many seconds; the service ends it by then.
POLL_S = 30.0
# What a training that is large may take to be planned, evaluated, or written into a file.
WORK_S = 600.0
PREDICTED_AT_ONCE = 10_000
_EVALUATION: TypeAdapter[Evaluation] = TypeAdapter(Evaluation)


def read(kind: type[M], path: str, retries: Retries, /, **params: Any) -> Flow[M]:
    """Get an object."""
    answer = yield from ask(Call("GET", path, params), retries)
    return kind.model_validate_json(answer.content)


def read_page(kind: type[M], path: str, retries: Retries, /, **params: Any) -> Flow[Page[M]]:
    """Get one page of a list."""
    answer = yield from ask(Call("GET", path, params), retries)
    return Page[kind].model_validate_json(answer.content)  # type: ignore[valid-type]


def delete(path: str, retries: Retries) -> Flow[None]:
    """Delete an object. If the answer to the first attempt was lost, the second finds nothing: that is success, too."""
    try:
        yield from ask(Call("DELETE", path), retries)
    except NotFound as error:
        if error.attempts == 1:
            raise


def create_dataset(
    kind: type[M],
    table: Table,
    retries: Retries,
    *,
    name: str | None,
    format: str | None,
    kinds: Mapping[str, str] | None,
    key: str | None,
) -> Flow[M]:
    """Send a table: in one request, or in pieces if it is large."""
    sent = source(table, name=name, format=format)
    if sent.size_bytes > transfers.WHOLE_BYTES:
        answer = yield from transfers.send_in_pieces(sent, dict(kinds) if kinds else None, retries, key)
    else:
        answer = yield from transfers.send_whole(sent, json.dumps(dict(kinds)) if kinds else None, retries, key)
    return kind.model_validate_json(answer.content)


def profile(dataset_id: str, columns: list[str] | None, retries: Retries) -> Flow[Profile]:
    """Get the profile of all columns, page by page."""
    found: list[ColumnProfile] = []
    # One request takes a hundred names; without names, pages go on by cursor.
    batches: list[list[str] | None] = (
        [None] if columns is None else [columns[i : i + 100] for i in range(0, len(columns), 100)]
    )
    n_rows = 1
    for batch in batches:
        cursor: str | None = None
        while True:
            page = yield from read(
                Profile, f"/v1/datasets/{quoted(dataset_id)}/profile", retries, columns=batch, cursor=cursor
            )
            n_rows, cursor = page.n_rows, page.next_cursor
            found += page.columns
            if cursor is None:
                break
    return Profile(n_rows=n_rows, columns=found, next_cursor=None)


def create_job(
    kind: type[J], dataset: Any, target: Any, options: Mapping[str, Any], retries: Retries, key: str | None
) -> Flow[J]:
    """Submit a job."""
    headers = {KEY: key} if key else {}
    body = job_body(dataset, target, options)
    answer = yield from ask(Call("POST", "/v1/jobs", json=body, headers=headers, keyed=True, timeout_s=WORK_S), retries)
    return kind.model_validate_json(answer.content)


def plan_job(dataset: Any, target: Any, options: Mapping[str, Any], retries: Retries) -> Flow[Plan]:
    """Ask what a job would be and cost."""
    body = job_body(dataset, target, options)
    call = Call("POST", "/v1/jobs", {"dry_run": "true"}, json=body, timeout_s=WORK_S)
    answer = yield from ask(call, retries)
    return Plan.model_validate_json(answer.content)


# What a job may be in when a verb has been done.
_DONE: dict[str, frozenset[Status]] = {
    "cancel": frozenset({Status.CANCELLING, Status.CANCELLED}),
    "pause": frozenset({Status.PAUSING, Status.PAUSED}),
    "resume": frozenset({Status.QUEUED, Status.RUNNING}),
}


def act_on_job(kind: type[J], job_id: str, verb: str, retries: Retries) -> Flow[J]:
    """Cancel, pause or resume. If the answer to the first attempt was lost, what it did is seen and not an error."""
    try:
        answer = yield from ask(Call("POST", f"/v1/jobs/{quoted(job_id)}/{verb}"), retries)
    except IllegalTransition as error:
        if error.attempts == 1:
            raise
        job = yield from read(kind, f"/v1/jobs/{quoted(job_id)}", retries)
        if job.status not in _DONE[verb]:
            raise
        return job
    return kind.model_validate_json(answer.content)


def derive_job(kind: type[J], job_id: str, verb: str, body: Mapping[str, Any] | None, retries: Retries) -> Flow[J]:
    """Make a job of a job: `fork` or `verify`."""
    said = None if body is None else {name: said_of(value) for name, value in body.items() if value is not None}
    answer = yield from ask(
        Call("POST", f"/v1/jobs/{quoted(job_id)}/{verb}", json=said, keyed=True, timeout_s=WORK_S), retries
    )
    return kind.model_validate_json(answer.content)


def poll_job(kind: type[J], job_id: str, wait_s: float, retries: Retries) -> Flow[J]:
    """Get a job when it ends, or after `wait_s`."""
    wait_s = min(POLL_S, max(0.0, wait_s))
    call = Call("GET", f"/v1/jobs/{quoted(job_id)}", {"wait_s": wait_s}, timeout_s=wait_s + 30.0)
    answer = yield from ask(call, retries)
    return kind.model_validate_json(answer.content)


def history(job_id: str, retries: Retries) -> Flow[list[Epoch]]:
    """Get all epochs that there are now."""
    rows: list[Epoch] = []
    after: int | None = 0
    while after is not None:
        page = yield from read(Epochs, f"/v1/jobs/{quoted(job_id)}/epochs", retries, after=after, limit=10_000)
        rows += page.items
        after = page.next_after
    return rows


def weights(model_id: str, which: str | None, retries: Retries) -> Flow[dict[str, np.ndarray]]:
    """Get the weights as arrays, checked by their SHA-256."""
    call = Call("GET", f"/v1/models/{quoted(model_id)}/weights", {"format": "npz", "which": which}, timeout_s=WORK_S)
    answer = yield from ask(call, retries)
    if sha256(answer.content).hexdigest() != answer.headers["etag"].strip('"'):
        raise Corrupt(f"The weights of {model_id} do not have the SHA-256 that was announced; ask again.")
    with np.load(BytesIO(answer.content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def download(model_id: str, path: str | Path, format: str | None, which: str | None, retries: Retries) -> Flow[Path]:
    """Download a file of a model; by its ending, if no format is named."""
    target = Path(path)
    chosen = format or format_of(target)
    check_folder(target)
    place = f"/v1/models/{quoted(model_id)}/weights"
    return (yield from transfers.fetch_file(place, {"format": chosen, "which": which}, target, retries))


def format_of(target: Path) -> str:
    """Tell by its ending what a file of a model is to be.

    Raises:
        ValueError: It ends in nothing that is known.
    """
    ending = target.suffix.removeprefix(".")
    if ending not in set(WeightsFormat):
        raise ValueError(f"{target}: name a format, or end the path in one of .{', .'.join(WeightsFormat)}.")
    return ending


def check_folder(target: Path) -> None:
    """See that there is a folder for a file that is to come.

    Raises:
        FileNotFoundError: There is none.
    """
    if not target.parent.is_dir():
        raise FileNotFoundError(ENOENT, "there is no such folder", str(target.parent))


def predict(model_id: str, rows: Any, retries: Retries) -> Flow[list[Prediction]]:
    """Predict rows, in as many requests as it takes."""
    word, listed = predict_body(rows)
    predictions: list[Prediction] = []
    for start in range(0, len(listed), PREDICTED_AT_ONCE):
        body = {word: listed[start : start + PREDICTED_AT_ONCE]}
        answer = yield from ask(
            Call("POST", f"/v1/models/{quoted(model_id)}/predict", json=body, timeout_s=WORK_S), retries
        )
        predictions += Predictions.model_validate_json(answer.content).predictions
    return predictions


def predict_dataset(model_id: str, dataset: Any, path: str | Path, retries: Retries) -> Flow[Path]:
    """Predict a dataset into a file: Parquet if it is named so, else CSV. Its name appears when it is whole."""
    target = Path(path)
    check_folder(target)
    part = target.with_name(f".{target.name}.part")
    parquet = target.suffix == ".parquet"
    accept = "application/vnd.apache.parquet" if parquet else "text/csv"
    with part.open("wb") as file:

        def from_the_start(_answer: object) -> Any:
            file.seek(0)
            file.truncate()
            return file.write

        call = Call(
            "POST",
            f"/v1/models/{quoted(model_id)}/predict",
            json={"dataset_id": id_of(dataset)},
            headers={"Accept": accept},
            timeout_s=WORK_S,
            sink=from_the_start,
        )
        try:
            yield from ask(call, retries)
        except BaseException:
            part.unlink()
            raise
    return part.replace(target)


def evaluate(model_id: str, dataset: Any, retries: Retries) -> Flow[Evaluation]:
    """Measure a model on a dataset."""
    body = {"dataset_id": id_of(dataset)}
    answer = yield from ask(
        Call("POST", f"/v1/models/{quoted(model_id)}/evaluate", json=body, timeout_s=WORK_S), retries
    )
    return _EVALUATION.validate_json(answer.content)


def importance(model_id: str, dataset: Any, options: Mapping[str, Any], retries: Retries) -> Flow[Importance]:
    """Find out what each column matters."""
    body = {"dataset_id": id_of(dataset), **options}
    answer = yield from ask(
        Call("POST", f"/v1/models/{quoted(model_id)}/importance", json=body, timeout_s=WORK_S), retries
    )
    return Importance.model_validate_json(answer.content)


def hardest_rows(model_id: str, dataset: Any, limit: int, retries: Retries) -> Flow[Losses]:
    """Get the rows that cost most."""
    body = {"dataset_id": id_of(dataset), "limit": limit}
    answer = yield from ask(Call("POST", f"/v1/models/{quoted(model_id)}/losses", json=body, timeout_s=WORK_S), retries)
    return Losses.model_validate_json(answer.content)


def text(path: str, retries: Retries) -> Flow[str]:
    """Get a text."""
    answer = yield from ask(Call("GET", path), retries)
    return answer.text


def create_model(
    kind: type[M], weights: Weights | None, description: Mapping[str, Any], retries: Retries, key: str | None
) -> Flow[M]:
    """Upload a network that was trained elsewhere: its weights as a file, or among the rest."""
    body = {name: said_of(value) for name, value in description.items()}
    headers = {KEY: key} if key else {}
    if weights is None:
        call = Call("POST", "/v1/models", json=body, headers=headers, keyed=True, timeout_s=WORK_S)
    else:
        content, of_form = transfers.form(json.dumps(body).encode(), weights_source(weights))
        call = Call("POST", "/v1/models", content=content, headers={**headers, **of_form}, keyed=True, timeout_s=WORK_S)
    answer = yield from ask(call, retries)
    return kind.model_validate_json(answer.content)
