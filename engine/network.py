"""A network's parameters in one flat vector, the buffers of a run, and one pass: the equations in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from engine.activations import ACTIVATIONS, Activation
from engine.arrays import Array, empty
from engine.batches import MOST_SPREAD, SPREAD_BYTES, Layout, evaluation_layout, training_layout
from engine.dropout import drop, drop_error
from engine.equations import bias_gradient, feed_forward, hidden_error, output_error, weight_gradient
from engine.losses import Loss
from engine.normalization import normalization_error, normalize, normalize_as_learned
from engine.optimizers import CHUNK, OPTIMIZERS
from engine.spec import NetworkSpec, TrainingSpec

Views: TypeAlias = list[tuple[Array, Array | None]]
Pairs: TypeAlias = list[tuple[Array, Array] | None]
CostViews: TypeAlias = tuple[Array, Array, Array, Array, Array, Mapping[str, Any]]
Equations: TypeAlias = tuple[Callable[[], None], ...]


def layer_views(network: NetworkSpec, flat: Float[Array, " n_parameters"]) -> Views:
    """``(W, b)`` of each layer as views of the flat vector: ``(n_out, n_in)`` and ``(n_out,)``, or None without biases.

    The vector holds the first layer's weights row by row, then its biases, then (see `norm_views`) its ``gamma`` and
    ``beta``, then the next layer's.
    """
    views: Views = []
    start = 0
    for layer, (n_prev, n) in zip(network.layers, pairwise(network.widths), strict=True):
        W = flat[start : start + n * n_prev].reshape(n, n_prev)
        start += W.size
        b = flat[start : start + n] if network.bias else None
        start += n * (network.bias + 2 * layer.batch_norm)
        views.append((W, b))
    return views


def norm_views(network: NetworkSpec, flat: Float[Array, " n_parameters"]) -> Pairs:
    """``(gamma, beta)`` of each layer with batch normalisation as views of the flat vector, None for the others."""
    views: Pairs = []
    start = 0
    for layer, (n_prev, n) in zip(network.layers, pairwise(network.widths), strict=True):
        start += n * (n_prev + network.bias)
        views.append((flat[start : start + n], flat[start + n : start + 2 * n]) if layer.batch_norm else None)
        start += 2 * n * layer.batch_norm
    return views


def statistics_views(network: NetworkSpec, statistics: Float[Array, " n_statistics"]) -> Pairs:
    """Running mean and variance of each layer with batch normalisation as views, None for the others."""
    views: Pairs = []
    start = 0
    for layer in network.layers:
        n = layer.units * layer.batch_norm
        views.append((statistics[start : start + n], statistics[start + n : start + 2 * n]) if n else None)
        start += 2 * n
    return views


@dataclass(slots=True)
class Pass:
    """A slice of rows on its way through the network: the views of each equation, bound once so that a step only calls.

    ``scale`` and ``weights`` are those of `output_error`. What batch normalisation and dropout do after an equation is
    bound to the end of its views.
    """

    y: Array
    z: Array
    a: Array
    output: tuple[Array, Array]
    act: Activation
    loss: Loss
    scale: Array
    weights: Array | None
    forward: list[tuple[Array, Array | None, Array, Activation, Array, Array, Array, Equations]] = field(
        default_factory=list
    )
    hidden: list[tuple[Array, Array, Array, Array, Activation, Array, Array, Equations]] = field(default_factory=list)
    weight_gradients: list[tuple[Array, Array, Array]] = field(default_factory=list)
    bias_gradients: list[tuple[Array, Array, Array]] = field(default_factory=list)


def forward(rows: Pass) -> None:
    """Feed the rows forward: their outputs are then in the block."""
    for W, b, a_prev, act, z, a, scratch, more in rows.forward:
        feed_forward(W, b, a_prev, act, z=z, out=a, scratch=scratch)
        for equation in more:
            equation()


def backward(rows: Pass) -> None:
    """The gradient of the cost of rows that were fed forward: all errors first, from the last layer to the first."""
    delta, scratch = rows.output
    output_error(
        rows.z, rows.a, rows.y, rows.loss, rows.act, scale=rows.scale, weights=rows.weights, out=delta, scratch=scratch
    )
    for W_next, delta_next, z, a, act, delta, scratch, more in rows.hidden:
        hidden_error(W_next, delta_next, z, a, act, out=delta, scratch=scratch)
        for equation in more:
            equation()
    for delta, a_prev, gradient in rows.weight_gradients:
        weight_gradient(delta, a_prev, out=gradient)
    for delta, ones, gradient in rows.bias_gradients:
        bias_gradient(delta, ones, out=gradient)


@dataclass(slots=True)
class Layer:
    """A layer's views for one pass. ``output`` is what the next layer sees; ``x`` is ``z`` but for batch normalisation."""

    act: Activation
    W: Array
    b: Array | None
    a_prev: Array
    x: Array
    z: Array
    a: Array
    output: Array
    scratch: Array
    norm: tuple[Array, Array] | None
    running: tuple[Array, Array] | None


def _buffer_shapes(
    network: NetworkSpec, layout: Layout, *, training: bool, weighted: bool
) -> dict[str, tuple[int, ...]]:
    """The shape of each buffer of a workspace, by name; what is allocated and what is predicted."""
    block, rows, n_outputs = layout.block_rows, layout.slice_rows, network.n_outputs
    shapes: dict[str, tuple[int, ...]] = {"x": (block, network.n_inputs)}
    shapes |= dict.fromkeys(("y", "z", "a", "scratch", "costs"), (block, n_outputs))
    shapes["block_ones"] = (block * n_outputs,)
    if weighted:
        shapes["weights"] = (block, 1)
    for i, layer in enumerate(network.layers[:-1]):
        shape = (rows, layer.units)
        shapes[f"a{i}"] = shape
        if ACTIVATIONS[layer.activation].leaves_slope:
            shapes[f"z{i}"] = shape
        if training and layer.batch_norm:
            shapes |= {f"x{i}": shape, f"inverse_std{i}": shape[1:]}
        if training and layer.dropout:
            shapes |= {f"mask{i}": shape, f"output{i}": shape}
    widest = max(network.widths[1:])
    shapes |= {"scratch_rows": (rows * widest,), "row": (widest,)}
    if training:
        shapes |= {f"delta{i}": (rows, n) for i, n in enumerate(network.widths[1:])}
        shapes |= {"ones": (rows,), "gradient": (network.n_parameters,)}
        if layout.sliced:
            shapes["slice_gradient"] = (network.n_parameters,)
    return shapes


class Workspace:
    """Every buffer that a run over rows needs, and the views of them. The caller fills ``x``, ``y`` and ``weights``.

    Without a ``generator`` (of dropout's masks) there is no training: batch normalisation then goes by the statistics,
    and nothing is dropped.

    Attributes:
        x, y: the block's rows.
        weights: of the block's rows, a column; None unless ``weighted``.
        z, a: weighted input and activation of the output layer for the block, after `forward` of its passes.
        scratch: as large as ``a``.
        share: the loss's factor before the sum over the outputs.
        gradient: of the batch (a flat vector, as the parameters); only for training.
        slice_gradient: of the last pass; ``gradient`` itself unless batches are sliced.
    """

    def __init__(
        self,
        network: NetworkSpec,
        loss: Loss,
        layout: Layout,
        parameters: Float[Array, " n_parameters"],
        statistics: Float[Array, " n_statistics"],
        *,
        generator: np.random.Generator | None = None,
        weighted: bool = False,
    ) -> None:
        self.network, self.loss, self.layout, self.training = network, loss, layout, generator is not None
        self._generator, self.share = generator, loss.share(network.n_outputs)
        shapes = _buffer_shapes(network, layout, training=self.training, weighted=weighted)
        self._buffers = {name: empty(shape, parameters.dtype) for name, shape in shapes.items()}
        self.x, self.y, self.z, self.a, self.scratch = (self._buffers[name] for name in ("x", "y", "z", "a", "scratch"))
        self._costs, self._ones = self._buffers["costs"], self._buffers["block_ones"]
        self._ones.fill(1.0)
        self.weights = self._buffers.get("weights")
        self._parameters, self._norms = layer_views(network, parameters), norm_views(network, parameters)
        self._statistics = statistics_views(network, statistics)
        self._passes: dict[tuple[int, int, int], Pass] = {}
        self._cost_views: dict[int, tuple[CostViews, Array, Array | None, Array, Array]] = {}
        if self.training:
            self._buffers["ones"].fill(1.0)
            self.gradient = self._buffers["gradient"]
            self.slice_gradient = self._buffers.get("slice_gradient", self.gradient)
            self._gradients = layer_views(network, self.slice_gradient)
            self._norm_gradients = norm_views(network, self.slice_gradient)

    def pass_over(self, start: int, stop: int, batch_rows: int) -> Pass:
        """The pass over the block's rows from ``start`` to before ``stop``, part of a batch of ``batch_rows`` rows."""
        key = start, stop, batch_rows
        if key not in self._passes:
            self._passes[key] = self._bind(start, stop, batch_rows)
        return self._passes[key]

    def _bind(self, start: int, stop: int, batch_rows: int) -> Pass:
        layers, n = self._layers(start, stop), stop - start
        last = layers[-1]
        deltas = [self._buffers[f"delta{i}"][:n] for i in range(len(layers))] if self.training else [last.a]
        rows = Pass(
            y=self.y[start:stop],
            z=last.z,
            a=last.a,
            output=(deltas[-1], last.scratch),
            act=last.act,
            loss=self.loss,
            scale=np.array(self.share / batch_rows, self.x.dtype),
            weights=None if self.weights is None else self.weights[start:stop],
        )
        for i, layer in enumerate(layers):
            rows.forward.append(self._feed_forward(i, layer))
        if self.training:
            for i in reversed(range(len(layers) - 1)):
                layer, delta = layers[i], deltas[i]
                views = layers[i + 1].W, deltas[i + 1], layer.z, layer.a, layer.act, delta, layer.scratch
                rows.hidden.append((*views, self._after_hidden_error(i, layer, delta)))
            for delta, layer, (gradient_W, gradient_b) in zip(deltas, layers, self._gradients, strict=True):
                rows.weight_gradients.append((delta, layer.a_prev, gradient_W))
                if gradient_b is not None:
                    rows.bias_gradients.append((delta, self._buffers["ones"][:n], gradient_b))
        return rows

    def _layers(self, start: int, stop: int) -> list[Layer]:
        """The views of each layer for the rows from ``start`` to before ``stop``."""
        buffers, n, last = self._buffers, stop - start, len(self._parameters) - 1
        layers: list[Layer] = []
        a_prev = self.x[start:stop]
        for i, (W, b) in enumerate(self._parameters):
            a = buffers[f"a{i}"][:n] if i < last else self.a[start:stop]
            z = self.z[start:stop] if i == last else buffers[f"z{i}"][:n] if f"z{i}" in buffers else a
            x = buffers[f"x{i}"][:n] if f"x{i}" in buffers else z
            output = buffers[f"output{i}"][:n] if f"output{i}" in buffers else a
            scratch = buffers["scratch_rows"][: a.size].reshape(a.shape)
            act = ACTIVATIONS[self.network.layers[i].activation]
            layers.append(Layer(act, W, b, a_prev, x, z, a, output, scratch, self._norms[i], self._statistics[i]))
            a_prev = output
        return layers

    def _feed_forward(
        self, i: int, layer: Layer
    ) -> tuple[Array, Array | None, Array, Activation, Array, Array, Array, Equations]:
        """The views of a layer's equation. With batch normalisation it only weighs; the activation comes after."""
        W, act, scratch = layer.W, layer.act, layer.scratch
        more: list[Callable[[], None]] = []
        x, a = layer.x, layer.a
        if layer.norm is not None and layer.running is not None:
            parts, row = (x, *layer.norm, *layer.running), self._buffers["row"][: len(W)]
            if self.training:
                ones, inverse_std = self._buffers["ones"][: len(x)], self._buffers[f"inverse_std{i}"]
                results = {"out": layer.z, "inverse_std": inverse_std, "scratch": scratch, "row": row}
                more.append(partial(normalize, *parts, ones, **results))
            else:
                more.append(partial(normalize_as_learned, *parts, row=row))
            more.append(partial(act.apply, layer.z, layer.a, scratch))
            act, a = ACTIVATIONS["linear"], x
        if self._generator is not None and layer.output is not layer.a:
            p, mask = self.network.layers[i].dropout, self._buffers[f"mask{i}"][: len(layer.a)]
            more.append(partial(drop, layer.a, p, self._generator, out=layer.output, mask=mask))
        return W, layer.b, layer.a_prev, act, x, a, scratch, tuple(more)

    def _after_hidden_error(self, i: int, layer: Layer, delta: Array) -> Equations:
        """What turns the error of a layer's activation into that of its weighted input, beside the slope."""
        more: list[Callable[[], None]] = []
        n = len(delta)
        if layer.output is not layer.a:
            more.append(partial(drop_error, self._buffers[f"mask{i}"][:n], out=delta))
        if layer.norm is not None and (gradients := self._norm_gradients[i]) is not None:
            ones, inverse_std = self._buffers["ones"][:n], self._buffers[f"inverse_std{i}"]
            row = self._buffers["row"][: len(inverse_std)]
            results = {"gamma_gradient": gradients[0], "beta_gradient": gradients[1], "scratch": layer.scratch}
            given = layer.x, layer.norm[0], inverse_std, ones
            more.append(partial(normalization_error, *given, out=delta, row=row, **results))
        return tuple(more)

    def cost(self, n: int) -> float:
        """Sum of the cost (times weight) over the first ``n`` rows of the block, after `forward` of their passes."""
        if n not in self._cost_views:
            costs = self._costs[:n]
            weights = None if self.weights is None else self.weights[:n]
            given = self.z[:n], self.a[:n], self.y[:n], costs, self.scratch[:n], self.loss.values
            self._cost_views[n] = given, costs, weights, costs.reshape(-1), self._ones[: costs.size]
        given, costs, weights, flat, ones = self._cost_views[n]
        self.loss.each(*given)
        if weights is not None:
            np.multiply(costs, weights, costs)
        return self.share * float(np.dot(flat, ones))

    def row_costs(self, n: int) -> Float[Array, " n"]:
        """The cost of each of the first ``n`` rows of the block, in float64, after `forward` of their passes."""
        costs = self._costs[:n]
        self.loss.each(self.z[:n], self.a[:n], self.y[:n], costs, self.scratch[:n], self.loss.values)
        total: Array = costs.sum(1, np.float64)
        return self.share * total


def memory_bytes(
    network: NetworkSpec, training: TrainingSpec, n_rows: int, n_validation_rows: int = 0, *, weighted: bool = False
) -> int:
    """About the largest memory that `engine.training.train` takes beside the rows themselves, which may be mapped.

    Parameters, optimizer slots, the copy of both that a divergence goes back to, the best parameters, gradient,
    activations and errors of a slice, the rows of a block, and the order of the epoch with what is needed to draw it.
    """
    itemsize = np.dtype(training.dtype).itemsize
    layout = training_layout(network, itemsize, n_rows, training.batch_size)
    optimizer = OPTIMIZERS[training.optimizer.name]
    vectors = 2 * (1 + optimizer.n_slots(training.optimizer.parameters)) + 1 + (4 if optimizer.search else 0)
    numbers = network.n_parameters * vectors + 3 * network.n_statistics
    numbers += 2 * min(CHUNK, network.n_parameters)
    shapes = _buffer_shapes(network, layout, training=True, weighted=weighted)
    numbers += sum(int(np.prod(shape)) for shape in shapes.values())
    if n_validation_rows:
        evaluation = evaluation_layout(network, itemsize, n_validation_rows)
        shapes = _buffer_shapes(network, evaluation, training=False, weighted=weighted)
        numbers += sum(int(np.prod(shape)) for shape in shapes.values())
    row = 8 + (SPREAD_BYTES if n_rows <= MOST_SPREAD else 0)
    return itemsize * numbers + (row * n_rows if training.shuffle and training.batch_size is not None else 0)


def flops_per_epoch(network: NetworkSpec, training: TrainingSpec, n_rows: int) -> int:
    """Floating-point operations of the matrix products of an epoch over ``n_rows`` rows, validation left out.

    A weight costs two per row and pass: forward, error, gradient; the first layer passes no error on. The batch size
    plays no part.
    """
    del training
    weights = [n * n_prev for n_prev, n in pairwise(network.widths)]
    return 2 * n_rows * (3 * sum(weights) - weights[0])
