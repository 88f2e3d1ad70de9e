"""Weights as files: `.npz`, which NumPy reads, and JSON, which everything reads."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def to_npz(arrays: Arrays) -> bytes:
    """Write arrays as `.npz`: the same arrays always give the same bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def from_npz(content: bytes) -> dict[str, NDArray[Any]]:
    """Read what `to_npz` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def to_layers(arrays: Arrays) -> list[dict[str, Any]]:
    """Give weights as nested lists, a `weight`, `bias` and `batch_norm` a layer; None for what a layer does not have."""
    n_layers = 1 + max(int(name.split(".")[1]) for name in arrays)
    return [
        {
            "weight": arrays[f"layers.{i}.weight"].tolist(),
            "bias": arrays[f"layers.{i}.bias"].tolist() if f"layers.{i}.bias" in arrays else None,
            "batch_norm": _batch_norm(arrays, f"layers.{i}.batch_norm."),
        }
        for i in range(n_layers)
    ]


def _batch_norm(arrays: Arrays, prefix: str) -> dict[str, Any] | None:
    named = {name.removeprefix(prefix): array.tolist() for name, array in arrays.items() if name.startswith(prefix)}
    return named or None


def from_layers(layers: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Read what `to_layers` gave, in double precision."""
    arrays: dict[str, NDArray[Any]] = {}
    for i, layer in enumerate(layers):
        named = {"weight": layer["weight"], "bias": layer["bias"]}
        named |= {f"batch_norm.{name}": values for name, values in (layer["batch_norm"] or {}).items()}
        arrays |= {
            f"layers.{i}.{name}": np.array(values, np.float64) for name, values in named.items() if values is not None
        }
    return arrays
