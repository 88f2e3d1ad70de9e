"""The blocks of docs/models.md that load a model into PyTorch and Keras predict what the service predicts."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent import Client, Model
from tests.blocks import run_by
from tests.service import PENGUINS, Service

os.environ["KERAS_BACKEND"] = "torch"
BIRD = {
    "island": "Biscoe", "sex": None, "year": 2009, "bill_length_mm": 47.5, "bill_depth_mm": 15.0,
    "flipper_length_mm": 217, "body_mass_g": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(service: Service) -> Iterator[Model]:
    with Client(f"http://127.0.0.1:{service.port}") as client:
        network = {"hidden_layers": [16]}
        job = client.jobs.create(client.datasets.create(PENGUINS), target="species", network=network)
        yield job.wait(60).model()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("number", [0, 1], ids=["PyTorch", "Keras"])
def test_a_block_predicts_the_same(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    for format in ("npz", "safetensors"):
        model.download(tmp_path / f"model.{format}")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {"x": model.prepare(BIRD)}
    exec(run_by("models.md", __file__)[number], known)
    (expected,) = model.predict(BIRD)
    told = np.asarray(known["probabilities"])[0]
    np.testing.assert_allclose(told, list((expected.probabilities or {}).values()), rtol=1e-4, atol=1e-6)
