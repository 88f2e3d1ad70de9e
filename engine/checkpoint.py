"""A training state as bytes and back: the same bits, whatever the machine it is read on.

The form is ``.npz``: C-ordered arrays, no pickle, and one text of JSON for the counters and the state of the
generator. Bytes depend on the state alone.
"""

import json
import zipfile
from io import BytesIO
from typing import Any

import numpy as np

from engine.spec import NetworkSpec, TrainingSpec
from engine.state import TrainingState, blank_state

FORMAT = 2
_ARRAYS = ("vectors", "best_parameters", "statistics", "tally")
_NUMBERS = ("best_loss", "reference_loss", "gradient_norm")
_COUNTERS = ("epoch", "step", "position", "best_epoch", "epochs_without_improvement", "stopped_because")


class CheckpointError(Exception):
    """Bytes that are not a checkpoint of this network and training."""


def dump(state: TrainingState) -> bytes:
    """The bytes of a state, as it is between two yields of `engine.training.train`."""
    text = {name: getattr(state, name) for name in _COUNTERS}
    text |= {
        "format": FORMAT,
        "generator": state.generator.bit_generator.state,
        "epoch_generator": state.epoch_generator,
        "memory": state.memory,
        "spec": state.spec,
    }
    arrays = {name: np.ascontiguousarray(getattr(state, name)) for name in _ARRAYS}
    arrays["numbers"] = np.array([getattr(state, name) for name in _NUMBERS])
    arrays["text"] = np.frombuffer(json.dumps(text, sort_keys=True).encode(), np.uint8)
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read(data: bytes) -> TrainingState:
    """The state that `dump` made bytes of, of whatever network and training; ``state.spec`` tells which.

    Raises:
        CheckpointError: the bytes are no checkpoint.
    """
    arrays, text = _parts(data)
    if text.get("format") != FORMAT:
        raise CheckpointError(f"The checkpoint has format {text.get('format')}, not {FORMAT}.")
    try:
        generator = np.random.Generator(np.random.PCG64())
        named = {name: arrays[name] for name in _ARRAYS}
        state = TrainingState(spec=text["spec"], generator=generator, **named)
        _set_numbers(state, arrays, text)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError("The checkpoint is incomplete.") from error
    return state


def load(data: bytes, network: NetworkSpec, training: TrainingSpec) -> TrainingState:
    """The state that `dump` made bytes of.

    Raises:
        CheckpointError: the bytes are no checkpoint, or one of another network, training, shape or dtype.
    """
    arrays, text = _parts(data)
    if text.get("format") != FORMAT:
        raise CheckpointError(f"The checkpoint has format {text.get('format')}, not {FORMAT}.")
    state = blank_state(network, training)
    if text.get("spec") != state.spec:
        raise CheckpointError("The checkpoint is of another network or training.")
    try:
        for name in _ARRAYS:
            _fill(name, getattr(state, name), arrays[name])
        _set_numbers(state, arrays, text)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError("The checkpoint is incomplete.") from error
    return state


def _set_numbers(state: TrainingState, arrays: dict[str, Any], text: dict[str, Any]) -> None:
    for name, value in zip(_NUMBERS, arrays["numbers"].tolist(), strict=True):
        setattr(state, name, value)
    for name in _COUNTERS:
        setattr(state, name, text[name])
    state.generator.bit_generator.state = text["generator"]
    state.epoch_generator = text["epoch_generator"]
    state.memory = dict(text["memory"])


def _parts(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        with np.load(BytesIO(data), allow_pickle=False) as file:
            arrays = dict(file)
        text = json.loads(arrays["text"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError("The bytes are not a checkpoint.") from error
    if not isinstance(text, dict):
        raise CheckpointError("The bytes are not a checkpoint.")
    return arrays, text


def _fill(name: str, target: Any, array: Any) -> None:
    if array.shape != target.shape or array.dtype != target.dtype:
        wanted = f"{target.shape} {target.dtype}"
        raise CheckpointError(f"{name} is {array.shape} {array.dtype} instead of {wanted}.")
    target[:] = array
