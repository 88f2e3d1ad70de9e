"""Trained networks with their preprocessing, made up for the tests of the files that they become."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.contract.datasets import Kind
from app.exports.checks import Subject
from app.exports.samples import sample_rows
from app.tables.fitted import FittedInput, FittedPreprocessing, FittedTarget
from engine.spec import LayerSpec, NetworkSpec
from engine.weights import draw_parameters, named_arrays

COLUMNS = (
    FittedInput("far", Kind.NUMERIC, "standardize", 1e9, 2.5, 1e9),
    FittedInput("share", Kind.NUMERIC, "minmax", -3.0, 7.0, 0.5),
    FittedInput("raw", Kind.NUMERIC, "none"),
    FittedInput("is new", Kind.BOOLEAN, "standardize", 0.4, 0.49, 0.4),
    FittedInput("when", Kind.DATETIME, "standardize", 1.6e9, 1e7, 1.6e9),
    FittedInput("straße/日本", Kind.CATEGORICAL, "one_hot", categories=("", "Zoë", "a,b", "日本")),
    FittedInput("rank", Kind.CATEGORICAL, "ordinal", categories=("high", "low", "mid")),
    FittedInput("never seen", Kind.CATEGORICAL, "one_hot", categories=()),
    FittedInput("nor this", Kind.TEXT, "ordinal", categories=()),
    FittedInput("since", Kind.DATETIME, "minmax", 1.5e9, 2e8, 1.6e9, parts=("time", "month", "weekday", "hour")),
    FittedInput("huge", Kind.NUMERIC, "standardize", -3.0, 9.0, 0.0, unit=2.0**-1000),
)
CLASSES = ("Ålesund", "b", "日本")


def preprocessing(
    classes: Sequence[Any] | None = CLASSES,
    *,
    columns: Sequence[FittedInput] = COLUMNS,
    one_output: bool = False,
    targets: int = 1,
) -> FittedPreprocessing:
    if classes is None:
        made = tuple(FittedTarget(f"y{i}", Kind.NUMERIC, None, 5e5 * i, 2e5 + i) for i in range(targets))
        return FittedPreprocessing("regression", tuple(columns), made, "mean")
    target = FittedTarget("y", Kind.CATEGORICAL, tuple(classes))
    return FittedPreprocessing("classification", tuple(columns), (target,), "mean", one_output=one_output)


def network(
    fitted: FittedPreprocessing,
    hidden: Sequence[tuple[int, str, bool]] = ((7, "relu", False),),
    output: str = "softmax",
    *,
    bias: bool = True,
) -> NetworkSpec:
    layers = [LayerSpec(units, activation, batch_norm=normalised) for units, activation, normalised in hidden]
    return NetworkSpec(fitted.n_inputs, (*layers, LayerSpec(fitted.n_outputs, output)), bias=bias)


def weights(spec: NetworkSpec, dtype: str = "float32", seed: int = 0) -> dict[str, Any]:
    """Draw every parameter, those that begin as 0 or 1, too."""
    generator = np.random.default_rng(seed)
    stored = draw_parameters(spec, dtype, generator)
    stored += generator.normal(0, 0.3, stored.shape).astype(dtype)
    arrays = named_arrays(spec, stored)
    for name, array in arrays.items():
        if name.endswith("running_var"):
            np.abs(array, array)
    return arrays


def subject(spec: NetworkSpec, arrays: dict[str, Any], fitted: FittedPreprocessing) -> Subject:
    return Subject(spec, arrays, fitted, arrays["layers.0.weight"].dtype.name, sample_rows(fitted, None))
