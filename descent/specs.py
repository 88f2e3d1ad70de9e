"""Builders of the parts of a training whose fields depend on a name."""

from typing import Any

from pydantic import TypeAdapter

from app.contract import network

_OPTIMIZER: TypeAdapter[network.AnyOptimizer] = TypeAdapter(network.Optimizer)
_SCHEDULE: TypeAdapter[network.AnySchedule] = TypeAdapter(network.Schedule)


def optimizer(name: str, **parameters: Any) -> network.AnyOptimizer:
    """Make an optimizer: `optimizer("adam", learning_rate=0.01, betas=[0.9, 0.99])`; names and defaults are PyTorch's.

    Raises:
        pydantic.ValidationError: There is none of this name, or it has no such parameter, or not in these bounds.
    """
    return _OPTIMIZER.validate_python({"name": name, **parameters})


def schedule(name: str, **parameters: Any) -> network.AnySchedule:
    """Make a schedule of the learning rate: `schedule("cosine")`.

    Raises:
        pydantic.ValidationError: As of an optimizer.
    """
    return _SCHEDULE.validate_python({"name": name, **parameters})
