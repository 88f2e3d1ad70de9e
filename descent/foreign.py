"""A model as a network of another library's. What is imported is imported when it is asked for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.models import Model

Array = NDArray[np.float64]
_SKLEARN = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "linear": "identity"}
_TORCH = {
    "relu": ("ReLU", {}),
    "elu": ("ELU", {}),
    "selu": ("SELU", {}),
    "gelu": ("GELU", {}),
    "silu": ("SiLU", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "softplus": ("Softplus", {}),
    "softmax": ("Softmax", {"dim": 1}),
    "linear": ("Identity", {}),
}
ANOTHER_WAY = "model.download('model.onnx') has the whole model, preprocessing included, for every network."


def _layers(model: Model, weights: dict[str, np.ndarray]) -> list[tuple[Array, Array]]:
    """The weights as `(W, b)` a layer, with the scaling of the columns folded into the first and that of targets into the last."""
    network, fitted = model.network, model.preprocessing
    if any(layer.batch_norm for layer in network.hidden_layers):
        raise ValueError(f"The network has batch normalisation, which is not converted. {ANOTHER_WAY}")
    inputs: Any = fitted["inputs"]
    odd = [one["name"] for one in inputs if one["categories"] is not None or one.get("parts")]
    if odd:
        raise ValueError(f"These columns are no plain numbers: {', '.join(odd)}. {ANOTHER_WAY}")
    layers: list[tuple[Array, Array]] = []
    for number in range(len(network.hidden_layers) + 1):
        W = weights[f"layers.{number}.weight"].astype(np.float64)
        b = weights.get(f"layers.{number}.bias")
        layers.append((W, np.zeros(len(W)) if b is None else b.astype(np.float64)))
    offset, scale, unit = (np.array([one[key] for one in inputs], np.float64) for key in ("offset", "scale", "unit"))
    W, b = layers[0]
    layers[0] = (W * (unit / scale), b - W @ (offset / scale))
    if model.task == "regression":
        if network.output_activation != "linear":
            raise ValueError(f"The output is {network.output_activation}, not linear. {ANOTHER_WAY}")
        targets: Any = fitted["targets"]
        offset, scale, unit = (
            np.array([one[key] for one in targets], np.float64) for key in ("offset", "scale", "unit")
        )
        W, b = layers[-1]
        layers[-1] = (W * (scale / unit)[:, None], (b * scale + offset) / unit)
    return layers


def to_torch(model: Model, weights: dict[str, np.ndarray]) -> Any:
    """Make a `torch.nn.Sequential` in float64 that takes the features, plain numbers in their order, without missing ones.

    It gives what the network's outputs are: probabilities, or numbers in the units of the targets.

    Raises:
        ImportError: There is no torch.
        ValueError: The model has columns or layers that are not converted.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("to_torch() needs PyTorch: pip install torch") from error
    modules: list[Any] = []
    network = model.network
    names = [*(layer.activation for layer in network.hidden_layers), network.output_activation]
    for (W, b), name in zip(_layers(model, weights), names, strict=True):
        if name not in _TORCH:
            raise ValueError(f"The activation {name} is not converted. {ANOTHER_WAY}")
        linear = torch.nn.Linear(W.shape[1], W.shape[0], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W))
            linear.bias.copy_(torch.from_numpy(b))
        kind, options = _TORCH[name]
        modules += [linear, getattr(torch.nn, kind)(**options)]
    return torch.nn.Sequential(*modules).eval()


def to_sklearn(model: Model, weights: dict[str, np.ndarray]) -> Any:
    """Make a fitted `MLPClassifier` or `MLPRegressor` that takes the features, plain numbers in their order.

    Raises:
        ImportError: There is no scikit-learn.
        ValueError: The model has columns, layers or activations that scikit-learn has not.
    """
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.preprocessing import LabelBinarizer
    except ImportError as error:
        raise ImportError("to_sklearn() needs scikit-learn: pip install scikit-learn") from error
    network = model.network
    names = {layer.activation for layer in network.hidden_layers}
    if len(names) > 1 or not names <= set(_SKLEARN):
        raise ValueError(f"scikit-learn has one of relu, tanh, sigmoid, linear for all hidden layers. {ANOTHER_WAY}")
    layers = _layers(model, weights)
    classification = model.task == "classification"
    made = (MLPClassifier if classification else MLPRegressor)(
        hidden_layer_sizes=tuple(layer.units for layer in network.hidden_layers),
        activation=_SKLEARN[names.pop()] if names else "identity",
    )
    made.coefs_ = [W.T.copy() for W, _ in layers]
    made.intercepts_ = [b for _, b in layers]
    made.n_layers_ = len(layers) + 1
    made.n_outputs_ = len(layers[-1][1])
    made.n_features_in_ = layers[0][0].shape[1]
    made.out_activation_ = "identity"
    if classification:
        output = {"sigmoid": "logistic", "softmax": "softmax"}.get(network.output_activation)
        if output is None:
            raise ValueError(f"scikit-learn has sigmoid and softmax for classes. {ANOTHER_WAY}")
        targets: Any = model.preprocessing["targets"]
        classes, order = np.unique(np.array(targets[0]["classes"]), return_inverse=True)
        places = np.argsort(order)
        if made.n_outputs_ == len(classes):  # scikit-learn sorts its classes
            made.coefs_[-1], made.intercepts_[-1] = made.coefs_[-1][:, places], made.intercepts_[-1][places]
        elif places[0]:
            made.coefs_[-1], made.intercepts_[-1] = -made.coefs_[-1], -made.intercepts_[-1]
        if made.n_outputs_ == 2:
            # Two classes are one output there: softmax of two is the sigmoid of their difference.
            made.coefs_[-1] = np.diff(made.coefs_[-1], axis=1)
            made.intercepts_[-1] = np.diff(made.intercepts_[-1])
            made.n_outputs_, output = 1, "logistic"
        made.out_activation_ = output
        made._label_binarizer = LabelBinarizer().fit(classes)
        made.classes_ = classes
    return made
