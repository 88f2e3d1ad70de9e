"""A file that does not say what the engine says is found out, and one that does is not suspected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.contract.datasets import Format, Kind
from app.contract.models import WeightsFormat
from app.exports.checks import check
from app.exports.files import write
from app.exports.samples import UNSEEN, feeds, made_rows, sample_rows
from app.tables.fitted import FittedInput, FittedPreprocessing
from app.tables.reading import read_table
from app.tables.summary import Limits
from tests.app.exports.cases import COLUMNS, network, preprocessing, subject, weights


def written(path: Path, format: WeightsFormat, spec: Any, arrays: Any, fitted: FittedPreprocessing) -> Path:
    path.write_bytes(write(format, spec, arrays, fitted))
    return path


@pytest.mark.parametrize("format", list(WeightsFormat))
def test_a_right_file_is_found_right(format: WeightsFormat, tmp_path: Path) -> None:
    fitted = preprocessing()
    spec = network(fitted, [(6, "silu", True)])
    arrays = weights(spec)
    found = check(format, written(tmp_path / "file", format, spec, arrays, fitted), subject(spec, arrays, fitted))
    assert found.ok
    assert found.n_rows >= 30
    assert found.max_difference is not None
    assert found.max_difference <= (1e-6 if format is WeightsFormat.ONNX else 0.0)
    assert found.library == {"npz": "numpy", "json": "json", "onnx": "onnxruntime"}.get(format, format)


@pytest.mark.parametrize("format", list(WeightsFormat))
@pytest.mark.parametrize("name", ["layers.0.weight", "layers.1.bias", "layers.0.batch_norm.running_var"])
def test_a_file_with_one_wrong_number_is_found_wrong(name: str, format: WeightsFormat, tmp_path: Path) -> None:
    fitted = preprocessing(None)
    spec = network(fitted, [(6, "silu", True)], "linear")
    arrays = weights(spec)
    wrong = {**arrays, name: arrays[name].copy()}
    wrong[name].reshape(-1)[0] += 0.5
    found = check(format, written(tmp_path / "file", format, spec, wrong, fitted), subject(spec, arrays, fitted))
    assert not found.ok


@pytest.mark.parametrize("format", [WeightsFormat.NPZ, WeightsFormat.SAFETENSORS, WeightsFormat.JSON])
def test_weights_that_differ_in_the_last_bit_are_wrong(format: WeightsFormat, tmp_path: Path) -> None:
    fitted = preprocessing()
    spec = network(fitted)
    arrays = weights(spec)
    wrong = {**arrays, "layers.0.bias": np.nextafter(arrays["layers.0.bias"], np.float32(9))}
    found = check(format, written(tmp_path / "file", format, spec, wrong, fitted), subject(spec, arrays, fitted))
    assert not found.ok


def change(fitted: FittedPreprocessing, place: int, **changes: Any) -> FittedPreprocessing:
    inputs = list(fitted.inputs)
    inputs[place] = FittedInput(**{**vars(inputs[place]), **changes})
    return FittedPreprocessing(fitted.task, tuple(inputs), fitted.targets, fitted.missing, fitted.one_output)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda fitted: change(fitted, 0, offset=1e9 + 1),
        lambda fitted: change(fitted, 0, fill=None),
        lambda fitted: change(fitted, 1, fill=4.5),
        lambda fitted: change(fitted, 4, scale=2e7),
        lambda fitted: change(fitted, 5, categories=("", "Zoë", "a;b", "日本")),
        lambda fitted: change(fitted, 6, categories=("low", "high", "mid")),
    ],
)
def test_a_file_with_another_preprocessing_is_found_wrong(
    spoil: Callable[[FittedPreprocessing], FittedPreprocessing], tmp_path: Path
) -> None:
    fitted = preprocessing(None)
    spec = network(fitted, [(6, "tanh", False)], "linear")
    arrays = weights(spec)
    path = written(tmp_path / "file", WeightsFormat.ONNX, spec, arrays, spoil(fitted))
    assert not check(WeightsFormat.ONNX, path, subject(spec, arrays, fitted)).ok


def test_labels_in_another_order_are_found_wrong(tmp_path: Path) -> None:
    fitted, other = preprocessing(("a", "b", "c")), preprocessing(("b", "a", "c"))
    spec = network(fitted, [(7, "tanh", False)], bias=False)
    arrays = {name: 3 * array for name, array in weights(spec, seed=1).items()}
    path = written(tmp_path / "file", WeightsFormat.ONNX, spec, arrays, other)
    assert not check(WeightsFormat.ONNX, path, subject(spec, arrays, fitted)).ok


def test_a_network_that_rounds_coarsely_itself_is_not_suspected(tmp_path: Path) -> None:
    columns = [FittedInput(f"x{i}", Kind.NUMERIC, "none") for i in range(40)]
    fitted = preprocessing(None, columns=columns)
    spec = network(fitted, [(64, "linear", False)], "linear", bias=False)
    arrays = weights(spec)
    arrays["layers.1.weight"][:] *= 1e4
    found = check(
        WeightsFormat.ONNX,
        written(tmp_path / "file", WeightsFormat.ONNX, spec, arrays, fitted),
        subject(spec, arrays, fitted),
    )
    assert found.ok, found


def test_made_rows_have_missing_and_unseen_values_and_every_category() -> None:
    fitted = preprocessing()
    rows = made_rows(fitted, 32)
    by_name = {one.name: [row[one.name] for row in rows] for one in COLUMNS}
    assert None in by_name["far"]
    assert None not in by_name["raw"], "the model was trained without missing values there"
    assert {UNSEEN, "", "Zoë", "a,b", "日本"} == set(by_name["straße/日本"])
    assert {None, UNSEEN, "high", "low", "mid"} == set(by_name["rank"])
    lacking = [[name for name, value in row.items() if value is None] for row in rows]
    assert ["far"] in lacking, "missing alone, and not only where all else is missing, too"
    assert {True, False} <= set(by_name["is new"])
    assert len(sample_rows(fitted, None)) == 32, "the model takes all of them"


def test_sample_rows_have_the_rows_of_the_table(tmp_path: Path) -> None:
    source, table = tmp_path / "upload", tmp_path / "table.arrow"
    source.write_text("far,rank\n1000000001.5,high\n,\n1000000003,\n")
    read_table(source, Format.CSV, {"rank": Kind.CATEGORICAL}, table, Limits(max_rows=9, max_columns=9))
    fitted = preprocessing(columns=[COLUMNS[0], COLUMNS[6]])
    rows = sample_rows(fitted, table)
    expected = [(1000000001.5, "high"), (None, None), (1000000003.0, None)]
    assert [tuple(row.values()) for row in rows[-3:]] == expected
    fed = feeds(fitted, rows[-3:])
    assert fed["rank"].tolist() == [["high"], [""], [""]]
    assert np.isnan(fed["far"][1, 0])


def test_a_model_whose_dataset_is_gone_is_compared_on_made_rows(tmp_path: Path) -> None:
    assert len(sample_rows(preprocessing(), tmp_path / "gone.arrow")) == len(sample_rows(preprocessing(), None)) > 0
