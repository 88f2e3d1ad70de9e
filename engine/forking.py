"""A state to go on from with another training: of what a run knows, all that still means something."""

import json
from collections.abc import Mapping
from typing import Any

from engine.optimizers import OPTIMIZERS
from engine.spec import NetworkSpec, TrainingSpec
from engine.state import TrainingState, blank_state

Plain = Mapping[str, Any]

# What the loss that is watched is a number of; and what the rows of an epoch and the steps over them follow from.
_LOSS = ("loss", "loss_parameters", "label_smoothing", "l1", "l2")
_EPOCH = ("batch_size", "shuffle", *_LOSS)
_PLATEAU = frozenset({"learning_rate", "best", "bad", "rest"})


def fork(saved: TrainingState, network: NetworkSpec, training: TrainingSpec, *, best: bool = False) -> TrainingState:
    """The state from which ``training`` goes on where another training of the same network and dtype had come to.

    If nothing changed but ``epochs``, the run goes on as if it had never ended. Weights, statistics, the number of
    epochs and the generator always stay. The optimizer's vectors and its count of steps stay with the optimizer (its
    numbers may change); another one begins anew, and so does a schedule by step. The best weights so far and the
    patience stay as long as the watched loss is the same number. An epoch that had begun is begun anew, with the
    weights as they are, if its batches or its loss change.

    Args:
        saved: as `engine.checkpoint.read` gives it.
        network: its network.
        training: the training to come.
        best: go on from the best weights instead of the latest: with a new optimizer, from the end of their epoch.
    """
    state = blank_state(network, training)
    before, after = json.loads(saved.spec)["training"], json.loads(state.spec)["training"]
    state.parameters[:] = saved.best_parameters if best else saved.parameters
    state.statistics[0] = saved.statistics[1 if best else 0]
    state.generator.bit_generator.state = saved.generator.bit_generator.state
    state.epoch = saved.best_epoch if best else saved.epoch
    if keeps_best(before, after):
        state.best_parameters[:] = saved.best_parameters
        state.statistics[1] = saved.statistics[1]
        state.best_epoch, state.best_loss = saved.best_epoch, saved.best_loss
        if saved.stopped_because != "early_stopping" and not best:
            state.reference_loss = saved.reference_loss
            state.epochs_without_improvement = saved.epochs_without_improvement
    if not best:
        _keep_optimizer(state, saved, before, after)
        if _same(before, after, _EPOCH):
            state.position, state.epoch_generator = saved.position, saved.epoch_generator
            state.tally[:] = saved.tally
            state.gradient_norm = saved.gradient_norm
    return state


def keeps_best(before: Plain, after: Plain) -> bool:
    """Whether the lowest loss so far can be compared with those to come; each is a training, as in ``state.spec``."""
    return _same(before, after, _LOSS) and _watched(before) == _watched(after)


def _keep_optimizer(state: TrainingState, saved: TrainingState, before: Plain, after: Plain) -> None:
    """Take over what optimizer and schedule remember; ``memory`` is shared by a search and by a plateau."""
    name = before["optimizer"]["name"]
    searches = OPTIMIZERS[name].search is not None
    if (
        name == after["optimizer"]["name"]
        and saved.vectors.shape == state.vectors.shape
        and (not searches or _same(before, after, _EPOCH))
    ):
        state.slots[:] = saved.slots
        state.step = saved.step
        state.memory |= {key: value for key, value in saved.memory.items() if key not in _PLATEAU}
    rates = [(one["schedule"], one["optimizer"]["learning_rate"]) for one in (before, after)]
    if rates[0] == rates[1] and keeps_best(before, after):
        state.memory |= {key: value for key, value in saved.memory.items() if key in _PLATEAU}


def _same(before: Plain, after: Plain, names: tuple[str, ...]) -> bool:
    return all(before[name] == after[name] for name in names)


def _watched(training: Plain) -> str:
    stopping = training["early_stopping"]
    return "validation_loss" if stopping is None else str(stopping["monitor"])
