"""Jobs made from jobs: forks, which go on from a checkpoint, and verifications, which train again and compare."""

import json
from typing import Any

from app.contract.jobs import Fork, Job, JobKind, Resolved, Status
from app.contract.network import Training
from app.errors import Conflict, DescentError, Fault, IllegalTransition, InvalidRequest
from app.services import checkpoints, datasets, jobs
from app.services.installation import Installation, now
from app.services.once import Answer, RequestKey, once, replay
from app.services.specs import network_spec, training_spec
from app.services.submit import admit
from app.settings import Settings
from app.store import checkpoints as stored
from app.store import jobs as store
from app.store.ids import new_id
from app.store.session import Session
from app.store.tables import JobRow
from engine.forking import keeps_best
from engine.spec import as_text

LEAST_URGENT = -10
# The rows were split by the seed, and states are in the numbers of their dtype.
UNCHANGEABLE = ("seed", "dtype")


def fork(installation: Installation, request: RequestKey, job_id: str, asked: Fork) -> Answer:
    """Store and queue a job that goes on from a checkpoint of another one, whatever became of that.

    Raises:
        InvalidRequest: It cannot go on so; every reason is listed.
    """
    with installation.database.reading() as session:
        earlier = replay(session, request)
    if earlier is not None:
        return earlier
    with installation.database.transaction() as session:
        return once(session, request, lambda: _fork(installation, session, request.owner, job_id, asked))


def _fork(installation: Installation, session: Session, owner: str, job_id: str, asked: Fork) -> tuple[str, Job]:
    parent = jobs.find(session, owner, job_id, lock=True)
    _need_dataset(session, parent)
    if parent.kind != JobKind.TRAINING:
        raise IllegalTransition("A verification has no weights of its own; fork the job that it verifies.")
    try:
        found = checkpoints.find(session, parent, asked.checkpoint_id)
    except DescentError as error:
        raise InvalidRequest(error.detail, [Fault("/checkpoint_id", error.detail, error.code)]) from None
    before = Resolved.model_validate(parent.resolved)
    resolved = _changed(before, asked, found.epoch, installation.settings)
    row = _copy(
        parent,
        kind=JobKind.TRAINING,
        name=parent.name if asked.name is None else asked.name,
        tags=parent.tags if asked.tags is None else asked.tags,
        priority=asked.priority,
        request={"parent_job_id": parent.id, **asked.model_dump(mode="json", exclude_unset=True)},
        resolved=resolved.model_dump(mode="json"),
        epoch=found.epoch,
        epochs=resolved.training["epochs"],
        best=found.best if keeps_best(*(_as_stored(one) for one in (before, resolved))) else None,
        parent_epoch=found.epoch,
    )
    store.add(session, row)
    stored.start_from(session, row.id, found.row, origin="best" if found.from_best else "parent")
    installation.queue.enqueue(session, row.id, owner, priority=row.priority)
    return row.id, jobs.describe(session, row)


def verify(installation: Installation, request: RequestKey, job_id: str) -> Answer:
    """Store and queue a job that trains an ended job again, from the same start to the same epoch, and compares."""
    with installation.database.reading() as session:
        earlier = replay(session, request)
    if earlier is not None:
        return earlier
    with installation.database.transaction() as session:
        return once(session, request, lambda: _verify(installation, session, request.owner, job_id))


def _verify(installation: Installation, session: Session, owner: str, job_id: str) -> tuple[str, Job]:
    parent = jobs.find(session, owner, job_id, lock=True)
    latest = stored.latest(session, job_id)
    if parent.kind != JobKind.TRAINING or not Status(parent.status).is_terminal or parent.latest is None:
        raise IllegalTransition("Only a training that has ended, with an epoch to compare, can be verified.")
    if latest is None or latest.receipt is None:
        raise IllegalTransition("The job was trained by a version that wrote no receipts.")
    _need_dataset(session, parent)
    start = stored.start_of(session, parent.id)
    row = _copy(
        parent,
        kind=JobKind.VERIFICATION,
        name=f"verification of {parent.name}"[:200],
        tags={},
        priority=LEAST_URGENT,
        request=parent.request,
        resolved=parent.resolved,
        epoch=parent.parent_epoch or 0,
        epochs=parent.epoch,
        best=None,
        parent_epoch=parent.parent_epoch,
    )
    store.add(session, row)
    if start is not None:
        stored.start_from(session, row.id, start, origin=start.origin or "parent")
    elif (given := store.initial_weights(session, parent.id)) is not None:
        store.keep_initial_weights(session, row.id, given)
    installation.queue.enqueue(session, row.id, owner, priority=row.priority)
    return row.id, jobs.describe(session, row)


def _copy(parent: JobRow, **values: Any) -> JobRow:
    """A new job on the parent's rows, prepared as they were."""
    return JobRow(
        id=new_id("job"),
        owner=parent.owner,
        status=Status.QUEUED,
        dataset_id=parent.dataset_id,
        preprocessing=parent.preprocessing,
        parent_job_id=parent.id,
        run=0,
        attempt=0,
        lost_runs=0,
        created_at=now(),
        **values,
    )


def _need_dataset(session: Session, parent: JobRow) -> None:
    validation: Any = parent.resolved["validation"] or {}
    for dataset_id in sorted({parent.dataset_id, validation.get("dataset_id", parent.dataset_id)}):
        try:
            datasets.find(session, parent.owner, dataset_id, lock=True)
        except DescentError:
            raise Conflict("A dataset of the job is no longer there.", code="dataset_deleted") from None


def _changed(before: Resolved, asked: Fork, epoch: int, settings: Settings) -> Resolved:
    """Give what is really done: the parent's training with what is asked for changed."""
    changes = asked.training.model_dump(mode="json", include=set(asked.training.model_fields_set))
    if changes.get("loss") == "auto":
        del changes["loss"]
    training = {**before.training, **changes}
    faults = [
        Fault(f"/training/{name}", f"A fork keeps its parent's {name}.", "not_allowed")
        for name in UNCHANGEABLE
        if training[name] != before.training[name]
    ]
    epochs: Any = training["epochs"]
    if epochs <= epoch:
        message = f"Epochs count on, and {epoch:,} have ended at the checkpoint; ask for more."
        faults.append(Fault("/training/epochs", message, "too_few"))
    if epochs > settings.max_epochs:
        faults.append(Fault("/training/epochs", f"At most {settings.max_epochs:,} here.", "too_many"))
    stopping: Any = training["early_stopping"]
    if stopping and stopping["monitor"] == "validation_loss" and not before.n_validation_rows:
        message = "`validation_loss` needs validation rows; watch `train_loss`."
        faults.append(Fault("/training/early_stopping/monitor", message, "needs_validation", ("train_loss",)))
    if faults:
        raise InvalidRequest("The job cannot go on so.", faults)
    complete = Training.model_validate(training).model_dump(mode="json")
    return admit(before.model_copy(update={"training": {**training, **complete}}), settings)


def _as_stored(resolved: Resolved) -> dict[str, Any]:
    text = as_text(network_spec(resolved.network), training_spec(resolved))
    training: dict[str, Any] = json.loads(text)["training"]
    return training
