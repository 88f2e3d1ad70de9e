"""A network as PyTorch's `Sequential`: its modules, and under which keys their weights go."""

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

from engine.spec import NetworkSpec

# The activations by PyTorch's modules; none for `linear`.
MODULES: Mapping[str, str | None] = MappingProxyType(
    {
        "linear": None,
        "sigmoid": "nn.Sigmoid()",
        "tanh": "nn.Tanh()",
        "relu": "nn.ReLU()",
        "leaky_relu": "nn.LeakyReLU(0.01)",
        "elu": "nn.ELU()",
        "selu": "nn.SELU()",
        "gelu": "nn.GELU()",
        "gelu_tanh": 'nn.GELU(approximate="tanh")',
        "silu": "nn.SiLU()",
        "softplus": "nn.Softplus()",
        "softsign": "nn.Softsign()",
        "hard_sigmoid": "nn.Hardsigmoid()",
        "softmax": "nn.Softmax(dim=1)",
    }
)


def modules(network: NetworkSpec) -> list[str]:
    """Give the modules of `nn.Sequential`, in order, as PyTorch code. Dropout is left out: it is silent after training."""
    found = []
    for layer, (n_prev, n) in zip(network.layers, pairwise(network.widths), strict=True):
        found.append(f"nn.Linear({n_prev}, {n}{'' if network.bias else ', bias=False'})")
        if layer.batch_norm:
            found.append(f"nn.BatchNorm1d({n})")
        activation = MODULES[layer.activation]
        if activation is not None:
            found.append(activation)
    return found


def keys(network: NetworkSpec) -> dict[str, str]:
    """Give the key in the `state_dict` of that `Sequential` for each of our names: `layers.1.weight` is `2.weight`.

    PyTorch's counter `num_batches_tracked` is not among them: it is 0 where it is not given, also with `strict=True`.
    """
    named: dict[str, str] = {}
    place = 0
    for i, layer in enumerate(network.layers):
        for name in ("weight", "bias") if network.bias else ("weight",):
            named[f"layers.{i}.{name}"] = f"{place}.{name}"
        place += 1
        if layer.batch_norm:
            for name in ("weight", "bias", "running_mean", "running_var"):
                named[f"layers.{i}.batch_norm.{name}"] = f"{place}.{name}"
            place += 1
        place += MODULES[layer.activation] is not None
    return named
