from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.contract.datasets import Column, Format
from app.contract.preprocessing import Preprocessing, Task
from app.evaluation.subject import Subject
from app.exports.weights import to_npz
from app.tables.choice import choose
from app.tables.preparation import fit
from app.tables.reading import read_table
from app.tables.summary import Limits
from engine.spec import LayerSpec, NetworkSpec
from engine.weights import draw_parameters, named_arrays

LIMITS = Limits(max_rows=10**9, max_columns=20_000)


class Bench:
    """Tables, and models with weights that were drawn by chance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._n = 0

    def table(self, content: str) -> tuple[Path, tuple[Column, ...]]:
        self._n += 1
        source, table = self.folder / f"upload{self._n}", self.folder / f"table{self._n}.arrow"
        source.write_text(content)
        return table, read_table(source, Format.CSV, {}, table, LIMITS).columns

    def model(
        self,
        content: str,
        target: str | list[str],
        *,
        loss: str | None = None,
        output: str | None = None,
        task: Task = Task.AUTO,
        seed: int = 0,
        **preprocessing: Any,
    ) -> Subject:
        """A network of one hidden layer for a table of this content."""
        table, columns = self.table(content)
        asked = Preprocessing(**preprocessing)
        choice = choose(columns, target=target, features=None, task=task, preprocessing=asked, max_classes=100)
        options: dict[str, Any] = {"validation": None, "seed": 0, "one_output": output == "sigmoid"}
        fitted = fit(table, choice, asked, **options, scale_targets=choice.task == "regression").preprocessing
        output = output or ("softmax" if choice.task == "classification" else "linear")
        network = NetworkSpec(fitted.n_inputs, (LayerSpec(8, "tanh"), LayerSpec(fitted.n_outputs, output)))
        stored = draw_parameters(network, "float32", np.random.default_rng(seed))
        weights = self.folder / f"weights{self._n}.npz"
        weights.write_bytes(to_npz(named_arrays(network, stored)))
        usual = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}.get(output, "mean_squared_error")
        return Subject(network, weights, "float32", fitted, loss or usual)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
