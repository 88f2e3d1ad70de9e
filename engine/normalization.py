"""Batch normalisation of a layer's weighted input, as PyTorch has it: ``u = gamma x + beta``, ``x = (z - mean) / std``.

In training, mean and (biased) variance are those of the batch; they also move the running ones, the variance unbiased
there. Afterwards the running ones are used. A batch of one row does not vary: its ``x`` is 0, and the running variance
stays.
"""

import numpy as np
from jaxtyping import Float

from engine.arrays import Array

EPS = 1e-5
MOMENTUM = 0.1


def normalize(
    z: Float[Array, "batch n"],
    gamma: Float[Array, " n"],
    beta: Float[Array, " n"],
    running_mean: Float[Array, " n"],
    running_var: Float[Array, " n"],
    ones: Float[Array, " batch"],
    *,
    out: Float[Array, "batch n"],
    inverse_std: Float[Array, " n"],
    scratch: Float[Array, "batch n"],
    row: Float[Array, " n"],
) -> None:
    """Write ``u`` to ``out``, leave ``x`` in ``z`` and ``1 / std`` in ``inverse_std``, and move the running numbers."""
    n = len(z)
    np.dot(ones, z, row)
    np.divide(row, n, row)
    np.subtract(z, row, z)
    _move(running_mean, row)
    np.multiply(z, z, scratch)
    np.dot(ones, scratch, inverse_std)
    if n > 1:
        np.divide(inverse_std, n - 1, row)
        _move(running_var, row)
    np.divide(inverse_std, n, inverse_std)
    np.add(inverse_std, EPS, inverse_std)
    np.sqrt(inverse_std, inverse_std)
    np.reciprocal(inverse_std, inverse_std)
    np.multiply(z, inverse_std, z)
    np.multiply(z, gamma, out)
    np.add(out, beta, out)


def _move(running: Float[Array, " n"], row: Float[Array, " n"]) -> None:
    """``running <- (1 - momentum) running + momentum row``; ``row`` is overwritten."""
    np.subtract(row, running, row)
    np.multiply(row, MOMENTUM, row)
    np.add(running, row, running)


def normalize_as_learned(
    z: Float[Array, "batch n"],
    gamma: Float[Array, " n"],
    beta: Float[Array, " n"],
    running_mean: Float[Array, " n"],
    running_var: Float[Array, " n"],
    *,
    row: Float[Array, " n"],
) -> None:
    """Put ``u`` in the place of ``z``, by the running mean and variance."""
    np.add(running_var, EPS, row)
    np.sqrt(row, row)
    np.divide(gamma, row, row)
    np.subtract(z, running_mean, z)
    np.multiply(z, row, z)
    np.add(z, beta, z)


def normalization_error(
    x: Float[Array, "batch n"],
    gamma: Float[Array, " n"],
    inverse_std: Float[Array, " n"],
    ones: Float[Array, " batch"],
    *,
    out: Float[Array, "batch n"],
    gamma_gradient: Float[Array, " n"],
    beta_gradient: Float[Array, " n"],
    scratch: Float[Array, "batch n"],
    row: Float[Array, " n"],
) -> None:
    r"""Turn ``dC/du`` in ``out`` into ``dC/dz``, and write the gradients of ``gamma`` and ``beta``.

    ``dC/dz = gamma / std (.) (dC/du - mean(dC/du) - x (.) mean(x (.) dC/du))``: mean and variance are of the batch, so
    each row's error touches all of it.
    """
    n = len(x)
    np.dot(ones, out, beta_gradient)
    np.multiply(out, x, scratch)
    np.dot(ones, scratch, gamma_gradient)
    np.divide(gamma_gradient, n, row)
    np.multiply(x, row, scratch)
    np.subtract(out, scratch, out)
    np.divide(beta_gradient, n, row)
    np.subtract(out, row, out)
    np.multiply(gamma, inverse_std, row)
    np.multiply(out, row, out)
