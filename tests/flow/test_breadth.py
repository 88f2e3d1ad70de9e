"""Everything that the engine can do can be asked for over HTTP."""

import io
import json
from typing import Any

import numpy as np
import pytest

from engine.activations import ACTIVATIONS
from engine.initializers import INITIALIZERS
from engine.losses import LOSSES
from engine.optimizers import OPTIMIZERS
from engine.schedules import SCHEDULES
from tests.service import Service, pointers, problem

SEARCHES = {"backtracking", "lbfgs"}


def all_succeed(service: Service, jobs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Submit all jobs, then wait for each."""
    ids = {name: service.submit(**job)["id"] for name, job in jobs.items()}
    done = {name: service.wait(job_id) for name, job_id in ids.items()}
    assert {name: job["error"] for name, job in done.items() if job["status"] != "succeeded"} == {}
    return done


def test_every_optimizer_trains(service: Service, penguins: str) -> None:
    def job(name: str) -> dict[str, Any]:
        training = {"optimizer": {"name": name}, "epochs": 3, "batch_size": "full" if name in SEARCHES else 32}
        return {"dataset_id": penguins, "target": "species", "training": training}

    done = all_succeed(service, {name: job(name) for name in OPTIMIZERS})
    for name in SEARCHES:
        for row in service.history(done[name]["id"]):
            assert row["line_search"]["step"] > 0
            assert row["line_search"]["tries"] >= 1
    model = service.http.get(f"/v1/models/{done['backtracking']['model_id']}").json()
    assert model["monotone"] is True
    assert service.http.get(f"/v1/models/{done['adam']['model_id']}").json()["monotone"] is None


def test_every_schedule_trains(service: Service, penguins: str) -> None:
    def job(name: str) -> dict[str, Any]:
        schedule: dict[str, Any] = {"name": name}
        return {"dataset_id": penguins, "target": "species", "training": {"schedule": schedule, "epochs": 12}}

    done = all_succeed(service, {name: job(name) for name in SCHEDULES})
    rates = {name: [row["learning_rate"] for row in service.history(one["id"])] for name, one in done.items()}
    assert len(set(rates["constant"])) == 1
    for name in ("exponential", "cosine", "one_cycle", "inverse_time"):
        assert len(set(rates[name])) > 3, name


def test_every_activation_and_initializer_trains(service: Service, penguins: str) -> None:
    elementwise = [name for name, one in ACTIVATIONS.items() if one.elementwise]
    layers = {name: {"hidden_layers": [8], "activation": name} for name in elementwise}
    layers |= {name: {"hidden_layers": [8], "initializer": name} for name in INITIALIZERS}
    jobs = {
        name: {"dataset_id": penguins, "target": "species", "network": network, "training": {"epochs": 2}}
        for name, network in layers.items()
    }
    all_succeed(service, jobs)


def test_every_loss_trains_where_it_belongs(service: Service, penguins: str) -> None:
    jobs = {}
    for name, loss in LOSSES.items():
        classifies = "regression" not in loss.tasks
        target = "sex" if classifies else "body_mass_g"
        network = {"output_activation": "linear"} if name == "hinge" else {}
        jobs[name] = {"dataset_id": penguins, "target": target, "training": {"loss": name, "epochs": 2}}
        jobs[name] |= {"network": network}
    jobs["cross_entropy"]["target"] = "species"
    jobs["poisson"]["preprocessing"] = {"numeric": "none"}
    jobs["poisson"]["features"] = ["sex", "island"]
    jobs["poisson"]["target"] = "year"
    jobs["poisson"]["training"]["optimizer"] = {"name": "adam", "learning_rate": 0.0001}
    all_succeed(service, jobs)


@pytest.mark.parametrize("target", ["species", "sex"])
def test_hinge_trains_and_predicts_a_class(service: Service, penguins: str, target: str) -> None:
    job = {"dataset_id": penguins, "target": target, "network": {"hidden_layers": [8]}}
    done = all_succeed(service, {"job": {**job, "training": {"loss": "hinge", "epochs": 30}}})["job"]
    assert done["latest"]["metrics"]["accuracy"] > 0.7


def test_dropout_batch_normalisation_and_penalties_train_and_predict(service: Service, penguins: str) -> None:
    job = {
        "dataset_id": penguins,
        "target": "species",
        "network": {"hidden_layers": [{"units": 16, "dropout": 0.2, "batch_norm": True}, 8], "activation": "gelu"},
        "training": {
            "epochs": 60,
            "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.01},
            "schedule": {"name": "cosine"},
            "l1": 1e-5,
            "l2": 1e-4,
            "max_norm": 3.0,
            "label_smoothing": 0.05,
            "gradient_clip_norm": 1.0,
        },
    }
    done = all_succeed(service, {"job": job})["job"]
    assert done["latest"]["metrics"]["accuracy"] >= 0.95
    with np.load(io.BytesIO(service.weights(done["model_id"]))) as archive:
        names = set(archive.files)
        running = archive["layers.0.batch_norm.running_var"]
        assert (np.linalg.norm(archive["layers.1.weight"], axis=1) <= 3.0 + 1e-5).all()
    assert {"layers.0.batch_norm.weight", "layers.0.batch_norm.running_mean", "layers.2.weight"} <= names
    layers = json.loads(service.weights(done["model_id"], "json"))["layers"]
    assert layers[1]["batch_norm"] is None
    np.testing.assert_array_equal(np.array(layers[0]["batch_norm"]["running_var"], np.float32), running)
    rows = service.http.get(f"/v1/datasets/{penguins}/rows", params={"limit": 50}).json()["items"]
    species = [row.pop("species") for row in rows]
    predicted = service.http.post(f"/v1/models/{done['model_id']}/predict", json={"rows": rows}).json()["predictions"]
    right = [one["value"] == name for one, name in zip(predicted, species, strict=True)]
    assert sum(right) >= 47, "prediction drops nothing, and normalises with the running statistics"


@pytest.mark.parametrize(
    ("training", "network", "expected"),
    [
        ({"optimizer": {"name": "lbfgs"}}, {}, {"/training/batch_size"}),
        ({"loss": "hinge"}, {"output_activation": "softmax"}, {"/network/output_activation"}),
        ({"loss_parameters": {"delta": 1.0}}, {}, {"/training/loss_parameters/delta"}),
        ({"loss": "quadratic", "label_smoothing": 0.1}, {}, {"/training/label_smoothing"}),
        ({"schedule": {"name": "cosin"}}, {}, {"/training/schedule/name"}),
        ({"optimizer": {"name": "adam", "betas": [0.9, 1.5]}}, {}, {"/training/optimizer/betas/1"}),
        ({"optimizer": {"name": "backtracking"}}, {"hidden_layers": [{"units": 4, "dropout": 0.1}]}, None),
    ],
)
def test_impossible_combinations_are_refused_with_what_is_allowed(
    service: Service, penguins: str, training: dict, network: dict, expected: set[str] | None
) -> None:
    job = {"dataset_id": penguins, "target": "species", "training": training, "network": network}
    body = problem(service.http.post("/v1/jobs", json=job), 422, "invalid_request")
    if expected is None:
        assert len(body["errors"]) >= 2, "all faults at once"
    else:
        assert pointers(body) == expected, body


def test_a_hinge_on_numbers_is_refused(service: Service, penguins: str) -> None:
    job = {"dataset_id": penguins, "target": "body_mass_g", "training": {"loss": "hinge"}}
    body = problem(service.http.post("/v1/jobs", json=job), 422, "invalid_request")
    (fault,) = (error for error in body["errors"] if error["pointer"] == "/training/loss")
    assert "mean_squared_error" in fault["allowed"]


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
