"""A trained network as the bytes of a file, in any format: the same network always gives the same bytes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from app.contract.models import WeightsFormat
from app.exports.sequential import keys, modules
from app.exports.weights import to_layers, to_npz
from app.tables.fitted import FittedPreprocessing
from engine.spec import NetworkSpec

Arrays = Mapping[str, NDArray[Any]]
MAX_ONNX_BYTES = 2**31 - 2**24  # such a file cannot reach 2 GiB; what is no weight takes some, too


class CannotWrite(Exception):
    """The network cannot be had in this format; the text says why."""


def write(format: WeightsFormat, network: NetworkSpec, arrays: Arrays, preprocessing: FittedPreprocessing) -> bytes:
    """Write a trained network as a file.

    Args:
        format: Only ONNX has the preprocessing in it. For ONNX, `onnx` is loaded (30 MB), so that the API process leaves this to
            the exporting process.
        network: Its shape.
        arrays: Its weights, as `engine.weights.named_arrays` names them.
        preprocessing: What makes inputs of rows, and values of outputs.

    Raises:
        CannotWrite: The format does not take a network as large as this.
    """
    return WRITERS[format](network, arrays, preprocessing)


def _npz(_network: NetworkSpec, arrays: Arrays, _preprocessing: FittedPreprocessing) -> bytes:
    return to_npz(arrays)


def _json(_network: NetworkSpec, arrays: Arrays, _preprocessing: FittedPreprocessing) -> bytes:
    return json.dumps({"layers": to_layers(arrays)}, separators=(",", ":"), allow_nan=False).encode()


def _safetensors(network: NetworkSpec, arrays: Arrays, _preprocessing: FittedPreprocessing) -> bytes:
    """Write safetensors. Arrays that are not C-ordered would be garbled; several keys of metadata come in random order."""
    about = {
        "n_inputs": network.n_inputs,
        "layers": [asdict(layer) for layer in network.layers],
        "bias": network.bias,
        "torch_sequential": modules(network),
        "torch_keys": keys(network),
    }
    ordered = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(ordered, metadata={"descent": json.dumps(about, sort_keys=True)})


def _onnx(network: NetworkSpec, arrays: Arrays, preprocessing: FittedPreprocessing) -> bytes:
    if sum(array.nbytes for array in arrays.values()) > MAX_ONNX_BYTES:
        raise CannotWrite("An ONNX file cannot be larger than 2 GiB, and these weights are.")
    from app.exports.whole import to_onnx

    return to_onnx(network, arrays, preprocessing)


WRITERS: Mapping[WeightsFormat, Callable[[NetworkSpec, Arrays, FittedPreprocessing], bytes]] = MappingProxyType(
    {
        WeightsFormat.NPZ: _npz,
        WeightsFormat.SAFETENSORS: _safetensors,
        WeightsFormat.ONNX: _onnx,
        WeightsFormat.JSON: _json,
    }
)
