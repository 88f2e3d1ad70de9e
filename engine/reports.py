"""What a run says: of each epoch, and that it cannot go on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What an epoch came to.

    Attributes:
        epoch: 1 for the first.
        train_loss: mean over the epoch's rows of the cost and its penalties, as seen while training.
        validation_loss: mean cost over the validation rows after the epoch; None without such rows.
        metrics: over the validation rows after the epoch, or over the outputs seen while training.
        learning_rate: of the epoch's last step.
        gradient_norm: L2 norm of the epoch's last gradient, before clipping.
        best: whether the loss that is watched is the lowest so far.
        line_search: the accepted ``step``, the ``tries`` it took, and for backtracking the ``margin`` by which the loss
            fell more than it had to; None for an optimizer that does not search. A step of 0 is none.
    """

    epoch: int
    train_loss: float
    validation_loss: float | None
    metrics: dict[str, float]
    learning_rate: float
    gradient_norm: float
    best: bool
    line_search: dict[str, float] | None = None


class Diverged(Exception):
    """A loss or a parameter stopped being finite in ``epoch``. The state is as it was at the last yield."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"The loss or a weight stopped being finite in epoch {epoch}.")
        self.epoch = epoch
