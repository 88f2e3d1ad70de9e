"""Every fault of a specification: at once, each at its place, with what is allowed there."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from engine.activations import ACTIVATIONS
from engine.batches import Rows
from engine.initializers import INITIALIZERS
from engine.losses import LOSSES
from engine.optimizers import OPTIMIZERS
from engine.parameters import Parameter, Value
from engine.schedules import SCHEDULES
from engine.spec import LayerSpec, NetworkSpec, OptimizerSpec, ScheduleSpec, TrainingSpec

DTYPES = ("float32", "float64")
TASKS = ("classification", "regression")
KERNELS = ("numpy", "numba")
MONITORS = ("validation_loss", "train_loss")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a specification.

    ``field`` is its place, such as ``network.layers.0.activation``; ``code`` is stable; ``allowed`` is given where
    there is a list.
    """

    field: str
    code: str
    message: str
    allowed: tuple[str, ...] | None = None


def check(network: NetworkSpec, training: TrainingSpec) -> list[Fault]:
    """Every fault of the two specifications at once; an empty list if they can be trained."""
    return [
        *_network_faults(network),
        *_training_faults(training),
        *_optimizer_faults(training.optimizer),
        *_schedule_faults(training.schedule),
        *_output_faults(network, training),
        *_loss_faults(training),
        *_search_faults(network, training),
    ]


def _unknown(place: str, what: str, name: str, allowed: Mapping[str, object] | tuple[str, ...]) -> Iterator[Fault]:
    if name not in allowed:
        names = tuple(allowed)
        yield Fault(place, f"unknown_{what}", f"There is no {what} {name!r}; there is {', '.join(names)}.", names)


def _between(place: str, value: float, minimum: float, below: float) -> Iterator[Fault]:
    if not minimum <= value < below:
        yield Fault(place, "out_of_range", f"Must be at least {minimum:g} and less than {below:g}; it is {value:g}.")


def _at_least(place: str, value: float | None, minimum: float, *, exclusive: bool = False) -> Iterator[Fault]:
    if value is not None and not (isfinite(value) and (value > minimum if exclusive else value >= minimum)):
        bound = "greater than" if exclusive else "at least"
        yield Fault(place, "out_of_range", f"Must be finite and {bound} {minimum:g}; it is {value:g}.")


def _network_faults(network: NetworkSpec) -> Iterator[Fault]:
    yield from _at_least("network.n_inputs", network.n_inputs, 1)
    yield from _unknown("network.initializer", "initializer", network.initializer, ("auto", *INITIALIZERS))
    if network.initializer in INITIALIZERS:
        known = INITIALIZERS[network.initializer].parameters
        yield from _values_faults("network.initializer_parameters", network.initializer_parameters, known)
    elif network.initializer_parameters:
        yield from _values_faults("network.initializer_parameters", network.initializer_parameters, ())
    if not network.layers:
        yield Fault("network.layers", "no_layers", "A network has at least an output layer.")
    hidden = tuple(name for name, act in ACTIVATIONS.items() if act.elementwise)
    for i, layer in enumerate(network.layers):
        place = f"network.layers.{i}"
        yield from _at_least(f"{place}.units", layer.units, 1)
        yield from _between(f"{place}.dropout", layer.dropout, 0.0, 1.0)
        if i == len(network.layers) - 1:
            yield from _unknown(f"{place}.activation", "activation", layer.activation, ACTIVATIONS)
            yield from _only_hidden_faults(place, layer)
        elif layer.activation in ACTIVATIONS and layer.activation not in hidden:
            message = f"A hidden layer cannot be {layer.activation}; it can be {', '.join(hidden)}."
            yield Fault(f"{place}.activation", "activation_is_for_outputs", message, hidden)
        else:
            yield from _unknown(f"{place}.activation", "activation", layer.activation, hidden)


def _only_hidden_faults(place: str, layer: LayerSpec) -> Iterator[Fault]:
    if layer.dropout > 0.0:
        yield Fault(f"{place}.dropout", "only_for_hidden_layers", "The output layer drops no unit: it must be 0.")
    if layer.batch_norm:
        yield Fault(f"{place}.batch_norm", "only_for_hidden_layers", "The output layer is not normalised.")


def _training_faults(training: TrainingSpec) -> Iterator[Fault]:
    yield from _unknown("training.loss", "loss", training.loss, LOSSES)
    yield from _unknown("training.dtype", "dtype", training.dtype, DTYPES)
    yield from _unknown("training.task", "task", training.task, TASKS)
    yield from _unknown("training.kernels", "kernels", training.kernels, KERNELS)
    yield from _at_least("training.epochs", training.epochs, 1)
    yield from _at_least("training.batch_size", training.batch_size, 1)
    yield from _at_least("training.seed", training.seed, 0)
    yield from _at_least("training.l1", training.l1, 0)
    yield from _at_least("training.l2", training.l2, 0)
    yield from _at_least("training.max_norm", training.max_norm, 0, exclusive=True)
    yield from _between("training.label_smoothing", training.label_smoothing, 0.0, 1.0)
    yield from _at_least("training.gradient_clip_norm", training.gradient_clip_norm, 0, exclusive=True)
    yield from _at_least("training.gradient_clip_value", training.gradient_clip_value, 0, exclusive=True)
    if (stopping := training.early_stopping) is not None:
        yield from _unknown("training.early_stopping.monitor", "monitor", stopping.monitor, MONITORS)
        yield from _at_least("training.early_stopping.patience", stopping.patience, 1)
        yield from _at_least("training.early_stopping.min_delta", stopping.min_delta, 0)


def _optimizer_faults(spec: OptimizerSpec) -> Iterator[Fault]:
    place = "training.optimizer"
    yield from _at_least(f"{place}.learning_rate", spec.learning_rate, 0, exclusive=True)
    yield from _unknown(f"{place}.name", "optimizer", spec.name, OPTIMIZERS)
    if spec.name in OPTIMIZERS:
        yield from _values_faults(place, spec.parameters, OPTIMIZERS[spec.name].parameters)


def _schedule_faults(spec: ScheduleSpec) -> Iterator[Fault]:
    yield from _unknown("training.schedule.name", "schedule", spec.name, SCHEDULES)
    if spec.name in SCHEDULES:
        yield from _values_faults("training.schedule", spec.parameters, SCHEDULES[spec.name].parameters)


def _values_faults(place: str, given: Mapping[str, Value], parameters: Iterable[Parameter]) -> Iterator[Fault]:
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in given.items():
        if name in known:
            yield from _parameter_faults(f"{place}.{name}", value, known[name])
        else:
            there = f"there is {', '.join(known)}" if known else "there is none"
            message = f"There is no parameter {name!r} here; {there}."
            yield Fault(f"{place}.{name}", "unknown_parameter", message, tuple(known))


def _parameter_faults(place: str, value: Value, parameter: Parameter) -> Iterator[Fault]:
    default = parameter.default
    if isinstance(default, bool) or isinstance(value, bool):
        if type(default) is not type(value):
            yield Fault(place, "wrong_type", f"Must be {'a boolean' if isinstance(default, bool) else 'a number'}.")
        return
    numbers = value if isinstance(value, tuple) else (value,)
    if isinstance(default, tuple) != isinstance(value, tuple) or (
        isinstance(default, tuple) and len(default) != len(numbers)
    ):
        wanted = f"{len(default)} numbers" if isinstance(default, tuple) else "one number"
        yield Fault(place, "wrong_type", f"Must be {wanted}.")
        return
    if isinstance(default, int) and not all(float(number).is_integer() for number in numbers):
        yield Fault(place, "wrong_type", "Must be a whole number.")
        return
    low, high = parameter.minimum, parameter.maximum
    for number in numbers:
        too_low = low is not None and (number <= low if parameter.exclusive_minimum else number < low)
        too_high = high is not None and (number >= high if parameter.exclusive_maximum else number > high)
        if too_low or too_high or not isfinite(number):
            yield Fault(place, "out_of_range", f"Must be {_bounds(parameter)}; it is {number:g}.")


def _bounds(parameter: Parameter) -> str:
    words = ["finite"]
    if parameter.minimum is not None:
        words.append(f"{'greater than' if parameter.exclusive_minimum else 'at least'} {parameter.minimum:g}")
    if parameter.maximum is not None:
        words.append(f"{'less than' if parameter.exclusive_maximum else 'at most'} {parameter.maximum:g}")
    return " and ".join(words)


def _output_faults(network: NetworkSpec, training: TrainingSpec) -> Iterator[Fault]:
    """What does not go together in the last layer and the batches."""
    if not network.layers:
        return
    last, place = network.layers[-1], f"network.layers.{len(network.layers) - 1}"
    if last.activation == "softmax" and last.units == 1:
        message = "Softmax over one unit is always 1: take two units, or sigmoid."
        yield Fault(f"{place}.units", "softmax_of_one_unit", message)
    outputs = LOSSES[training.loss].outputs if training.loss in LOSSES else None
    if outputs is not None and last.activation in ACTIVATIONS and last.activation not in outputs:
        needed = " or ".join(outputs)
        message = f"The loss {training.loss} needs the output activation {needed}, not {last.activation}."
        yield Fault(f"{place}.activation", "activation_does_not_fit_loss", message, outputs)
    if network.n_statistics and training.batch_size == 1:
        message = "Batch normalisation needs batches of at least 2 rows: one row does not vary."
        yield Fault("training.batch_size", "batch_norm_of_one_row", message)


def _loss_faults(training: TrainingSpec) -> Iterator[Fault]:
    if training.loss not in LOSSES:
        return
    loss = LOSSES[training.loss]
    yield from _values_faults("training.loss_parameters", training.loss_parameters, loss.parameters)
    if training.task in TASKS and training.task not in loss.tasks:
        losses = tuple(name for name, other in LOSSES.items() if training.task in other.tasks)
        message = f"The loss {loss.name} is for {' and '.join(loss.tasks)}, not {training.task}."
        yield Fault("training.loss", "loss_does_not_fit_task", message, losses)
    if training.label_smoothing > 0.0 and not loss.smooths:
        losses = tuple(name for name, other in LOSSES.items() if other.smooths)
        message = f"Label smoothing needs the loss {' or '.join(losses)}; with {loss.name} it must be 0."
        yield Fault("training.label_smoothing", "smoothing_does_not_fit_loss", message)


def _search_faults(network: NetworkSpec, training: TrainingSpec) -> Iterator[Fault]:
    """What a search along a line cannot be: it compares losses, which must be of the same rows and units."""
    name = training.optimizer.name
    if name not in OPTIMIZERS or OPTIMIZERS[name].search is None:
        return
    others = tuple(other for other, optimizer in OPTIMIZERS.items() if optimizer.search is None)
    if training.batch_size is not None:
        message = f"The optimizer {name} needs the full batch."
        yield Fault("training.batch_size", "search_needs_full_batch", message, ("full",))
    for i, layer in enumerate(network.layers[:-1]):
        for what, given in (("dropout", layer.dropout > 0.0), ("batch_norm", layer.batch_norm)):
            if given:
                message = f"The optimizer {name} allows no {what}; {', '.join(others)} do."
                yield Fault(f"network.layers.{i}.{what}", "search_needs_a_fixed_loss", message)
    for what in ("gradient_clip_norm", "gradient_clip_value", "max_norm"):
        if getattr(training, what) is not None:
            message = f"The optimizer {name} needs the gradient and the step as they are: it must be null."
            yield Fault(f"training.{what}", "search_needs_the_gradient", message)


def check_rows(network: NetworkSpec, training: TrainingSpec, rows: Rows) -> None:
    """See that rows fit what is to be trained.

    Raises:
        ValueError: they do not.
    """
    wanted = (network.n_inputs, network.n_outputs)
    if len(rows) == 0 or len(rows.x) != len(rows.y) or (rows.x.shape[1], rows.y.shape[1]) != wanted:
        raise ValueError(f"Rows of shapes {rows.x.shape} and {rows.y.shape} do not fit a network of {wanted}.")
    if rows.x.dtype != training.dtype or rows.y.dtype != training.dtype:
        raise ValueError(f"Rows of {rows.x.dtype} and {rows.y.dtype} do not fit a training in {training.dtype}.")
    if (weights := rows.weights) is None:
        return
    if len(weights) != len(rows) or weights.dtype != training.dtype:
        raise ValueError(f"Weights {weights.shape} in {weights.dtype} do not fit {len(rows)} rows in {training.dtype}.")
    if not (np.isfinite(weights).all() and (weights >= 0.0).all() and weights.any()):
        raise ValueError("Weights must be finite and at least 0, and not all of them 0.")
