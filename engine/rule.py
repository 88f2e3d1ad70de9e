"""What an optimizer is: an update rule on the flat vector of all parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from engine.arrays import Array
from engine.parameters import Parameter, Value, complete

Rates: TypeAlias = tuple[float, ...]


def _no_rates(step: int, learning_rate: float, parameters: Mapping[str, Any]) -> Rates:
    raise NotImplementedError("A search takes the steps.")


def _no_update(
    theta: Array, gradient: Array, slots: Sequence[Array], rates: Sequence[Array], scratch: Array, spare: Array
) -> None:
    raise NotImplementedError("A search takes the steps.")


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One update rule.

    Attributes:
        name: what a specification calls it.
        doc: its rule, for people.
        default_learning_rate: PyTorch's.
        parameters: what it takes besides the learning rate.
        slots: the names of the vectors that it keeps from step to step, all 0 at first.
        rates: ``rates(step, learning_rate, parameters)``: the numbers that ``update`` uses in step 1, 2, ...; always
            as many.
        update: ``update(theta, gradient, slots, rates, scratch, spare)`` changes ``theta`` and ``slots`` in place;
            ``scratch`` and ``spare`` are for it to overwrite. It works element by element, so it may be given any part
            of the vectors. A ``weight_decay`` is none of its business: `Stepper` sees to it.
        decouples_decay: whether ``weight_decay`` shrinks the parameters, instead of being added to the gradient.
        search: the search of `engine.searches` that takes the steps, instead of ``update``.
    """

    name: str
    doc: str
    default_learning_rate: float
    parameters: tuple[Parameter, ...]
    slots: tuple[str, ...]
    rates: Callable[[int, float, Mapping[str, Any]], Rates] = _no_rates
    update: Callable[[Array, Array, Sequence[Array], Sequence[Array], Array, Array], None] = _no_update
    decouples_decay: bool = False
    search: Literal["armijo", "wolfe"] | None = None

    def complete(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Every parameter: what is given, and the default for what is not."""
        return complete(self.parameters, given)

    def n_slots(self, given: Mapping[str, Value]) -> int:
        """How many vectors are kept: one a slot, or, where there is a history, as many of each as it is long."""
        return len(self.slots) * int(self.complete(given).get("history_size", 1))  # type: ignore[arg-type]


DECAY = Parameter("weight_decay", 0.0, "Added to the gradient: so much of each weight and bias.", 0.0)
DECOUPLED_DECAY = Parameter(
    "weight_decay", 0.01, "So much of each weight and bias is lost, times the learning rate.", 0.0
)
EPS = Parameter("eps", 1e-8, "Added to the root of the mean of squares.", 0.0)
MOMENTUM = Parameter("momentum", 0.9, "Share of the velocity that is kept.", 0.0, 1.0)
