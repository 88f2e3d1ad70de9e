"""Files of weights: every format holds the same bits, and the same model always gives the same bytes."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load

from app.contract.models import WeightsFormat
from app.exports.files import CannotWrite, write
from app.exports.sequential import keys, modules
from engine.activations import ACTIVATIONS
from tests.app.exports.cases import network, preprocessing, weights

HIDDEN = [(6, "relu", True), (5, "gelu", False), (4, "tanh", True)]


def opened(format: WeightsFormat, content: bytes) -> dict[str, Any]:
    """Open a file as its readers do, without our code."""
    if format is WeightsFormat.NPZ:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    if format is WeightsFormat.SAFETENSORS:
        return dict(load(content))
    arrays = {}
    for i, layer in enumerate(json.loads(content)["layers"]):
        for name in ("weight", "bias"):
            arrays[f"layers.{i}.{name}"] = layer[name]
        for name, values in (layer["batch_norm"] or {}).items():
            arrays[f"layers.{i}.batch_norm.{name}"] = values
    return {name: np.array(values, np.float64) for name, values in arrays.items() if values is not None}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("format", [WeightsFormat.NPZ, WeightsFormat.SAFETENSORS, WeightsFormat.JSON])
def test_every_format_holds_the_same_bits(format: WeightsFormat, bias: bool, dtype: str) -> None:
    fitted = preprocessing()
    spec = network(fitted, HIDDEN, bias=bias)
    arrays = weights(spec, dtype)
    arrays["layers.0.weight"][0, :3] = [-0.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]
    found = opened(format, write(format, spec, arrays, fitted))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        if format is not WeightsFormat.JSON:
            assert found[name].dtype == array.dtype
        assert found[name].astype(dtype).tobytes() == array.tobytes(), name
        assert found[name].shape == array.shape


@pytest.mark.parametrize("format", list(WeightsFormat))
def test_arrays_that_are_not_c_ordered_are_written_as_the_same_bytes(format: WeightsFormat) -> None:
    fitted = preprocessing()
    spec = network(fitted, HIDDEN)
    arrays = weights(spec)
    fortran = {name: np.asfortranarray(array) for name, array in arrays.items()}
    assert not fortran["layers.0.weight"].flags.c_contiguous
    assert write(format, spec, fortran, fitted) == write(format, spec, arrays, fitted)


PROGRAM = """
import hashlib
from app.contract.models import WeightsFormat
from app.exports.files import write
from tests.app.exports.cases import network, preprocessing, weights
fitted = preprocessing()
spec = network(fitted, [(6, "relu", True), (5, "gelu", False), (4, "tanh", True)])
for format in WeightsFormat:
    print(format, hashlib.sha256(write(format, spec, weights(spec), fitted)).hexdigest())
"""


@pytest.mark.slow
def test_another_process_writes_the_same_bytes() -> None:
    fitted = preprocessing()
    spec = network(fitted, HIDDEN)
    ours = {format: hashlib.sha256(write(format, spec, weights(spec), fitted)).hexdigest() for format in WeightsFormat}
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": "1"}
        root = Path(__file__).parents[3]
        printed = subprocess.check_output([sys.executable, "-c", PROGRAM], env=environment, cwd=root, text=True)
        assert dict(line.split() for line in printed.splitlines()) == ours


def test_safetensors_has_one_key_of_metadata(tmp_path: Path) -> None:
    fitted = preprocessing()
    spec = network(fitted, HIDDEN)
    path = tmp_path / "model.safetensors"
    path.write_bytes(write(WeightsFormat.SAFETENSORS, spec, weights(spec), fitted))
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
    assert list(metadata) == ["descent"]
    about = json.loads(metadata["descent"])
    assert about["torch_keys"] == keys(spec)
    assert about["torch_sequential"] == modules(spec)
    assert [layer["activation"] for layer in about["layers"]] == ["relu", "gelu", "tanh", "softmax"]


def test_torch_keys_are_the_state_dict_of_the_sequential() -> None:
    fitted = preprocessing()
    n = fitted.n_inputs
    spec = network(fitted, [(6, "relu", True), (5, "linear", False), (4, "tanh", True)])
    assert modules(spec) == [
        f"nn.Linear({n}, 6)",
        "nn.BatchNorm1d(6)",
        "nn.ReLU()",
        "nn.Linear(6, 5)",
        "nn.Linear(5, 4)",
        "nn.BatchNorm1d(4)",
        "nn.Tanh()",
        "nn.Linear(4, 3)",
        "nn.Softmax(dim=1)",
    ]
    arrays = weights(spec)
    # What torch 2.13's `state_dict` of these modules has, but for `num_batches_tracked`, which `strict` does not ask for.
    norm = ("weight", "bias", "running_mean", "running_var")
    expected = {"0.weight": (6, n), "0.bias": (6,), **{f"1.{name}": (6,) for name in norm}}
    expected |= {"3.weight": (5, 6), "3.bias": (5,), "4.weight": (4, 5), "4.bias": (4,)}
    expected |= {**{f"5.{name}": (4,) for name in norm}, "7.weight": (3, 4), "7.bias": (3,)}
    assert {keys(spec)[name]: array.shape for name, array in arrays.items()} == expected


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_every_activation_has_a_module(activation: str) -> None:
    spec = network(preprocessing(), output=activation)
    assert len(modules(spec)) == 4 - (activation == "linear")


def test_an_onnx_file_of_more_than_two_gib_is_refused_before_it_is_made() -> None:
    fitted = preprocessing()
    spec = network(fitted)
    arrays = weights(spec)
    arrays["layers.0.weight"] = np.broadcast_to(np.float32(0), (2**15, 2**14))
    with pytest.raises(CannotWrite, match="2 GiB"):
        write(WeightsFormat.ONNX, spec, arrays, fitted)
