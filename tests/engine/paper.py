"""Learning by gradient descent as the paper prints it: columns, one example at a time, plain loops, float64.

An oracle: it shares nothing with the engine. A layer is ``(W, b, name of its activation)``; a network is a list of layers.
"""

import math

import numpy as np


def act(name, z):
    """The activation of a column of weighted inputs."""
    if name == "softmax":
        exponentials = [math.exp(v - max(z)) for v in z]
        return np.array([e / sum(exponentials) for e in exponentials])
    return np.array([ACTS[name][0](v) for v in z])


def normal(v):
    return (1 + math.erf(v / math.sqrt(2))) / 2


def sigmoid(v):
    return 1 / (1 + math.exp(-v)) if v > 0 else math.exp(v) / (1 + math.exp(v))


def gelu_tanh(v):
    return v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))


def gelu_tanh_slope(v):
    t = math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))
    return (1 + t) / 2 + v / 2 * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * v * v)


SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

ACTS = {
    "linear": (lambda v: v, lambda v: 1.0),
    "sigmoid": (sigmoid, lambda v: sigmoid(v) * (1 - sigmoid(v))),
    "tanh": (math.tanh, lambda v: 1 - math.tanh(v) ** 2),
    "relu": (lambda v: max(v, 0.0), lambda v: float(v > 0)),
    "leaky_relu": (lambda v: v if v > 0 else 0.01 * v, lambda v: 1.0 if v > 0 else 0.01),
    "elu": (lambda v: v if v > 0 else math.exp(v) - 1, lambda v: 1.0 if v > 0 else math.exp(v)),
    "selu": (
        lambda v: SCALE * (v if v > 0 else ALPHA * (math.exp(v) - 1)),
        lambda v: SCALE * (1.0 if v > 0 else ALPHA * math.exp(v)),
    ),
    "gelu": (
        lambda v: v * normal(v),
        lambda v: normal(v) + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi),
    ),
    "gelu_tanh": (gelu_tanh, gelu_tanh_slope),
    "silu": (lambda v: v * sigmoid(v), lambda v: sigmoid(v) * (1 + v * (1 - sigmoid(v)))),
    "softplus": (lambda v: math.log(1 + math.exp(v)), sigmoid),
    "softsign": (lambda v: v / (1 + abs(v)), lambda v: 1 / (1 + abs(v)) ** 2),
    "hard_sigmoid": (lambda v: min(max(v + 3, 0), 6) / 6, lambda v: 1 / 6 if -3 < v < 3 else 0.0),
}
"""Each element-wise activation and its slope, both by ``z``."""


def jacobian(name, z):
    """``d a_i / d z_j``; diagonal but for softmax."""
    a = act(name, z)
    n = len(z)
    J = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if name == "softmax":
                J[i, j] = a[i] * ((i == j) - a[j])
            elif i == j:
                J[i, j] = ACTS[name][1](z[i])
    return J


def sign(v):
    return float(v > 0) - float(v < 0)


COSTS = {
    "quadratic": (lambda a, y, n: (a - y) ** 2 / 2, lambda a, y, n: a - y),
    "mean_squared_error": (lambda a, y, n: (a - y) ** 2 / n, lambda a, y, n: 2 * (a - y) / n),
    "mean_absolute_error": (lambda a, y, n: abs(a - y) / n, lambda a, y, n: sign(a - y) / n),
    "huber": (
        lambda a, y, n: ((a - y) ** 2 / 2 if abs(a - y) <= 1 else abs(a - y) - 0.5) / n,
        lambda a, y, n: (a - y if abs(a - y) <= 1 else sign(a - y)) / n,
    ),
    "log_cosh": (lambda a, y, n: math.log(math.cosh(a - y)) / n, lambda a, y, n: math.tanh(a - y) / n),
    "quantile": (lambda a, y, n: abs(a - y) / 2 / n, lambda a, y, n: sign(a - y) / 2 / n),
    "poisson": (lambda a, y, n: (a - y * math.log(a + 1e-8)) / n, lambda a, y, n: (1 - y / (a + 1e-8)) / n),
    "binary_cross_entropy": (
        lambda a, y, n: -(y * math.log(a) + (1 - y) * math.log(1 - a)) / n,
        lambda a, y, n: (a - y) / (a * (1 - a)) / n,
    ),
    "cross_entropy": (lambda a, y, n: -y * math.log(a), lambda a, y, n: -y / a),
    "hinge": (
        lambda a, y, n: max(0.0, 1 - (2 * y - 1) * a) / n,
        lambda a, y, n: (1 - 2 * y if (2 * y - 1) * a < 1 else 0.0) / n,
    ),
}
"""The share of one of ``n`` outputs in the cost of an example, and its slope in that output; parameters as by default."""


def cost(name, a, y):
    """``C`` of one example."""
    return sum(COSTS[name][0](a[i], y[i], len(a)) for i in range(len(a)))


def cost_gradient(name, a, y):
    """``grad_a C`` of one example."""
    return np.array([COSTS[name][1](a[i], y[i], len(a)) for i in range(len(a))])


def feed_forward(layers, x):
    """Every ``z^l`` and ``a^l``, the latter from ``a^0 = x`` on."""
    zs, activations = [], [np.array(x, float)]
    for W, b, name in layers:
        a_prev = activations[-1]
        z = np.array([sum(W[i, j] * a_prev[j] for j in range(len(a_prev))) + b[i] for i in range(len(b))])
        zs.append(z)
        activations.append(act(name, z))
    return zs, activations


def errors(layers, zs, activations, y, loss):
    """``delta^l`` of every layer, eqs. (3) and (4)."""
    deltas = [None] * len(layers)
    name = layers[-1][2]
    deltas[-1] = jacobian(name, zs[-1]).T @ cost_gradient(loss, activations[-1], y)
    for i in reversed(range(len(layers) - 1)):
        W_next, n = layers[i + 1][0], len(zs[i])
        slope = np.diag(jacobian(layers[i][2], zs[i]))
        back = [sum(W_next[k, j] * deltas[i + 1][k] for k in range(len(deltas[i + 1]))) for j in range(n)]
        deltas[i] = np.array([slope[j] * back[j] for j in range(n)])
    return deltas


def gradient(layers, X, Y, loss):
    """Mean over the examples of ``(dC/dW, dC/db)`` of every layer, eqs. (5) and (6), and of ``C``."""
    total = [(np.zeros_like(W), np.zeros_like(b)) for W, b, _ in layers]
    C = 0.0
    for x, y in zip(X, Y, strict=True):
        zs, activations = feed_forward(layers, x)
        C += cost(loss, activations[-1], y) / len(X)
        for (dW, db), delta, a_prev in zip(
            total, errors(layers, zs, activations, y, loss), activations[:-1], strict=True
        ):
            for i in range(len(delta)):
                for j in range(len(a_prev)):
                    dW[i, j] += delta[i] * a_prev[j] / len(X)
                db[i] += delta[i] / len(X)
    return total, C


def descend(layers, X, Y, loss, beta):
    """The layers after one step, eqs. (1) and (2), and ``C`` before it."""
    total, C = gradient(layers, X, Y, loss)
    return [(W - beta * dW, b - beta * db, name) for (W, b, name), (dW, db) in zip(layers, total, strict=True)], C
