"""Submitting a job: everything that can be wrong with it is found here, before it is accepted."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.contract.datasets import Column, Format
from app.contract.jobs import Job, JobCreate, Resolved, Status
from app.contract.network import MAX_SEED
from app.errors import DescentError, Fault, InvalidRequest
from app.services import datasets
from app.services.columns import choose_columns, left_out_by_default, other_dataset
from app.services.installation import Installation, now
from app.services.jobs import describe
from app.services.once import Answer, RequestKey, once, replay
from app.services.specs import network_spec, resolved_network, training_spec
from app.services.starting import Start, form_faults, start
from app.settings import Settings
from app.store import jobs as store
from app.store.ids import new_id
from app.store.session import Session
from app.store.tables import DatasetRow, JobRow, Json
from app.tables.choice import Choice
from app.tables.fitted import FittedPreprocessing
from engine.checks import check
from engine.kernels import available
from engine.losses import LOSSES
from engine.network import memory_bytes
from engine.threads import worthwhile_threads

# Losses that measure a distance, so that the numbers to predict may be put on another scale.
DISTANCES = frozenset({"quadratic", "mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "quantile"})


@dataclass(frozen=True)
class Draft:
    """A job that has been found possible, before it is stored.

    Args:
        other: The dataset that it is validated on, if that is another one.
        set_aside: Columns that are not features by default, and why.
        warnings: What was noticed when the preprocessing was fitted, as (code, message).
        class_counts: Training rows of each class, in their order; None for a regression.
    """

    dataset: DatasetRow
    other: DatasetRow | None
    is_inline: bool
    choice: Choice
    set_aside: Mapping[str, str]
    resolved: Resolved
    preprocessing: FittedPreprocessing
    start: Start | None
    warnings: tuple[tuple[str, str], ...]
    class_counts: tuple[int, ...] | None


def submit(installation: Installation, request: RequestKey, job: JobCreate, sent: Json) -> Answer:
    """Check a job, store it and queue it: row and queue message in one commit. `sent` is the request, word for word.

    Raises:
        InvalidRequest: The job cannot be done; every reason is listed.
    """
    with installation.database.reading() as session:
        earlier = replay(session, request)
    if earlier is not None:
        return earlier
    draft = drafted(installation, request.owner, job)
    kept = False
    try:
        with installation.database.transaction() as session:
            answer = once(session, request, lambda: _store(installation, session, request.owner, job, sent, draft))
        kept = not answer.replayed
    finally:
        if draft.is_inline and not kept:
            datasets.drop_files(installation, draft.dataset)
    return answer


def _store(
    installation: Installation, session: Session, owner: str, job: JobCreate, sent: Json, draft: Draft
) -> tuple[str, Job]:
    request = {**sent, "data": None, "dataset_id": draft.dataset.id} if draft.is_inline else sent
    if draft.start is not None and draft.start.resolved.model_id is None:
        request = {**request, "initial_weights": {"sha256": draft.start.resolved.sha256}}
    row = JobRow(
        id=new_id("job"),
        owner=owner,
        name=job.name or f"{', '.join(draft.resolved.target)[:100]} from {draft.dataset.name}"[:200],
        tags=job.tags,
        status=Status.QUEUED,
        priority=job.priority,
        dataset_id=draft.dataset.id,
        request=request,
        resolved=draft.resolved.model_dump(mode="json"),
        preprocessing=draft.preprocessing.to_json(),
        run=0,
        attempt=0,
        lost_runs=0,
        epoch=0,
        epochs=job.training.epochs,
        created_at=now(),
    )
    # From here on, on SQLite, nobody else can write.
    if draft.is_inline:
        datasets.add(installation, session, draft.dataset)
    needed = {} if draft.other is None else {draft.other.id: "/validation/dataset_id"}
    needed |= {} if draft.is_inline else {draft.dataset.id: "/dataset_id"}
    for dataset_id, pointer in sorted(needed.items()):  # in one order, so that no two requests wait for each other
        datasets.named(session, owner, dataset_id, pointer, lock=True)
    store.add(session, row)
    if draft.start is not None:
        store.keep_initial_weights(session, row.id, draft.start.content)
    installation.queue.enqueue(session, row.id, owner, priority=job.priority)
    return row.id, describe(session, row)


def drafted(installation: Installation, owner: str, job: JobCreate) -> Draft:
    """Work out what will be done. Inline data are then on disk as a dataset, whose files are the caller's to keep or delete.

    Raises:
        InvalidRequest: The job cannot be done; every reason is listed.
    """
    _raise_if(_form_faults(job, installation.settings))
    dataset = _inline(installation, owner, job) if job.data is not None else None
    try:
        return _fit(installation, owner, job, dataset)
    except BaseException:
        if dataset is not None:
            datasets.drop_files(installation, dataset)
        raise


def _form_faults(job: JobCreate, settings: Settings) -> list[Fault]:
    """Faults that show without looking at the data."""
    faults = form_faults(job.initial_weights)
    if (job.dataset_id is None) == (job.data is None):
        faults.append(Fault("/dataset_id", "Give either `dataset_id` or `data`.", "one_of"))
    if job.data is None and job.target is None:
        faults.append(Fault("/target", "Name the column to predict.", "missing"))
    if job.data is not None and job.target is not None:
        faults.append(Fault("/target", "Inline `data` name their own targets; leave `target` out.", "not_allowed"))
    if job.training.epochs > settings.max_epochs:
        faults.append(Fault("/training/epochs", f"At most {settings.max_epochs:,} here.", "too_many"))
    if len(job.network.hidden_layers) > settings.max_layers:
        faults.append(Fault("/network/hidden_layers", f"At most {settings.max_layers:,} here.", "too_many"))
    for i, layer in enumerate(job.network.hidden_layers):
        if layer.units > settings.max_units:
            faults.append(
                Fault(f"/network/hidden_layers/{i}/units", f"At most {settings.max_units:,} here.", "too_many")
            )
    stopping = job.training.early_stopping
    if stopping is not None and stopping.monitor == "validation_loss" and job.validation is None:
        faults.append(
            Fault(
                "/training/early_stopping/monitor",
                "`validation_loss` needs validation rows; watch `train_loss`, or set `validation`.",
                "needs_validation",
                ("train_loss",),
            )
        )
    return faults


def _inline(installation: Installation, owner: str, job: JobCreate) -> DatasetRow:
    """Store the rows of a request as a dataset."""
    assert job.data is not None
    content = json.dumps(job.data.model_dump()).encode()  # in ASCII: half a character is the reader's to refuse
    try:
        with installation.blobs.writer(max_bytes=installation.settings.max_inline_bytes) as blob:
            blob.write(content)
            return datasets.store_files(
                installation,
                owner,
                blob,
                reader=installation.tables,
                name=job.name or "inline data",
                format=Format.JSON,
                kinds={},
            )
    except DescentError as error:
        raise _below("/data", error) from None


def _below(pointer: str, error: DescentError) -> InvalidRequest:
    faults = [Fault(pointer + fault.pointer, fault.message, fault.code, fault.allowed) for fault in error.faults]
    return InvalidRequest(error.detail, faults or [Fault(pointer, error.detail, error.code)])


def _fit(installation: Installation, owner: str, job: JobCreate, inline: DatasetRow | None) -> Draft:
    if inline is not None:
        dataset = inline
    else:
        with installation.database.reading() as session:
            dataset = datasets.named(session, owner, job.dataset_id or "", "/dataset_id")
    other = other_dataset(installation, owner, job)
    columns = datasets.columns_of(dataset)
    set_aside = left_out_by_default(installation, dataset, columns, job)
    choice = choose_columns(installation, job, columns, set_aside, other)
    loss, output_activation, scale_targets = _resolve_task(job, choice, columns)
    seed = secrets.randbelow(MAX_SEED + 1) if job.training.seed is None else job.training.seed
    fitted = installation.tables.fit(
        datasets.table_path(installation, dataset.id),
        choice,
        job.preprocessing,
        validation=job.validation,
        seed=seed,
        one_output=output_activation != "softmax" and loss != "hinge",
        scale_targets=scale_targets,
        class_weight=job.class_weight,
        validation_table=None if isinstance(other, Fault | None) else datasets.table_path(installation, other.id),
        dtype=job.training.dtype,
    )
    preprocessing = fitted.preprocessing
    network = resolved_network(job.network, preprocessing, output_activation)
    resolved = Resolved(
        dataset_id=dataset.id,
        target=list(choice.targets),
        features=list(choice.features),
        inputs=list(preprocessing.input_names),
        classes=None if preprocessing.classes is None else [str(name) for name in preprocessing.classes],
        task=choice.task,
        preprocessing=job.preprocessing,
        target_scaling="standardize" if scale_targets else "none",
        validation=job.validation,
        sample_weight=preprocessing.sample_weight,
        class_weight=_class_weight(preprocessing),
        n_train_rows=fitted.n_train,
        n_validation_rows=fitted.n_validation,
        network=network,
        training={**job.training.model_dump(mode="json"), "loss": loss, "seed": seed},
        n_parameters=network_spec(network).n_parameters,
        initial_weights=None,
        kernels="numpy",
        memory_bytes=0,
    )
    admitted, begin = admit(resolved, installation.settings), None
    if job.initial_weights is not None:
        begin = start(installation, owner, job.initial_weights, resolved=admitted, preprocessing=preprocessing)
        admitted = admitted.model_copy(update={"initial_weights": begin.resolved})
    return Draft(
        dataset,
        None if isinstance(other, Fault) else other,
        inline is not None,
        choice,
        set_aside,
        admitted,
        preprocessing,
        begin,
        fitted.warnings,
        fitted.class_counts,
    )


def _class_weight(preprocessing: FittedPreprocessing) -> dict[str, float] | None:
    if preprocessing.class_weights is None:
        return None
    return dict(zip(preprocessing.classes or (), preprocessing.class_weights, strict=True))


def _resolve_task(job: JobCreate, choice: Choice, columns: Sequence[Column]) -> tuple[str, str, bool]:
    """Fill in what `auto` leaves open: the loss, the output's activation, and whether targets are standardized."""
    loss, output = job.training.loss, job.network.output_activation
    if output == "auto":
        needed = LOSSES[loss].outputs if loss in LOSSES else None
        output = needed[0] if needed else "auto"
    if output == "auto":
        n_classes = _n_classes(choice, columns)
        output = "linear" if n_classes is None else "sigmoid" if n_classes == 2 else "softmax"
    if loss == "auto":
        classes = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}
        loss = classes.get(output, "quadratic") if choice.task == "classification" else "mean_squared_error"
    scale = (
        choice.task == "regression"
        and output == "linear"
        and loss in DISTANCES
        and job.preprocessing.numeric == "standardize"
    )
    return loss, output, scale


def _n_classes(choice: Choice, columns: Sequence[Column]) -> int | None:
    if choice.task == "regression":
        return None
    return next(column.n_unique for column in columns if column.name == choice.targets[0])


def admit(resolved: Resolved, settings: Settings) -> Resolved:
    """Refuse what the engine cannot train, and what does not fit into memory."""
    network, training = network_spec(resolved.network), training_spec(resolved)
    needed = memory_bytes(network, training, resolved.n_train_rows, resolved.n_validation_rows)
    faults = [
        Fault(_pointer(fault.field, resolved), fault.message, fault.code, fault.allowed)
        for fault in check(network, training)
    ]
    if needed > settings.job_memory_bytes:
        faults.append(
            Fault(
                "/network/hidden_layers",
                f"The network needs about {needed:,} bytes to train, and a job may use {settings.job_memory_bytes:,}; "
                "use fewer units, or a smaller batch.",
                "network_too_large",
            )
        )
    _raise_if(faults)
    weighted = resolved.sample_weight is not None or resolved.class_weight is not None
    kernels: Literal["numba", "numpy"] = "numba" if not weighted and available(network, training) else "numpy"
    threads = resolved.training["threads"]
    if threads == "auto":
        spec = replace(training, kernels=kernels)
        threads = worthwhile_threads(network, spec, resolved.n_train_rows, cores=settings.max_threads)
    frozen = {**resolved.training, "threads": threads}
    return resolved.model_copy(update={"memory_bytes": needed, "kernels": kernels, "training": frozen})


def _pointer(field: str, resolved: Resolved) -> str:
    """From the engine's name of a field to the request's."""
    output = len(resolved.network.hidden_layers)
    if field == f"network.layers.{output}.activation":
        return "/network/output_activation"
    return "/" + field.replace("network.layers.", "network.hidden_layers.").replace(".", "/")


def _raise_if(faults: Sequence[Fault]) -> None:
    if faults:
        raise InvalidRequest("The job cannot be done as it is.", faults)
