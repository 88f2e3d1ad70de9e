"""Weights by name, as they are stored: ``layers.0.weight`` ``(n_out, n_in)``, ``layers.0.bias`` ``(n_out,)``, ..."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from engine.activations import ACTIVATIONS
from engine.arrays import Array
from engine.initializers import INITIALIZERS
from engine.network import layer_views, norm_views, statistics_views
from engine.parameters import complete
from engine.spec import NetworkSpec, TrainingSpec
from engine.state import TrainingState


class WeightsError(Exception):
    """Named arrays that are not the weights of a network; ``faults`` has a sentence for each wrong or missing name."""

    def __init__(self, by_name: list[tuple[str, str]]) -> None:
        self.by_name = by_name
        self.faults = [f"{name} {what}" for name, what in by_name]
        super().__init__(" ".join(self.faults))


def named_arrays(network: NetworkSpec, stored: Float[Array, " n_stored"]) -> dict[str, Array]:
    """All that a trained network is by name, as views of the flat vector, in the order of the layers.

    Where a layer is normalised, there are also ``batch_norm.weight`` and ``batch_norm.bias`` (``gamma`` and ``beta``),
    ``batch_norm.running_mean`` and ``batch_norm.running_var``.
    """
    arrays: dict[str, Array] = {}
    parameters, statistics = np.split(stored, [network.n_parameters])
    norms, running = norm_views(network, parameters), statistics_views(network, statistics)
    for i, (W, b) in enumerate(layer_views(network, parameters)):
        arrays[f"layers.{i}.weight"] = W
        if b is not None:
            arrays[f"layers.{i}.bias"] = b
        for names, views in ((("weight", "bias"), norms[i]), (("running_mean", "running_var"), running[i])):
            arrays |= {f"layers.{i}.batch_norm.{name}": view for name, view in zip(names, views or (), strict=False)}
    return arrays


def flat_parameters(network: NetworkSpec, arrays: Mapping[str, Array], dtype: str) -> Float[Array, " n_stored"]:
    """The flat vector of named arrays, copied: parameters, then the statistics of batch normalisation.

    Numbers of another precision are rounded to the nearest of ``dtype``.

    Raises:
        WeightsError: a name is missing or unknown, a shape is wrong, or a number is not finite; it lists all of them.
    """
    faults = weights_faults(network, arrays, dtype)
    if faults:
        raise WeightsError(faults)
    stored = np.zeros(network.n_stored, dtype)
    for name, view in named_arrays(network, stored).items():
        view[:] = arrays[name]
    return stored


def weights_faults(network: NetworkSpec, arrays: Mapping[str, Array], dtype: str) -> list[tuple[str, str]]:
    """What keeps named arrays from being the weights of a network, as (name, what is wrong); takes no memory for it."""
    # Only the shapes of these views are looked at: however large the network, behind them is a single number.
    views = named_arrays(network, np.broadcast_to(np.zeros((), dtype), network.n_stored))
    faults = [(name, f"is missing; its shape is {views[name].shape}.") for name in views if name not in arrays]
    faults += [(name, "is not of this network.") for name in arrays if name not in views]
    for name, view in views.items():
        if name not in arrays:
            continue
        array = np.asarray(arrays[name])
        if array.shape != view.shape:
            faults.append((name, f"has shape {array.shape} instead of {view.shape}."))
        elif array.dtype.kind not in "fiu":
            faults.append((name, "does not hold real numbers."))
        else:
            with np.errstate(over="ignore"):
                finite = np.isfinite(array.astype(dtype, copy=False)).all()
            if not finite:
                faults.append((name, f"has numbers that are not finite in {dtype}."))
            elif name.endswith(".running_var") and (array < 0.0).any():
                faults.append((name, "has variances below 0."))
    return faults


def draw_parameters(network: NetworkSpec, dtype: str, generator: np.random.Generator) -> Float[Array, " n_stored"]:
    """First weights, layer by layer, drawn in float64; biases 0; batch normalisation changes neither mean nor scale."""
    stored = np.zeros(network.n_stored, dtype)
    arrays = named_arrays(network, stored)
    for i, layer in enumerate(network.layers):
        name = network.initializer
        if name == "auto":
            name = ACTIVATIONS[layer.activation].initializer
        initializer, W = INITIALIZERS[name], arrays[f"layers.{i}.weight"]
        n, n_prev = W.shape
        W[:] = initializer.draw(generator, n_prev, n, complete(initializer.parameters, network.initializer_parameters))
        if layer.batch_norm:
            arrays[f"layers.{i}.batch_norm.weight"].fill(1.0)
            arrays[f"layers.{i}.batch_norm.running_var"].fill(1.0)
    return stored


def final_parameters(state: TrainingState, training: TrainingSpec) -> Float[Array, " n_stored"]:
    """The result of a run: the best parameters if early stopping restores them and there are any, else the latest.

    After them come the statistics of batch normalisation.
    """
    stopping = training.early_stopping
    restore = stopping is not None and stopping.restore_best and state.best_epoch > 0
    if restore:
        return np.concatenate((state.best_parameters, state.statistics[1]))
    return np.concatenate((state.parameters, state.statistics[0]))
