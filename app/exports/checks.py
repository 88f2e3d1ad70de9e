"""Opening a file with its format's own library, and comparing what it says of sample rows with what the engine says."""

import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from app.contract.models import WeightsFormat
from app.exports.samples import Row, feeds
from app.exports.weights import from_layers
from app.tables.fitted import FittedPreprocessing
from engine.predict import predict
from engine.spec import NetworkSpec
from engine.weights import flat_parameters

Arrays = Mapping[str, NDArray[Any]]
TOLERANCE = 1e-5
# Where the engine's own single precision is off by more, a file that adds in another order may be off by as much.
ROUNDINGS = 8.0


@dataclass(frozen=True)
class Checked:
    """What a check found; see `app.contract.models.Verification`."""

    ok: bool
    max_difference: float | None
    n_rows: int
    library: str
    version: str


@dataclass(frozen=True)
class Subject:
    """A model, and the rows that a file of it is compared on."""

    network: NetworkSpec
    arrays: Arrays
    preprocessing: FittedPreprocessing
    dtype: str
    rows: Sequence[Row]

    def outputs(self, arrays: Arrays, dtype: str) -> NDArray[np.float64]:
        """Give what the engine says of the rows with these weights."""
        x = self.preprocessing.encode_rows(self.rows, dtype)
        return predict(self.network, flat_parameters(self.network, arrays, dtype), x).astype(np.float64)


def check(format: WeightsFormat, path: Path, subject: Subject) -> Checked:
    """Open a file and compare it. What a library refuses to open raises its own error."""
    return CHECKS[format](path, subject)


def _weights_only(
    open_arrays: Callable[[Path], Arrays], library: str, version: str
) -> Callable[[Path, Subject], Checked]:
    """Check a file of weights: every bit of every array, and the answers of the engine with them."""

    def compare(path: Path, subject: Subject) -> Checked:
        found = open_arrays(path)
        same = found.keys() == subject.arrays.keys() and all(
            _same_bits(np.asarray(found[name], subject.dtype), array) for name, array in subject.arrays.items()
        )
        if not same or not subject.rows:
            return Checked(same, None, 0, library, version)
        expected = subject.outputs(subject.arrays, subject.dtype)
        difference = _largest(subject.outputs(found, subject.dtype), expected, 1.0)
        return Checked(difference == 0.0, difference, len(subject.rows), library, version)

    return compare


def _same_bits(found: NDArray[Any], array: NDArray[Any]) -> bool:
    return found.shape == array.shape and found.tobytes() == np.ascontiguousarray(array).tobytes()


def _onnx(path: Path, subject: Subject) -> Checked:
    """Run the file, and compare its labels and numbers with the answers of `/predict`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    library, version = "onnxruntime", onnxruntime.__version__
    if not subject.rows:
        return Checked(True, None, 0, library, version)
    names = json.loads(session.get_modelmeta().custom_metadata_map["outputs"])
    found = dict(zip(names, session.run(list(names.values()), feeds(subject.preprocessing, subject.rows)), strict=True))
    outputs = subject.outputs(subject.arrays, subject.dtype)
    rounding = np.abs(outputs - subject.outputs(subject.arrays, "float64"))
    compare = _compare_numbers if subject.preprocessing.task == "regression" else _compare_classes
    ok, difference = compare(found, outputs, ROUNDINGS * np.nan_to_num(rounding), subject.preprocessing)
    return Checked(ok, difference, len(subject.rows), library, version)


def _compare_numbers(
    found: Mapping[str, NDArray[Any]],
    outputs: NDArray[np.float64],
    allowance: NDArray[np.float64],
    preprocessing: FittedPreprocessing,
) -> tuple[bool, float | None]:
    scales = np.array([one.scale / one.unit for one in preprocessing.targets])
    answers = preprocessing.decode(outputs, probabilities=False)
    expected = np.array([one["value"] for one in answers], np.float64).reshape(outputs.shape)
    values = np.asarray(found["value"], np.float64).reshape(outputs.shape)
    values = np.where(np.isfinite(values), values, np.nan)
    unit = np.maximum(np.abs(expected), scales)
    close = _close(values, expected, unit, allowance * scales)
    return close, _largest(values, expected, unit)


def _compare_classes(
    found: Mapping[str, NDArray[Any]],
    outputs: NDArray[np.float64],
    allowance: NDArray[np.float64],
    preprocessing: FittedPreprocessing,
) -> tuple[bool, float | None]:
    """Labels are to be equal, but for rows whose two best classes are as close to each other as the outputs may differ."""
    expected = np.column_stack([1 - outputs[:, 0], outputs[:, 0]]) if preprocessing.one_output else outputs
    allowance = np.column_stack([allowance[:, 0]] * 2) if preprocessing.one_output else allowance
    scores = np.asarray(found["probabilities" if "probabilities" in found else "scores"], np.float64)
    unit = np.maximum(np.abs(expected), 1.0)
    labels = [one["value"] for one in preprocessing.decode(outputs, probabilities=False)]
    best = np.sort(expected, axis=1)
    tied = best[:, -1] - best[:, -2] <= 2 * (TOLERANCE * unit + allowance).max(axis=1)
    right = all(tie or a == b for tie, a, b in zip(tied.tolist(), found["value"].tolist(), labels, strict=True))
    return right and _close(scores, expected, unit, allowance), _largest(scores, expected, unit)


def _close(found: NDArray[Any], expected: NDArray[Any], unit: NDArray[Any], allowance: NDArray[Any]) -> bool:
    if found.shape != expected.shape:
        return False
    both_nan = np.isnan(found) & np.isnan(expected)
    with np.errstate(invalid="ignore"):
        near = (np.abs(found - expected) <= TOLERANCE * unit + allowance) | (found == expected)
    return bool((near | both_nan).all())


def _largest(found: NDArray[Any], expected: NDArray[Any], unit: NDArray[Any] | float) -> float | None:
    """Give the largest difference between numbers that are finite; None if there are none."""
    if found.shape != expected.shape:
        return None
    with np.errstate(invalid="ignore"):
        differences = np.where(found == expected, 0.0, np.abs(found - expected) / unit)
    differences = differences[np.isfinite(differences)]
    return float(differences.max()) if differences.size else None


def _open_npz(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _open_json(path: Path) -> Arrays:
    return from_layers(json.loads(path.read_bytes())["layers"])


CHECKS: Mapping[WeightsFormat, Callable[[Path, Subject], Checked]] = MappingProxyType(
    {
        WeightsFormat.NPZ: _weights_only(_open_npz, "numpy", np.__version__),
        WeightsFormat.SAFETENSORS: _weights_only(load_file, "safetensors", importlib.metadata.version("safetensors")),
        WeightsFormat.JSON: _weights_only(_open_json, "json", f"Python {platform.python_version()}"),
        WeightsFormat.ONNX: _onnx,
    }
)
