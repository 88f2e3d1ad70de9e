"""A model as PyTorch's network. PyTorch is not among our packages: these tests run where it is."""

from typing import Any

import numpy as np
import pytest
import torch

from descent import Client, Dataset

BIRD = {
    "island": "Biscoe",
    "sex": None,
    "year": 2009,
    "bill_length_mm": 47.5,
    "bill_depth_mm": 15.0,
    "flipper_length_mm": 217,
    "body_mass_g": 5000,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu", "gelu_tanh", "softsign", "hard_sigmoid"])
def test_it_says_the_same_of_rows_with_categories(client: Client, birds: Dataset, dtype: str, activation: str) -> None:
    layers = [{"units": 8, "batch_norm": True}, {"units": 5, "dropout": 0.2}]
    job = client.jobs.create(
        birds,
        target="species",
        network={"hidden_layers": layers, "activation": activation},
        training={"epochs": 5, "dtype": dtype},
    )
    model = job.wait(60).model()
    with torch.no_grad():
        theirs = model.to_torch()(torch.from_numpy(model.prepare([BIRD]))).numpy()
    (ours,) = model.predict([BIRD])
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(theirs[0], list((ours.probabilities or {}).values()), rtol=tolerance)


@pytest.mark.parametrize("target", [["body_mass_g"], ["body_mass_g", "bill_length_mm"]])
def test_numbers_come_in_the_units_of_their_columns(client: Client, birds: Dataset, target: list[str]) -> None:
    job = client.jobs.create(
        birds, target=target, network={"hidden_layers": [6], "bias": False}, training={"epochs": 5, "dtype": "float64"}
    )
    model = job.wait(60).model()
    row: dict[str, Any] = {name: value for name, value in BIRD.items() if name not in target} | {"species": "Gentoo"}
    with torch.no_grad():
        theirs = model.to_torch()(torch.from_numpy(model.prepare(row))).numpy()
    np.testing.assert_allclose(theirs[0], np.ravel(model.predict(row)[0].value), rtol=1e-12)
