"""The numbers of Descent: multilayer perceptrons, trained by gradient descent. Knows no service."""

from engine.batches import Rows
from engine.checkpoint import CheckpointError, dump, load
from engine.checks import Fault, check
from engine.network import flops_per_epoch, memory_bytes
from engine.predict import predict
from engine.reports import Diverged, EpochReport
from engine.spec import (
    EarlyStopping,
    LayerSpec,
    NetworkSpec,
    OptimizerSpec,
    ScheduleSpec,
    TrainingSpec,
)
from engine.state import TrainingState
from engine.training import initial_state, train
from engine.weights import WeightsError, final_parameters, flat_parameters, named_arrays

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "Diverged",
    "EarlyStopping",
    "EpochReport",
    "Fault",
    "LayerSpec",
    "NetworkSpec",
    "OptimizerSpec",
    "Rows",
    "ScheduleSpec",
    "TrainingSpec",
    "TrainingState",
    "WeightsError",
    "check",
    "dump",
    "final_parameters",
    "flat_parameters",
    "flops_per_epoch",
    "initial_state",
    "load",
    "memory_bytes",
    "named_arrays",
    "predict",
    "train",
]
