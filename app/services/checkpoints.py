"""What can be done with the stored states of a job."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from pydantic_core import to_json

from app.contract.jobs import Checkpoint, CheckpointKind, Checkpoints, Resolved
from app.contract.models import WeightsFormat
from app.errors import NotFound
from app.exports.weights import to_layers, to_npz
from app.services import jobs
from app.services.specs import network_spec
from app.store import checkpoints as store
from app.store.session import Session
from app.store.tables import CheckpointRow, JobRow, KeptCheckpointRow
from engine.checkpoint import read
from engine.weights import named_arrays


@dataclass(frozen=True)
class Found:
    """A checkpoint and the row that it is in."""

    kind: CheckpointKind
    row: CheckpointRow | KeptCheckpointRow


def newest(session: Session, owner: str, job_id: str) -> Checkpoints:
    """List the checkpoints of a job."""
    row = jobs.find(session, owner, job_id)
    kept = [_describe(row, CheckpointKind.KEPT, one, one.epoch) for one in store.kept(session, job_id)]
    latest = store.latest(session, job_id)
    if latest is None:
        return Checkpoints(items=kept)
    items = [_describe(row, CheckpointKind.LATEST, latest, latest.epoch)]
    if latest.origin is None and row.best is not None:
        items.append(_describe(row, CheckpointKind.BEST, latest, row.best["epoch"]))
    return Checkpoints(items=[*items, *kept])


def find(
    session: Session, row: JobRow, checkpoint_id: str | None, *, with_state: bool = False, lost: str = "checkpoint"
) -> Found:
    """Give a checkpoint of a job, the latest if none is named, or say that there is none."""
    prefix = _prefix(row)
    name = CheckpointKind.LATEST.value if checkpoint_id is None else checkpoint_id.removeprefix(prefix)
    if checkpoint_id is None or checkpoint_id.startswith(prefix):
        latest = store.latest(session, row.id, with_state=with_state)
        if latest is not None and name == CheckpointKind.LATEST:
            return Found(CheckpointKind.LATEST, latest)
        if latest is not None and name == CheckpointKind.BEST and latest.origin is None and row.best is not None:
            return Found(CheckpointKind.BEST, latest)
        if name.isdecimal() and len(name) <= 15:
            kept = store.kept(session, row.id, epoch=int(name), with_state=with_state)
            if kept:
                return Found(CheckpointKind.KEPT, kept[0])
    raise NotFound(f"The job has no such {lost}.")


def weights(session: Session, owner: str, job_id: str, checkpoint_id: str, format: WeightsFormat) -> tuple[bytes, str]:
    """Give the weights of a checkpoint as a file, and its hash."""
    row = jobs.find(session, owner, job_id)
    found = find(session, row, checkpoint_id, with_state=True)
    state = read(found.row.state)
    network = network_spec(Resolved.model_validate(row.resolved).network)
    best = found.kind is CheckpointKind.BEST
    parameters = state.best_parameters if best else state.parameters
    arrays = named_arrays(network, np.concatenate((parameters, state.statistics[1 if best else 0])))
    content = to_npz(arrays) if format is WeightsFormat.NPZ else to_json({"layers": to_layers(arrays)})
    return content, sha256(content).hexdigest()


def _prefix(row: JobRow) -> str:
    return f"ckpt_{row.id.removeprefix('job_')}_"


def _describe(row: JobRow, kind: CheckpointKind, stored: CheckpointRow | KeptCheckpointRow, epoch: int) -> Checkpoint:
    checkpoint_id = _prefix(row) + (str(epoch) if kind is CheckpointKind.KEPT else kind.value)
    return Checkpoint(
        id=checkpoint_id,
        kind=kind,
        epoch=epoch,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        at=stored.at,
        weights=f"/v1/jobs/{row.id}/checkpoints/{checkpoint_id}/weights",
    )
