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


def weights(session: Session, owner: str, job_id: str, checkpoint_id: str, format: WeightsFormat) -> tuple[bytes, str]:
    """Give the weights of a checkpoint as a file, and its hash."""
    row = jobs.find(session, owner, job_id)
    found = find(session, row, checkpoint_id, with_state=True)
    state = read(found.row.state)
    network = network_spec(Resolved.model_validate(row.resolved).network)
    parameters = state.best_parameters if found.from_best else state.parameters
    arrays = named_arrays(network, np.concatenate((parameters, state.statistics[int(found.from_best)])))
    content = to_npz(arrays) if format is WeightsFormat.NPZ else to_json({"layers": to_layers(arrays)})
    return content, sha256(content).hexdigest()


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
