"""JAX with a whole epoch as one compiled program: `jit(lax.scan)` over the batches of an order drawn by NumPy."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.peers import Contestant
from benchmarks.workloads import Workload, first_weights, rows

ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}
BETA_1, BETA_2, EPS = 0.9, 0.999, 1e-8


def _cost(workload: Workload, weights: Any, x: Any, y: Any) -> Any:
    a = x
    for W, b in weights[:-1]:
        a = ACTIVATIONS[workload.activation](a @ W.T + b)
    W, b = weights[-1]
    z = a @ W.T + b
    if workload.classes is None:
        return 0.5 * jnp.mean((z - y) ** 2)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))


def _update(workload: Workload, state: Any, gradient: Any) -> Any:
    weights, m, v, step = state
    rate, each = workload.learning_rate, jax.tree.map
    if workload.optimizer != "adam":
        return each(lambda w, g: w - rate * g, weights, gradient), m, v, step
    step = step + 1
    m = each(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, gradient)
    v = each(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, v, gradient)
    unbiased_m, unbiased_v = rate / (1 - BETA_1**step), 1 / (1 - BETA_2**step)
    weights = each(lambda w, m, v: w - unbiased_m * m / (jnp.sqrt(v * unbiased_v) + EPS), weights, m, v)
    return weights, m, v, step


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _epoch(workload: Workload, state: Any, x: Any, y: Any, order: Any) -> Any:
    def step(state: Any, chosen: Any) -> Any:
        loss, gradient = jax.value_and_grad(_cost, 1)(workload, state[0], x[chosen], y[chosen])
        return _update(workload, state, gradient), loss

    state, losses = lax.scan(step, state, order.reshape(-1, workload.batch))
    return state, losses.mean()


class Jax(Contestant):
    """Order drawn by NumPy on the host, which is faster than JAX's own shuffle (a sort)."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        x, y = rows(workload)
        self.x, self.y = jnp.asarray(x), jnp.asarray(y)
        self.restart()
        self.generator = np.random.default_rng(0)
        self.order = np.arange(workload.n_rows, dtype=np.int32)
        self.versions = {"JAX": jax.__version__}

    def compile(self) -> None:
        """Compile the program of an epoch."""
        self.compiled = _epoch.lower(self.workload, self.state, self.x, self.y, self.order).compile()

    def restart(self) -> None:
        """Go back to the first weights in new arrays: a call takes the memory of the old ones."""
        weights = [(jnp.array(W), jnp.array(b)) for W, b in first_weights(self.workload)]
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self.state = weights, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), jnp.float32)

    def run(self, epochs: int, *, shuffle: bool) -> list[float]:
        """One call an epoch."""
        losses = []
        for _ in range(epochs):
            order = self.generator.permutation(self.order) if shuffle else self.order
            self.state, loss = self.compiled(self.state, self.x, self.y, order)
            losses.append(float(loss))
        return losses


prepare = Jax
