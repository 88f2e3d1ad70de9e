"""What a model keeps beside its own weights: those of the best and of the latest epoch, and how it was trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.jobs import Resolved
from app.contract.models import Which
from app.exports.weights import to_npz
from app.store import weights
from app.store.blobs import Blobs
from app.store.tables import JobRow
from engine.spec import NetworkSpec, TrainingSpec
from engine.state import TrainingState
from engine.weights import named_arrays

Summary = dict[str, Any]


@dataclass(frozen=True)
class Staged:
    """Weights that are stored, but no model's yet.

    Args:
        run: Whose files they are, if their keys say so.
        own: Which of them are the model's own.
        versions: What the model's row says of each.
        publish: Makes them the model's.
    """

    model_id: str
    run: int | None
    own: Which
    versions: dict[Which, Summary]
    publish: Callable[[], None]

    @property
    def columns(self) -> dict[str, Any]:
        """What the model's row says of them."""
        own = self.versions[self.own]
        said = {name: own[name] for name in ("epoch", "metrics", "sha256", "size_bytes")}
        return {"id": self.model_id, "files_of_run": self.run, "versions": self.versions, **said}


def store_weights(staged: Staged) -> None:
    """Make weights the model's, in the transaction that holds the job: no run that lost it is to touch them."""
    staged.publish()


@contextmanager
def stage_weights(
    blobs: Blobs,
    job: JobRow,
    network: NetworkSpec,
    training: TrainingSpec,
    state: TrainingState,
    *,
    best: Summary | None,
    latest: Summary,
) -> Iterator[Staged]:
    """Store the weights of the best and of the latest epoch, once if they are the same.

    Before the transaction that publishes them: it keeps all others waiting, and a disk takes its time, and a bucket more.

    Args:
        job: As the run took it, with its token.
        best: What was measured in the best epoch; None: none was the best one.
        latest: And in the last one.
    """
    stopping = training.early_stopping
    own = Which.BEST if stopping is not None and stopping.restore_best and best is not None else Which.LATEST
    model_id = weights.model_of(job.id)
    run = job.run if blobs.are_shared else None
    folder = weights.folder(model_id, run)
    differ = _differ(state)
    stored: dict[Which, Summary] = {}

    def files() -> Iterator[tuple[str, bytes]]:
        """Give one file at a time: each is as large as the network."""
        for which in Which:
            if differ or which is own:
                content = to_npz(named_arrays(network, _stored(state, best=which is Which.BEST)))
                stored[which] = {"sha256": sha256(content).hexdigest(), "size_bytes": len(content)}
                yield f"{folder}/{'weights' if which is own else which}.npz", content

    metrics = {Which.BEST: best or latest, Which.LATEST: latest}
    with blobs.staged(files()) as publish:
        versions = {
            which: {**stored.get(which, stored[own]), "epoch": metrics[which]["epoch"], "metrics": metrics[which]}
            for which in Which
        }
        yield Staged(model_id, run, own, versions, publish)


def _differ(state: TrainingState) -> bool:
    best, latest = (state.best_parameters, state.parameters), (state.statistics[1], state.statistics[0])
    return state.best_epoch > 0 and not (np.array_equal(*best) and np.array_equal(*latest))


def _stored(state: TrainingState, *, best: bool) -> NDArray[np.floating]:
    """Give parameters and statistics; those of the latest epoch if no epoch was the best one."""
    if best and state.best_epoch > 0:
        return np.concatenate((state.best_parameters, state.statistics[1]))
    return np.concatenate((state.parameters, state.statistics[0]))


def training_of(resolved: Resolved) -> dict[str, Any]:
    """Give what is to be known of a training when its job is gone."""
    fields = {"target", "preprocessing", "target_scaling", "validation", "sample_weight", "class_weight"}
    fields |= {"n_train_rows", "n_validation_rows", "training"}
    return resolved.model_dump(mode="json", include=fields)
