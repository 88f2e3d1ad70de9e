"""Outputs of a trained network, and what each row costs, in blocks of rows."""

import numpy as np
from jaxtyping import Float, Shaped

from engine.arrays import Array
from engine.batches import evaluation_layout, spans
from engine.losses import LOSSES, Loss
from engine.network import Workspace, forward
from engine.spec import NetworkSpec


class Scorer:
    """A trained network that answers rows, up to ``n_rows`` of them at a time.

    ``stored`` is what `engine.weights.final_parameters` gives: parameters, then the statistics of batch normalisation.
    ``x`` and ``y`` may be mapped and of any real dtype: they are read block by block, and beside the answers the memory
    is bounded. Numbers that overflow become infinite or NaN, without a warning.
    """

    def __init__(self, network: NetworkSpec, stored: Float[Array, " n_stored"], loss: Loss, n_rows: int) -> None:
        self._network, self._dtype = network, stored.dtype
        self._layout = evaluation_layout(network, stored.itemsize, n_rows)
        parameters, statistics = np.split(stored, [network.n_parameters])
        self._workspace = Workspace(network, loss, self._layout, parameters, statistics)

    def outputs(self, x: Shaped[Array, "n n_inputs"]) -> Float[Array, "n n_outputs"]:
        """The outputs ``a^L`` of the network for each row of ``x``, in the dtype of ``stored``."""
        return self._pass(x, None, None)

    def score(
        self, x: Shaped[Array, "n n_inputs"], y: Shaped[Array, "n n_outputs"]
    ) -> tuple[Float[Array, "n n_outputs"], Float[Array, " n"]]:
        """The outputs for each row of ``x``, and (in float64) the cost of each against ``y``: their mean is the loss."""
        costs = np.empty(len(x))
        return self._pass(x, y, costs), costs

    def _pass(
        self, x: Shaped[Array, "n n_inputs"], y: Shaped[Array, "n n_outputs"] | None, costs: Float[Array, " n"] | None
    ) -> Float[Array, "n n_outputs"]:
        outputs = np.empty((len(x), self._network.n_outputs), self._dtype)
        workspace = self._workspace
        with np.errstate(all="ignore"):
            for start, stop in spans(0, len(x), self._layout.block_rows):
                n = stop - start
                workspace.x[:n] = x[start:stop]
                forward(workspace.pass_over(0, n, n))
                outputs[start:stop] = workspace.a[:n]
                if y is not None and costs is not None:
                    workspace.y[:n] = y[start:stop]
                    costs[start:stop] = workspace.row_costs(n)
        return outputs


def predict(
    network: NetworkSpec, stored: Float[Array, " n_stored"], x: Shaped[Array, "n n_inputs"]
) -> Float[Array, "n n_outputs"]:
    """The outputs ``a^L`` of the network for each row of ``x``, as `Scorer.outputs` gives them."""
    if len(x) == 0:
        return np.empty((0, network.n_outputs), stored.dtype)
    # The cost is not asked for: any loss will do.
    return Scorer(network, stored, LOSSES["quadratic"], len(x)).outputs(x)
