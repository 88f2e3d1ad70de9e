"""What an entry of a registry takes besides its name: numbers, pairs and switches, with defaults and bounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = float | int | bool | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number (or pair, or switch) that an optimizer, schedule, loss or initializer takes, with its bounds.

    The type of ``default`` is the type of the parameter; the bounds hold for each number of a tuple.
    """

    name: str
    default: Value
    doc: str
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False


def complete(parameters: Iterable[Parameter], given: Mapping[str, Value]) -> dict[str, Value]:
    """Every parameter: what is given, and the default for what is not."""
    return {parameter.name: given.get(parameter.name, parameter.default) for parameter in parameters}
