"""Every kind of network and training that the contract names can be asked for, and is trained."""

import io

import numpy as np
import pytest

from engine.activations import ACTIVATIONS
from engine.optimizers import OPTIMIZERS
from engine.schedules import SCHEDULES
from tests.service import Service, pointers

HIDDEN = [name for name, act in ACTIVATIONS.items() if act.elementwise]
FULL = {name: {"batch_size": "full"} for name, optimizer in OPTIMIZERS.items() if optimizer.search}


def finished(service: Service, dataset: str, target: str, network: dict, training: dict) -> dict:
    job = service.submit(dataset_id=dataset, target=target, network=network, training={"epochs": 3, **training})
    job = service.wait(job["id"])
    assert job["status"] == "succeeded", job["error"]
    assert np.isfinite(job["latest"]["train_loss"])
    return job


def test_all_hidden_activations_are_trained(service: Service, penguins: str) -> None:
    finished(service, penguins, "species", {"hidden_layers": [{"units": 4, "activation": name} for name in HIDDEN]}, {})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains(service: Service, penguins: str, name: str) -> None:
    finished(service, penguins, "species", {"hidden_layers": [4]}, {"optimizer": {"name": name}, **FULL.get(name, {})})


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_trains(service: Service, penguins: str, name: str) -> None:
    finished(service, penguins, "species", {"hidden_layers": [4]}, {"schedule": {"name": name}})


@pytest.mark.parametrize("loss", ["mean_absolute_error", "huber", "log_cosh", "quantile", "poisson"])
def test_every_loss_of_numbers_trains(service: Service, penguins: str, loss: str) -> None:
    finished(service, penguins, "flipper_length_mm", {"hidden_layers": [4]}, {"loss": loss})


@pytest.mark.parametrize("target", ["species", "sex"])
def test_hinge_trains_and_predicts_a_class(service: Service, penguins: str, target: str) -> None:
    job = finished(service, penguins, target, {"hidden_layers": [8]}, {"loss": "hinge", "epochs": 30})
    assert job["latest"]["metrics"]["accuracy"] > 0.7


def test_regularised_network_is_trained_and_its_statistics_are_downloaded(service: Service, penguins: str) -> None:
    layer = {"units": 8, "activation": "gelu", "dropout": 0.2, "batch_norm": True}
    network = {"hidden_layers": [layer, layer], "initializer": "orthogonal", "initializer_parameters": {"gain": 1.2}}
    training = {"l1": 1e-4, "l2": 1e-3, "max_norm": 3.0, "label_smoothing": 0.1, "epochs": 40}
    job = finished(service, penguins, "species", network, training)
    assert job["latest"]["metrics"]["accuracy"] > 0.9
    with np.load(io.BytesIO(service.weights(job["model_id"]))) as archive:
        assert archive["layers.0.batch_norm.running_var"].shape == (8,)
        assert (np.linalg.norm(archive["layers.1.weight"], axis=1) <= 3.0 + 1e-5).all()


def test_impossible_combinations_are_refused_all_at_once(service: Service, penguins: str) -> None:
    body = {
        "dataset_id": penguins,
        "target": "flipper_length_mm",
        "network": {
            "hidden_layers": [{"units": 4, "dropout": 0.5}],
            "initializer": "constant",
            "initializer_parameters": {"size": 1.0},
        },
        "training": {
            "loss": "hinge",
            "loss_parameters": {"delta": 1.0},
            "optimizer": {"name": "lbfgs"},
            "label_smoothing": 0.1,
            "max_norm": 1.0,
        },
    }
    answer = service.http.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert pointers(answer.json()) == {
        "/training/loss",
        "/training/loss_parameters/delta",
        "/training/batch_size",
        "/training/label_smoothing",
        "/training/max_norm",
        "/network/hidden_layers/0/dropout",
        "/network/initializer_parameters/size",
    }
