"""What holds weights small: penalties that are part of the training loss, and a largest norm. Biases are left alone."""

import numpy as np
from jaxtyping import Float

from engine.arrays import Array
from engine.network import layer_views
from engine.spec import NetworkSpec


class Penalty:
    """``l1 sum |W| + l2 / 2 sum W^2`` over all weights, bound to the parameters and to the gradient."""

    def __init__(
        self,
        network: NetworkSpec,
        l1: float,
        l2: float,
        *,
        parameters: Float[Array, " n_parameters"],
        gradient: Float[Array, " n_parameters"],
    ) -> None:
        self._l1, self._l2 = l1, l2
        pairs = zip(layer_views(network, parameters), layer_views(network, gradient), strict=True)
        self._weights = [(W.reshape(-1), dW.reshape(-1)) for (W, _), (dW, _) in pairs]
        self._scratch = np.empty(max(W.size for W, _ in self._weights), parameters.dtype)

    def value(self) -> float:
        """The penalty of the parameters as they are."""
        total = 0.0
        for W, _ in self._weights:
            if self._l1:
                scratch = self._scratch[: W.size]
                np.abs(W, scratch)
                total += self._l1 * float(np.add.reduce(scratch))
            total += 0.5 * self._l2 * float(np.dot(W, W))
        return total

    def add_gradient(self) -> None:
        """Add the penalty's gradient; that of ``|W|`` is 0 at 0."""
        for W, dW in self._weights:
            scratch = self._scratch[: W.size]
            if self._l1:
                np.sign(W, scratch)
                np.multiply(scratch, self._l1, scratch)
                np.add(dW, scratch, dW)
            if self._l2:
                np.multiply(W, self._l2, scratch)
                np.add(dW, scratch, dW)


class MaxNorm:
    """Keeps the weights into each unit within a length, as a step may have made them longer."""

    def __init__(self, network: NetworkSpec, longest: float, parameters: Float[Array, " n_parameters"]) -> None:
        self._longest = longest
        weights = [W for W, _ in layer_views(network, parameters)]
        self._layers = [(W, np.empty(len(W), parameters.dtype)) for W in weights]

    def project(self) -> None:
        """Shorten the rows that are too long."""
        for W, norms in self._layers:
            np.vecdot(W, W, norms)
            np.sqrt(norms, norms)
            np.maximum(norms, self._longest, out=norms)
            np.divide(self._longest, norms, norms)
            np.multiply(W, norms[:, None], W)
