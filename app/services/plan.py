"""A job's plan: what it would be and would cost, with nothing stored."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from app.contract.jobs import JobCreate, Plan, PlannedColumn, PlanWarning, Resolved
from app.contract.preprocessing import DatasetValidation
from app.services import datasets
from app.services.gauge import gauge
from app.services.installation import Installation
from app.services.specs import network_spec, training_spec
from app.services.submit import Draft, drafted
from app.tables.faults import shown
from app.tables.fitted import FittedPreprocessing
from engine.cost import Speed, epoch_seconds
from engine.network import flops_per_epoch
from engine.optimizers import OPTIMIZERS
from engine.threads import worthwhile_threads

JOB_S = 0.05  # taking the job, and publishing its model
CELL_S = 2e-8  # preparing a number
STATE_BYTE_S = 6e-9  # storing a byte of a checkpoint
CHECKPOINTS = 2  # of any job: one soon, to show that it is alive, and the last
EPOCH_S = 2.5e-5  # reporting an epoch, and storing its row
RECORDING = 1.03
SPEED_OF_TWO = 1.5

RARE = 0.1
ROWS_A_PARAMETER = 0.1
FEW_VALIDATION_ROWS = 30
MOST_LEAKS = 20


def plan(installation: Installation, owner: str, job: JobCreate) -> Plan:
    """Work out what a job would be: as it would be submitted, and what it would cost.

    Raises:
        InvalidRequest: The job cannot be done; every reason is listed.
    """
    draft = drafted(installation, owner, job)
    try:
        leaks = installation.tables.leaks(datasets.table_path(installation, draft.dataset.id), draft.choice)
    finally:
        if draft.is_inline:
            datasets.drop_files(installation, draft.dataset)
    resolved = draft.resolved
    network, training = network_spec(resolved.network), training_spec(resolved)
    return Plan(
        resolved=resolved.model_copy(update={"dataset_id": None}) if draft.is_inline else resolved,
        n_parameters=resolved.n_parameters,
        memory_bytes=resolved.memory_bytes,
        flops_per_epoch=flops_per_epoch(network, training, resolved.n_train_rows),
        estimated_seconds=estimate(resolved, gauge(installation.settings.data_dir)),
        columns=_columns(draft, leaks),
        warnings=[PlanWarning(code=code, message=message) for code, message in _warnings(draft, leaks)],
    )


def estimate(resolved: Resolved, speed: Speed) -> float:
    """Give about the seconds from the start of the training to its model."""
    network, training = network_spec(resolved.network), training_spec(resolved)
    threads: int = resolved.training["threads"]  # type: ignore[assignment]
    if threads > 1 and _worthwhile(resolved, threads) > 1:
        speed = replace(speed, products=speed.products / SPEED_OF_TWO)
    epoch_s = epoch_seconds(network, training, resolved.n_train_rows, resolved.n_validation_rows, speed)
    trained_s = RECORDING * training.epochs * (epoch_s + EPOCH_S * speed.calls)
    max_seconds: float | None = resolved.training["max_seconds"]  # type: ignore[assignment]
    if max_seconds is not None:
        trained_s = min(trained_s, max_seconds)
    # The parameters, the best ones, and the optimizer's vectors.
    vectors = 2 + OPTIMIZERS[training.optimizer.name].n_slots(training.optimizer.parameters)
    state_bytes = vectors * resolved.n_parameters * np.dtype(training.dtype).itemsize
    n_cells = (resolved.n_train_rows + resolved.n_validation_rows) * (network.n_inputs + network.n_outputs)
    around_s = JOB_S + n_cells * CELL_S + CHECKPOINTS * state_bytes * STATE_BYTE_S
    return around_s * speed.calls + trained_s


def _worthwhile(resolved: Resolved, cores: int) -> int:
    return worthwhile_threads(
        network_spec(resolved.network), training_spec(resolved), resolved.n_train_rows, cores=cores
    )


def _columns(draft: Draft, leaks: Mapping[str, str]) -> list[PlannedColumn]:
    """Say what becomes of each column; widths as they were found on the training rows."""
    widths = _widths(draft.preprocessing)
    return [
        PlannedColumn(
            name=use.name,
            used=use.used,
            encoding=use.encoding,
            width=widths.get(use.name, 0),
            why="; ".join(part for part in (use.why, leaks.get(use.name)) if part),
        )
        for use in draft.choice.columns
    ]


def _widths(fitted: FittedPreprocessing) -> dict[str, int]:
    n_outputs = fitted.n_outputs if fitted.task == "classification" else 1
    targets = {target.name: n_outputs for target in fitted.targets}
    return {one.name: one.width for one in fitted.inputs} | targets


def _warnings(draft: Draft, leaks: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Say what speaks against the job, though it can be done."""
    resolved = draft.resolved
    yield from draft.warnings
    for name, why in list(leaks.items())[:MOST_LEAKS]:
        yield "leaks_target", f"column {shown(name)} {why}"
    if len(leaks) > MOST_LEAKS:
        yield "leaks_target", f"{len(leaks) - MOST_LEAKS} more columns leak the target"
    for name in draft.choice.features:
        if name in draft.set_aside:
            yield "identifier_like", f"column {shown(name)} is used as nothing else is left: {draft.set_aside[name]}"
    if isinstance(resolved.validation, DatasetValidation) and resolved.validation.dataset_id == resolved.dataset_id:
        yield "validation_is_training", "the network is validated on the rows that it learns from"
    yield from _row_warnings(draft)
    threads: int = resolved.training["threads"]  # type: ignore[assignment]
    if threads > (best := _worthwhile(resolved, threads)):
        yield "too_many_threads", f"{threads} threads are slower than {best} for a network of this size"


def _row_warnings(draft: Draft) -> Iterator[tuple[str, str]]:
    """Say what is too few."""
    resolved, classes = draft.resolved, draft.resolved.classes or []
    n_train, n_validation = resolved.n_train_rows, resolved.n_validation_rows
    counts = dict(zip(classes, draft.class_counts or (), strict=True))
    if counts and resolved.class_weight is None:
        rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        if counts[rarest] < RARE * counts[commonest]:
            yield (
                "class_imbalance",
                f"class {shown(rarest)} has {counts[rarest]:,} training rows, and {shown(commonest)} has "
                f"{counts[commonest]:,}; `class_weight: balanced` makes them count the same",
            )
    if n_train < ROWS_A_PARAMETER * resolved.n_parameters:
        yield (
            "few_rows",
            f"{n_train:,} training rows for {resolved.n_parameters:,} parameters: the network can learn them by heart; "
            "use fewer units, dropout, l2 or early stopping",
        )
    if resolved.validation is not None and n_validation < FEW_VALIDATION_ROWS:
        yield (
            "small_validation",
            f"{n_validation:,} validation rows say little: one row is {1 / n_validation:.1%} of them",
        )
    batch = resolved.training["batch_size"]
    if isinstance(batch, int) and batch > n_train:
        yield "batch_is_full", f"a batch of {batch:,} rows is all {n_train:,} training rows: one step an epoch"
