"""A model as a network of another library's. What is imported is imported when it is asked for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.models import Model
from descent.errors import NotConverted
from descent.preparing import Preparation

Array = NDArray[np.floating]
_SKLEARN = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "linear": "identity"}
_TORCH: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", {"negative_slope": 0.01}),
    "elu": ("ELU", {}),
    "selu": ("SELU", {}),
    "gelu": ("GELU", {}),
    "gelu_tanh": ("GELU", {"approximate": "tanh"}),
    "silu": ("SiLU", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "hard_sigmoid": ("Hardsigmoid", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "softmax": ("Softmax", {"dim": 1}),
    "linear": ("Identity", {}),
}
_NORM = ("weight", "bias", "running_mean", "running_var")
NORM_EPS = 1e-5
ANOTHER_WAY = "model.download('model.onnx') has the whole model, preprocessing included, for every network."


def to_torch(model: Model, weights: dict[str, np.ndarray]) -> Any:
    """Make a `torch.nn.Sequential`, in the model's own precision, that takes what `model.prepare(rows)` gives.

    It gives what the network's outputs are: probabilities, or numbers in the units of the targets. What brings those into
    their units is a last linear layer of its own.

    Raises:
        ImportError: There is no torch.
        NotConverted: The network has an activation that is not known here.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("to_torch() needs PyTorch: pip install torch") from error
    dtype = getattr(torch, model.dtype)
    modules: list[Any] = []

    def add(module: Any, **arrays: Array | None) -> None:
        with torch.no_grad():
            for name, array in arrays.items():
                if array is not None:
                    getattr(module, name).copy_(torch.from_numpy(np.array(array)))
        modules.append(module)

    for number, name in enumerate(_activations(model)):
        if name not in _TORCH:
            raise NotConverted(f"The activation {name} is not converted. {ANOTHER_WAY}")
        place = f"layers.{number}"
        W, b = weights[f"{place}.weight"], weights.get(f"{place}.bias")
        add(torch.nn.Linear(W.shape[1], W.shape[0], bias=b is not None, dtype=dtype), weight=W, bias=b)
        if f"{place}.batch_norm.weight" in weights:
            norm = {part: weights[f"{place}.batch_norm.{part}"] for part in _NORM}
            add(torch.nn.BatchNorm1d(len(W), eps=NORM_EPS, dtype=dtype), **norm)
        kind, options = _TORCH[name]
        modules.append(getattr(torch.nn, kind)(**options))
    if model.task == "regression":
        scale, offset = _units(model)
        add(torch.nn.Linear(len(scale), len(scale), dtype=dtype), weight=np.diag(scale), bias=offset)
    return torch.nn.Sequential(*modules).eval()


def to_sklearn(model: Model, weights: dict[str, np.ndarray]) -> Any:
    """Make a fitted `Pipeline` that takes rows as `predict` does: `prepare`, and an `MLPClassifier` or `MLPRegressor`.

    Raises:
        ImportError: There is no scikit-learn.
        NotConverted: The network has activations that scikit-learn has not.
    """
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import FunctionTransformer
    except ImportError as error:
        raise ImportError("to_sklearn() needs scikit-learn: pip install scikit-learn") from error
    *hidden, output = _activations(model)
    names = set(hidden)
    if len(names) > 1 or not names <= set(_SKLEARN):
        raise NotConverted(f"scikit-learn has one of relu, tanh, sigmoid, linear for all hidden layers. {ANOTHER_WAY}")
    layers = [_plain_layer(weights, number) for number in range(len(hidden) + 1)]
    made = (MLPClassifier if model.task == "classification" else MLPRegressor)(
        hidden_layer_sizes=tuple(len(b) for _, b in layers[:-1]),
        activation=_SKLEARN[names.pop()] if names else "identity",
    )
    if model.task == "classification":
        _end_in_classes(made, layers, output, np.array(_targets(model)[0]["classes"]))
    else:
        _end_in_numbers(made, layers, output, model)
    made.coefs_ = [W.T.copy() for W, _ in layers]
    made.intercepts_ = [b for _, b in layers]
    made.n_layers_ = len(layers) + 1
    made.n_outputs_ = len(layers[-1][1])
    made.n_features_in_ = layers[0][0].shape[1]
    prepare = FunctionTransformer(Preparation(model.preprocessing, model.dtype))
    return Pipeline([("prepare", prepare), ("network", made)])


def _activations(model: Model) -> list[str]:
    return [*(layer.activation for layer in model.network.hidden_layers), model.network.output_activation]


def _targets(model: Model) -> list[dict[str, Any]]:
    targets: Any = model.preprocessing["targets"]
    return list(targets)


def _units(model: Model) -> tuple[Array, Array]:
    """By what an output is multiplied, and what is added, to be in the unit of its target."""
    offset, scale, unit = (np.array([one[key] for one in _targets(model)]) for key in ("offset", "scale", "unit"))
    return scale / unit, offset / unit


def _plain_layer(weights: dict[str, np.ndarray], number: int) -> tuple[Array, Array]:
    """Give `(W, b)` of a layer, in float64, with its normalisation in it."""
    W = weights[f"layers.{number}.weight"].astype(np.float64)
    b = weights.get(f"layers.{number}.bias", np.zeros(len(W))).astype(np.float64)
    if f"layers.{number}.batch_norm.weight" not in weights:
        return W, b
    gain, shift, mean, variance = (weights[f"layers.{number}.batch_norm.{part}"].astype(np.float64) for part in _NORM)
    gain = gain / np.sqrt(variance + NORM_EPS)
    return W * gain[:, None], (b - mean) * gain + shift


def _end_in_numbers(made: Any, layers: list[tuple[Array, Array]], output: str, model: Model) -> None:
    if output != "linear":
        raise NotConverted(f"scikit-learn has linear outputs for numbers, not {output}. {ANOTHER_WAY}")
    scale, offset = _units(model)
    W, b = layers[-1]
    layers[-1] = (W * scale[:, None], b * scale + offset)
    made.out_activation_ = "identity"


def _end_in_classes(made: Any, layers: list[tuple[Array, Array]], output: str, classes: NDArray[Any]) -> None:
    from sklearn.preprocessing import LabelBinarizer

    if output not in {"sigmoid", "softmax"}:
        raise NotConverted(f"scikit-learn has sigmoid and softmax for classes, not {output}. {ANOTHER_WAY}")
    W, b = layers[-1]
    made.classes_, order = np.unique(classes, return_inverse=True)  # sorted, as scikit-learn has them
    places = np.argsort(order)
    if len(b) == len(classes):
        W, b = W[places], b[places]
    elif places[0]:
        W, b = -W, -b
    if len(b) == 2:
        # Two classes are one output there: softmax of two is the sigmoid of their difference.
        W, b, output = np.diff(W, axis=0), np.diff(b), "sigmoid"
    layers[-1] = (W, b)
    made.out_activation_ = "logistic" if output == "sigmoid" else "softmax"
    made._label_binarizer = LabelBinarizer().fit(made.classes_)
