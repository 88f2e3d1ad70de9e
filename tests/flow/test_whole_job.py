"""The whole job: a table goes in, a trained network comes out."""

import io
import json
from hashlib import sha256

import numpy as np
import pytest

from tests.service import PENGUINS, Service

SPEC = {
    "network": {"hidden_layers": [16]},
    "training": {"epochs": 60, "optimizer": {"name": "adam", "learning_rate": 0.01}},
}
GENTOO = {
    "island": "Biscoe",
    "bill_length_mm": 47.5,
    "bill_depth_mm": 15.0,
    "flipper_length_mm": 217,
    "body_mass_g": 5000,
    "sex": "male",
    "year": 2008,
}


@pytest.fixture(scope="module")
def job(service: Service, penguins: str) -> dict:
    return service.wait(service.submit(dataset_id=penguins, target="species", **SPEC)["id"])


def test_a_classifier_of_penguins_is_at_least_97_percent_right(job: dict) -> None:
    assert (job["status"], job["stopped_because"], job["error"]) == ("succeeded", "completed", None)
    assert job["latest"]["metrics"]["accuracy"] >= 0.97
    assert job["progress"]["epoch"] == 60


def test_history_has_every_epoch_once_and_the_loss_falls(service: Service, job: dict) -> None:
    history = service.history(job["id"])
    assert [row["epoch"] for row in history] == list(range(1, 61))
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 5
    assert job["latest"]["train_loss"] == history[-1]["train_loss"]
    best = min(history, key=lambda row: row["validation_loss"])
    assert job["best"]["epoch"] == best["epoch"]


def test_weights_are_the_same_in_every_format(service: Service, job: dict) -> None:
    content = service.weights(job["model_id"])
    model = service.http.get(f"/v1/models/{job['model_id']}").json()
    assert sha256(content).hexdigest() == model["sha256"]
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    assert {name: array.shape for name, array in arrays.items()} == {
        "layers.0.weight": (16, 10),
        "layers.0.bias": (16,),
        "layers.1.weight": (3, 16),
        "layers.1.bias": (3,),
    }
    layers = json.loads(service.weights(job["model_id"], "json"))["layers"]
    for i, layer in enumerate(layers):
        np.testing.assert_array_equal(np.array(layer["weight"], np.float32), arrays[f"layers.{i}.weight"])
        np.testing.assert_array_equal(np.array(layer["bias"], np.float32), arrays[f"layers.{i}.bias"])


def test_prediction_is_what_the_downloaded_weights_and_preprocessing_give(service: Service, job: dict) -> None:
    answer = service.http.post(f"/v1/models/{job['model_id']}/predict", json={"rows": [GENTOO]})
    (prediction,) = answer.json()["predictions"]
    assert prediction["value"] == "Gentoo"

    model = service.http.get(f"/v1/models/{job['model_id']}").json()
    inputs: list[float] = []
    for column in model["preprocessing"]["inputs"]:
        value = GENTOO[column["name"]]
        if column["encoding"] == "one_hot":
            inputs += [float(value == category) for category in column["categories"]]
        else:
            inputs.append((value - column["offset"]) / column["scale"])
    with np.load(io.BytesIO(service.weights(job["model_id"]))) as w:
        hidden = np.maximum(w["layers.0.weight"] @ np.array(inputs) + w["layers.0.bias"], 0)
        z = w["layers.1.weight"] @ hidden + w["layers.1.bias"]
    expected = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    assert list(prediction["probabilities"].values()) == pytest.approx(expected, abs=1e-5)


def test_missing_and_unseen_values_are_predicted_by_the_fitted_rule(service: Service, job: dict) -> None:
    rows = [{**GENTOO, "sex": None, "body_mass_g": None}, {**GENTOO, "island": "Atlantis"}]
    answer = service.http.post(f"/v1/models/{job['model_id']}/predict", json={"rows": rows})
    assert [one["value"] for one in answer.json()["predictions"]] == ["Gentoo", "Gentoo"]


def test_a_regression_predicts_in_the_unit_of_its_column(service: Service, penguins: str) -> None:
    training = {"epochs": 60, "optimizer": {"name": "adam", "learning_rate": 0.01}}
    job = service.submit(dataset_id=penguins, target="body_mass_g", network={"hidden_layers": [16]}, training=training)
    job = service.wait(job["id"])
    assert job["status"] == "succeeded"
    assert job["resolved"]["target_scaling"] == "standardize"
    assert 200 < job["latest"]["metrics"]["rmse"] < 450, "in grams"
    assert job["latest"]["metrics"]["r2"] > 0.75
    row = {**GENTOO, "species": "Gentoo"}
    del row["body_mass_g"]
    answer = service.http.post(f"/v1/models/{job['model_id']}/predict", json={"rows": [row]})
    assert 4000 < answer.json()["predictions"][0]["value"] < 6500


def test_xor_is_learned_by_the_papers_own_algorithm_from_inline_data(service: Service) -> None:
    job = service.submit(
        data={"inputs": [[0, 0], [0, 1], [1, 0], [1, 1]], "targets": [0, 1, 1, 0]},
        validation=None,
        preprocessing={"numeric": "none"},
        network={"hidden_layers": [4], "activation": "sigmoid"},
        training={
            "loss": "quadratic",
            "optimizer": {"name": "gradient_descent", "learning_rate": 2.0},
            "epochs": 5000,
            "batch_size": "full",
            "dtype": "float64",
        },
    )
    assert job["request"]["data"] is None
    assert job["request"]["dataset_id"] == job["resolved"]["dataset_id"]
    job = service.wait(job["id"])
    assert job["latest"]["metrics"]["accuracy"] == 1.0
    answer = service.http.post(f"/v1/models/{job['model_id']}/predict", json={"inputs": [[0, 1], [1, 1]]})
    assert [bool(one["value"]) for one in answer.json()["predictions"]] == [True, False]


def test_the_same_job_twice_gives_the_same_bits(service: Service, penguins: str, job: dict) -> None:
    again = service.wait(service.submit(dataset_id=penguins, target="species", **SPEC)["id"])
    assert service.weights(again["model_id"]) == service.weights(job["model_id"])


def test_a_dataset_comes_back_as_it_was_sent(service: Service, penguins: str) -> None:
    content = PENGUINS.read_bytes()
    answer = service.http.get(f"/v1/datasets/{penguins}/content")
    assert answer.content == content
    part = service.http.get(f"/v1/datasets/{penguins}/content", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])
    rows = service.http.get(f"/v1/datasets/{penguins}/rows", params={"limit": 4}).json()["items"]
    assert rows[0]["bill_length_mm"] == 39.1
    assert rows[3]["sex"] is None


def test_two_threads_train_in_a_process_of_their_own(service: Service, penguins: str) -> None:
    training = {"epochs": 5, "threads": 2}
    job = service.wait(service.submit(dataset_id=penguins, target="species", training=training)["id"])
    assert job["status"] == "succeeded"
    assert service.http.get(f"/v1/models/{job['model_id']}").json()["environment"]["threads"] == 2
    assert job["attempt"] == 1, "the process that has one thread does not take it"
