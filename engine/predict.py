"""Outputs of a trained network, in blocks of rows."""

import numpy as np
from jaxtyping import Float, Shaped

from engine.arrays import Array
from engine.batches import evaluation_layout, spans
from engine.losses import LOSSES
from engine.network import Workspace, forward
from engine.spec import NetworkSpec


def predict(
    network: NetworkSpec, stored: Float[Array, " n_stored"], x: Shaped[Array, "n n_inputs"]
) -> Float[Array, "n n_outputs"]:
    """The outputs ``a^L`` of the network for each row of ``x``, in the dtype of ``stored``.

    ``stored`` is what `engine.weights.final_parameters` gives: parameters, then the statistics of batch normalisation.
    ``x`` may be mapped and of any real dtype: it is read block by block, and beside the answer the memory is bounded.
    """
    outputs = np.empty((len(x), network.n_outputs), stored.dtype)
    if len(x) == 0:
        return outputs
    layout = evaluation_layout(network, stored.itemsize, len(x))
    # The cost is not asked for: any loss will do.
    parameters, statistics = np.split(stored, [network.n_parameters])
    workspace = Workspace(network, LOSSES["quadratic"], layout, parameters, statistics)
    with np.errstate(all="ignore"):
        for start, stop in spans(0, len(x), layout.block_rows):
            n = stop - start
            workspace.x[:n] = x[start:stop]
            forward(workspace.pass_over(0, n, n))
            outputs[start:stop] = workspace.a[:n]
    return outputs
