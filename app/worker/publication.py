"""What a model keeps beside its own weights: those of the best and of the latest epoch, and how it was trained."""

from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.jobs import Resolved
from app.contract.models import Which
from app.exports.weights import to_npz
from app.store.blobs import Blobs
from engine.spec import NetworkSpec
from engine.state import TrainingState
from engine.weights import named_arrays

Summary = dict[str, Any]


def keep_versions(
    blobs: Blobs,
    model_id: str,
    network: NetworkSpec,
    state: TrainingState,
    own: bytes,
    *,
    best: Summary,
    latest: Summary,
) -> Summary:
    """Store the weights of the best and of the latest epoch; those that are the model's own are there already.

    Args:
        own: The model's weights as `.npz`: the ones or the others.
        best: What was measured in the best epoch.
        latest: And in the last one.

    Returns:
        What the model's row says of both.
    """
    stored = {Which.BEST: _stored(state, best=True), Which.LATEST: _stored(state, best=False)}
    if np.array_equal(stored[Which.BEST], stored[Which.LATEST]):
        del stored[Which.BEST]
    versions = {}
    for which, vector in stored.items():
        content = to_npz(named_arrays(network, vector))
        if content != own:
            blobs.put(f"models/{model_id}/{which}.npz", content)
        versions[which] = {"sha256": sha256(content).hexdigest(), "size_bytes": len(content)}
    metrics = {Which.BEST: best, Which.LATEST: latest}
    return {
        which: {
            **versions.get(which, versions[Which.LATEST]),
            "epoch": metrics[which]["epoch"],
            "metrics": metrics[which],
        }
        for which in Which
    }


def _stored(state: TrainingState, *, best: bool) -> NDArray[np.floating]:
    """Give parameters and statistics; those of the latest epoch if no epoch was the best one."""
    if best and state.best_epoch > 0:
        return np.concatenate((state.best_parameters, state.statistics[1]))
    return np.concatenate((state.parameters, state.statistics[0]))


def receipt(resolved: Resolved) -> dict[str, Any]:
    """Give what is to be known of a training when its job is gone."""
    fields = {"target", "preprocessing", "target_scaling", "validation", "sample_weight", "class_weight"}
    fields |= {"n_train_rows", "n_validation_rows", "training"}
    return resolved.model_dump(mode="json", include=fields)
