"""What can be trained: the shape of a network, and how it is trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from engine.parameters import Value


@dataclass(frozen=True)
class LayerSpec:
    """One layer: how many units it has and what they do to their weighted input.

    With ``batch_norm`` the weighted input is normalised before the activation. ``dropout`` is the probability that a
    unit of a hidden layer is silent in a step of the training; the others are then louder by ``1 / (1 - dropout)``.
    """

    units: int
    activation: str = "relu"
    dropout: float = 0.0
    batch_norm: bool = False


@dataclass(frozen=True)
class NetworkSpec:
    """The shape of a network. ``layers`` includes the output layer."""

    n_inputs: int
    layers: tuple[LayerSpec, ...]
    initializer: str = "auto"
    bias: bool = True
    initializer_parameters: Mapping[str, Value] = field(default_factory=dict)

    @property
    def widths(self) -> tuple[int, ...]:
        """``(n_inputs, units of the first layer, ..., n_outputs)``."""
        return (self.n_inputs, *(layer.units for layer in self.layers))

    @property
    def n_outputs(self) -> int:
        """Units of the output layer."""
        return self.layers[-1].units

    @property
    def n_parameters(self) -> int:
        """Weights and biases together, and two for each unit that is normalised: all that is trained."""
        return sum(n * (n_prev + self.bias) for n_prev, n in pairwise(self.widths)) + self.n_statistics

    @property
    def n_statistics(self) -> int:
        """Running means and variances of the units that are normalised."""
        return 2 * sum(layer.units for layer in self.layers if layer.batch_norm)

    @property
    def n_stored(self) -> int:
        """All that a trained network is: its parameters, then its statistics."""
        return self.n_parameters + self.n_statistics


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer by name, its learning rate, and those of its parameters that are not left at their default."""

    name: str = "adam"
    learning_rate: float = 1e-3
    parameters: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class ScheduleSpec:
    """A schedule by name, and those of its parameters that are not left at their default."""

    name: str = "constant"
    parameters: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when ``monitor`` has not fallen by more than ``min_delta`` for ``patience`` epochs in a row.

    With ``restore_best`` the weights of the epoch with the lowest ``monitor`` are the result, however the run ended.
    """

    monitor: Literal["validation_loss", "train_loss"] = "validation_loss"
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True


@dataclass(frozen=True)
class TrainingSpec:
    """How a network is trained.

    ``batch_size`` None is the full batch, whose rows are never shuffled: their order changes only the rounding. The
    gradient is clipped by norm first, then by value. ``l1`` times the sum of ``|W|`` and ``l2`` half the sum of ``W^2``
    (so that ``l2`` is the usual weight decay) over all weights, biases left out, are part of the training loss, not of
    the validation loss. ``max_norm`` is the largest length of a unit's weights after a step. ``label_smoothing``
    mixes the targets with equal chances for all classes, in both losses. ``kernels`` is what computes the steps: NumPy,
    or machine code where `engine.kernels.available` allows it. They differ in rounding, so a run keeps to one.
    """

    loss: str
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    epochs: int = 100
    batch_size: int | None = 32
    shuffle: bool = True
    seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"
    task: Literal["classification", "regression"] = "classification"
    gradient_clip_norm: float | None = None
    gradient_clip_value: float | None = None
    early_stopping: EarlyStopping | None = None
    loss_parameters: Mapping[str, Value] = field(default_factory=dict)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None
    label_smoothing: float = 0.0
    kernels: Literal["numpy", "numba"] = "numpy"


def as_text(network: NetworkSpec, training: TrainingSpec) -> str:
    """Both specifications as one text: equal texts are equal specifications."""
    fields = {"network": network, "training": training}
    return json.dumps(
        fields, sort_keys=True, default=lambda value: dict(value if isinstance(value, Mapping) else vars(value))
    )
