r"""Learning by gradient descent: the equations of the paper, one function each.

Reynoso, *Neural networks*, equations (1) to (6). Letters are the paper's: ``W`` and ``b`` are the weights and biases
of layer *l*, ``z = W a_prev + b`` its weighted input, ``a = act(z)`` its activation, ``delta = dC/dz`` its error,
``beta`` the learning rate, ``C`` the cost. ``_prev`` is layer *l - 1*, ``_next`` layer *l + 1*, and *L* the output
layer. The paper writes an example as a column; here an example is a row, and a batch is one matrix. ``C`` of a batch
is the mean over its rows: the ``1 / rows`` is in ``delta^L``, so that (5) and (6) are plain sums over the rows.

Nothing is allocated: results go to ``out``, and ``scratch`` is overwritten.
"""

import numpy as np
from jaxtyping import Float

from engine.activations import Activation
from engine.arrays import Array
from engine.losses import Loss


def descend(
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    beta: float | Float[Array, ""],
    *,
    scratch: Float[Array, " n"],
) -> None:
    r"""One step down the gradient: ``theta <- theta - beta grad C``.

    Reynoso, eq. (1) for the weights and (2) for the biases: ``theta`` holds both.
    """
    np.multiply(gradient, beta, scratch)
    np.subtract(theta, scratch, theta)


def feed_forward(
    W: Float[Array, "n n_prev"],
    b: Float[Array, " n"] | None,
    a_prev: Float[Array, "batch n_prev"],
    act: Activation,
    *,
    z: Float[Array, "batch n"],
    out: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    r"""Activation of layer *l* from layer *l - 1*: ``a^l = act(W^l a^(l-1) + b^l)``.

    ``z`` may be ``out`` where the activation is element-wise and leaves no slope in it.
    """
    np.dot(a_prev, W.T, z)
    if b is not None:
        np.add(z, b, z)
    act.apply(z, out, scratch)


def output_error(
    z: Float[Array, "batch n_outputs"],
    a: Float[Array, "batch n_outputs"],
    y: Float[Array, "batch n_outputs"],
    loss: Loss,
    act: Activation,
    *,
    scale: float | Float[Array, ""],
    weights: Float[Array, "batch 1"] | None = None,
    out: Float[Array, "batch n_outputs"],
    scratch: Float[Array, "batch n_outputs"],
) -> None:
    r"""Error of the output layer: ``delta^L = grad_a C (.) a'(L)``.

    Reynoso, eq. (3), which holds for element-wise activations. Softmax has a full Jacobian: with cross-entropy it
    collapses to ``delta^L = a - y``, as sigmoid does with binary cross-entropy; with another cost ``(.) a'`` is the
    product with the Jacobian. ``scale`` is the loss's share of one output, divided by the rows of the batch, or by
    the sum of their ``weights``.
    """
    loss.gradient(a, y, out, scratch, loss.values)
    if act.name != loss.collapses_with:
        act.times_slope(z, a, out, scratch)
    np.multiply(out, scale, out)
    if weights is not None:
        np.multiply(out, weights, out)


def hidden_error(
    W_next: Float[Array, "n_next n"],
    delta_next: Float[Array, "batch n_next"],
    z: Float[Array, "batch n"],
    a: Float[Array, "batch n"],
    act: Activation,
    *,
    out: Float[Array, "batch n"],
    scratch: Float[Array, "batch n"],
) -> None:
    r"""Error of layer *l* from layer *l + 1*: ``delta^l = a'(l) (.) ((W^(l+1))^T delta^(l+1))``.

    Reynoso, eq. (4). ``W_next`` is the matrix **before** this step's update; ``z`` and ``a`` are as `feed_forward` left
    them.
    """
    np.dot(delta_next, W_next, out)
    act.times_slope(z, a, out, scratch)


def weight_gradient(
    delta: Float[Array, "batch n"], a_prev: Float[Array, "batch n_prev"], *, out: Float[Array, "n n_prev"]
) -> None:
    r"""Gradient of the cost in the weights of layer *l*: ``dC/dW^l = delta^l (a^(l-1))^T``, summed over the rows.

    Reynoso, eq. (5), whose last line misprints ``a`` as ``beta``.
    """
    np.dot(delta.T, a_prev, out)


def bias_gradient(delta: Float[Array, "batch n"], ones: Float[Array, " batch"], *, out: Float[Array, " n"]) -> None:
    r"""Gradient of the cost in the biases of layer *l*: ``dC/db^l = delta^l``, summed over the rows.

    Reynoso, eq. (6). The sum is a product with ``ones``: a third of the time of a reduction.
    """
    np.dot(ones, delta, out)
