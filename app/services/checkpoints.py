"""What can be done with the stored states of a job."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.contract.jobs import Checkpoint, CheckpointKind, Checkpoints, Resolved
from app.contract.models import WeightsFormat
from app.errors import NotFound
from app.exports.process import Order
from app.exports.weights import to_npz
from app.services import datasets, exports, jobs
from app.services.installation import Installation
from app.services.specs import network_spec
from app.store import checkpoints as store
from app.store.session import Session
from app.store.tables import CheckpointRow, JobRow, Json, KeptCheckpointRow
from engine.checkpoint import read
from engine.weights import named_arrays


@dataclass(frozen=True)
class Found:
    """A checkpoint and the row that it is in.

    Args:
        kind: Why it is there.
        row: Where its state is.
        epoch: The epoch that its weights are from.
        from_best: Whether its weights are the best ones of the state, instead of the latest.
        best: The epoch of the lowest loss until then.
    """

    kind: CheckpointKind
    row: CheckpointRow | KeptCheckpointRow
    epoch: int
    from_best: bool
    best: Json | None


def newest(session: Session, owner: str, job_id: str) -> Checkpoints:
    """List the checkpoints of a job."""
    row = jobs.find(session, owner, job_id)
    latest = store.latest(session, job_id)
    found = [] if latest is None else _of_latest(row, latest)
    found += [_of_kept(one) for one in store.kept(session, job_id)]
    return Checkpoints(items=[_describe(row, one) for one in found])


def find(session: Session, row: JobRow, checkpoint_id: str | None, *, with_state: bool = False) -> Found:
    """Give a checkpoint of a job, the latest if none is named, or say that there is none."""
    name = CheckpointKind.LATEST.value if checkpoint_id is None else checkpoint_id.removeprefix(_prefix(row))
    found: list[Found] = []
    if checkpoint_id is None or checkpoint_id.startswith(_prefix(row)):
        if name.isdecimal() and len(name) <= 15:
            found = [_of_kept(one) for one in store.kept(session, row.id, epoch=int(name), with_state=with_state)]
        elif (latest := store.latest(session, row.id, with_state=with_state)) is not None:
            found = [one for one in _of_latest(row, latest) if one.kind == name]
    if not found:
        raise NotFound("The job has no such checkpoint.")
    return found[0]


def _of_latest(row: JobRow, latest: CheckpointRow) -> list[Found]:
    if latest.origin is not None:  # a fork that has not yet stored a state of its own
        return [Found(CheckpointKind.LATEST, latest, row.epoch, latest.origin == "best", row.best)]
    found = [Found(CheckpointKind.LATEST, latest, latest.epoch, from_best=False, best=row.best)]
    if row.best is not None:
        found.append(Found(CheckpointKind.BEST, latest, row.best["epoch"], from_best=True, best=row.best))
    return found


def _of_kept(kept: KeptCheckpointRow) -> Found:
    return Found(CheckpointKind.KEPT, kept, kept.epoch, from_best=False, best=kept.best)


@contextmanager
def weights_file(
    installation: Installation, owner: str, job_id: str, checkpoint_id: str, format: WeightsFormat
) -> Iterator[tuple[Path, str]]:
    """Give the weights of a checkpoint as a file that was checked, and its hash. It is there as long as the block runs."""
    with installation.database.reading() as session:
        row = jobs.find(session, owner, job_id)
        found = find(session, row, checkpoint_id, with_state=True)
        saved, from_best, preprocessing = found.row.state, found.from_best, row.preprocessing
    resolved = Resolved.model_validate(row.resolved)
    network, state = network_spec(resolved.network), read(saved)
    parameters = state.best_parameters if from_best else state.parameters
    content = to_npz(named_arrays(network, np.concatenate((parameters, state.statistics[int(from_best)]))))
    with (
        installation.blobs.writer(max_bytes=len(content)) as npz,
        installation.blobs.writer(max_bytes=0) as other,
    ):
        npz.write(content)
        npz.flush()
        target = npz.path if format is WeightsFormat.NPZ else other.path
        table = datasets.table_path(installation, row.dataset_id)
        dtype = str(resolved.training["dtype"])
        order = Order(format, npz.path, npz.sha256, network, preprocessing, dtype, table, target)
        exported, checked = exports.export(installation, order, checkpoint_id)
        exports.refuse_wrong(checked, format, checkpoint_id)
        yield target, exported.sha256


def _prefix(row: JobRow) -> str:
    return f"ckpt_{row.id.removeprefix('job_')}_"


def _describe(row: JobRow, found: Found) -> Checkpoint:
    checkpoint_id = _prefix(row) + (str(found.epoch) if found.kind is CheckpointKind.KEPT else found.kind.value)
    return Checkpoint(
        id=checkpoint_id,
        kind=found.kind,
        epoch=found.epoch,
        size_bytes=found.row.size_bytes,
        sha256=found.row.sha256,
        at=found.row.at,
        weights=f"/v1/jobs/{row.id}/checkpoints/{checkpoint_id}/weights",
    )
