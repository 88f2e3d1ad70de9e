"""A training can start with weights that are there: to the bit, whatever becomes of where they are from."""

import io
import json
from typing import Any

import numpy as np
import pytest

from tests.service import PENGUINS, Service, pointers, problem

# The constant step on all rows: an epoch depends on the weights alone, so that a training can be cut anywhere.
LAYERS = [{"units": 8, "activation": "tanh", "batch_norm": True}, 6]


def body(dataset: str, epochs: int, dtype: str = "float32", **more: Any) -> dict[str, Any]:
    training = {"epochs": epochs, "batch_size": "full", "dtype": dtype, "seed": 4}
    optimizer = {"name": "gradient_descent", "learning_rate": 0.1}
    network = {"hidden_layers": LAYERS}
    job = {"dataset_id": dataset, "target": "species", "network": network}
    return {**job, "training": {**training, "optimizer": optimizer}, **more}


def trained(service: Service, job: dict[str, Any]) -> dict[str, Any]:
    done = service.wait(service.submit(**job)["id"])
    assert (done["status"], done["error"]) == ("succeeded", None)
    return done


def arrays(service: Service, model_id: str) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(service.weights(model_id))) as archive:
        return dict(archive)


SAME = ("train_loss", "validation_loss", "metrics", "gradient_norm")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", ["model_id", "layers"])
def test_a_warm_start_goes_on_to_the_bit(service: Service, penguins: str, dtype: str, source: str) -> None:
    """Five epochs and then one are the same as six: the weights and the statistics of the normalisation came over."""
    whole = trained(service, body(penguins, 6, dtype))
    first = trained(service, body(penguins, 5, dtype))
    weights = {"model_id": first["model_id"]}
    if source == "layers":
        weights = json.loads(service.weights(first["model_id"], "json"))
    second = trained(service, body(penguins, 1, dtype, initial_weights=weights))
    (after,), before = service.history(second["id"]), service.history(whole["id"])[5]
    assert {name: after[name] for name in SAME} == {name: before[name] for name in SAME}
    expected = arrays(service, whole["model_id"])
    found = arrays(service, second["model_id"])
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in expected.items()
    }
    said = second["resolved"]["initial_weights"]
    sha256 = service.http.get(f"/v1/models/{first['model_id']}").json()["sha256"]
    assert said == {"model_id": first["model_id"] if source == "model_id" else None, "sha256": sha256, "warnings": []}
    assert second["request"]["initial_weights"] == (weights if source == "model_id" else {"sha256": sha256})


def test_a_job_that_draws_its_weights_says_so(service: Service, penguins: str) -> None:
    assert service.submit(**body(penguins, 1))["resolved"]["initial_weights"] is None


def test_weights_of_another_precision_are_rounded_to_the_nearest(service: Service, penguins: str) -> None:
    wide = trained(service, body(penguins, 2, "float64"))
    cast = {name: array.astype(np.float32) for name, array in arrays(service, wide["model_id"]).items()}
    narrow = body(penguins, 1, initial_weights={"model_id": wide["model_id"]})
    by_hand = [
        {
            "weight": cast[f"layers.{i}.weight"].tolist(),
            "bias": cast[f"layers.{i}.bias"].tolist(),
            "batch_norm": {
                part: cast[f"layers.{i}.batch_norm.{part}"].tolist()
                for part in ("weight", "bias", "running_mean", "running_var")
            }
            if i == 0
            else None,
        }
        for i in range(3)
    ]
    jobs = [trained(service, narrow), trained(service, body(penguins, 1, initial_weights={"layers": by_hand}))]
    first, second = (job["resolved"]["initial_weights"]["sha256"] for job in jobs)
    assert first == second
    assert service.weights(jobs[0]["model_id"]) == service.weights(jobs[1]["model_id"])


@pytest.mark.slow
def test_a_model_deleted_before_the_job_runs_changes_nothing(own_service: Service) -> None:
    own_service.start()
    dataset = own_service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    source = trained(own_service, body(dataset, 3))["model_id"]
    expected = trained(own_service, body(dataset, 2, initial_weights={"model_id": source}))
    own_service.kill_worker(own_service.workers[0])
    job = own_service.submit(**body(dataset, 2, initial_weights={"model_id": source}))
    assert own_service.http.delete(f"/v1/models/{source}").status_code == 204
    own_service.start_worker()
    done = own_service.wait(job["id"])
    assert own_service.weights(done["model_id"]) == own_service.weights(expected["model_id"])
    refused = own_service.http.post("/v1/jobs", json=body(dataset, 2, initial_weights={"model_id": source}))
    assert pointers(problem(refused, 422, "invalid_request")) == {"/initial_weights/model_id"}
    assert own_service.http.delete(f"/v1/jobs/{job['id']}").status_code == 204


def test_transfer_to_other_outputs_or_inputs_is_refused_with_the_shapes(service: Service, penguins: str) -> None:
    source = trained(service, body(penguins, 1))["model_id"]
    start = {"initial_weights": {"model_id": source}}
    width = 10
    for change, expected, needed in [
        ({"target": "sex"}, {"layers.0.weight", "layers.2.weight", "layers.2.bias"}, "11-8-6-1"),
        ({"features": ["year"]}, {"layers.0.weight"}, "1-8-6-3"),
        ({"network": {"hidden_layers": [LAYERS[0], 7]}}, None, f"{width}-8-7-3"),
    ]:
        refused = service.http.post("/v1/jobs", json={**body(penguins, 1), **start, **change})
        answer = problem(refused, 422, "invalid_request")
        assert f"{width}-8-6-3" in answer["detail"], answer
        assert needed in answer["detail"]
        assert "[8, 6]" in answer["detail"]
        assert pointers(answer) == {"/initial_weights/model_id"}
        assert {error["code"] for error in answer["errors"]} == {"weights_do_not_fit"}
        if expected is not None:
            assert {error["message"].split("`")[1] for error in answer["errors"]} == expected


def test_every_fault_of_given_layers_is_listed_at_once(service: Service, penguins: str) -> None:
    model = trained(service, body(penguins, 1))["model_id"]
    layers = json.loads(service.weights(model, "json"))["layers"]
    layers[0]["weight"].append([0.0] * 10)
    layers[0]["batch_norm"]["running_var"][3] = -1.0
    layers[0]["batch_norm"]["running_mean"].pop()
    layers[1]["weight"][2].pop()
    layers[1]["bias"] = None
    layers[2]["bias"][1] = 1e39  # finite, but not in float32
    layers.append({"weight": [[1.0]], "bias": [1.0]})
    refused = service.http.post("/v1/jobs", json=body(penguins, 1, initial_weights={"layers": layers}))
    assert pointers(problem(refused, 422, "invalid_request")) == {
        "/initial_weights/layers/0/weight",
        "/initial_weights/layers/0/batch_norm/running_var",
        "/initial_weights/layers/0/batch_norm/running_mean",
        "/initial_weights/layers/1/weight",
        "/initial_weights/layers/1/bias",
        "/initial_weights/layers/2/bias",
        "/initial_weights/layers/3/weight",
        "/initial_weights/layers/3/bias",
    }


FORMS: dict[str, tuple[str, set[str]]] = {
    "neither": ("{}", {"/initial_weights"}),
    "both": ('{"model_id": "model_1", "layers": [{"weight": [[1]]}]}', {"/initial_weights"}),
    "no such model": ('{"model_id": "model_none"}', {"/initial_weights/model_id"}),
    "an unknown field": ('{"layer": []}', {"/initial_weights/layer"}),
    "no layers": ('{"layers": []}', {"/initial_weights/layers"}),
    "text": ('"model_1"', {"/initial_weights"}),
    "numbers that are not finite": (
        '{"layers": [{"weight": [[1, NaN]], "bias": [1e999]}, {"weight": [[1], [-Infinity]]}]}',
        {
            "/initial_weights/layers/0/weight/0/1",
            "/initial_weights/layers/0/bias/0",
            "/initial_weights/layers/1/weight/1/0",
        },
    ),
    "no numbers": (
        '{"layers": [{"weight": [["1", true]], "bias": [null]}, {"weight": [1]}, {"weight": "1"}, {}, 5]}',
        {
            "/initial_weights/layers/0/weight/0/0",
            "/initial_weights/layers/0/bias/0",
            "/initial_weights/layers/1/weight/0",
            "/initial_weights/layers/2/weight",
            "/initial_weights/layers/3/weight",
            "/initial_weights/layers/4",
        },
    ),
    "numbers too large for a double": (
        '{"layers": [{"weight": [[' + "9" * 400 + "]]}]}",
        {"/initial_weights/layers/0/weight/0/0"},
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_what_is_no_weights_is_refused(service: Service, penguins: str, name: str) -> None:
    text, expected = FORMS[name]
    job = json.dumps(body(penguins, 1))[:-1] + f', "initial_weights": {text}}}'
    answer = service.http.post("/v1/jobs", content=job, headers={"Content-Type": "application/json"})
    assert pointers(problem(answer, 422, "invalid_request")) == expected


def test_what_differs_besides_the_shapes_is_said(service: Service) -> None:
    rows = "".join(f"{i},{i * i % 7},{'xyz'[i % 3]},{i % 5}\n" for i in range(40))
    first = service.upload(f"a,b,kind,n\n{rows}".encode())["id"]
    second = service.upload(f"a,c,sort,n\n{rows.replace('x', 'w')}".encode())["id"]

    def job(dataset: str, target: str, features: list[str], activation: str = "relu", **more: Any) -> dict[str, Any]:
        network = {"hidden_layers": [4], "activation": activation}
        columns = {"dataset_id": dataset, "target": target, "features": features}
        return {**columns, "network": network, "training": {"epochs": 1}, **more}

    def codes(source: str, **asked: Any) -> set[str]:
        started = trained(service, job(**asked, initial_weights={"model_id": source}))
        return {warning["code"] for warning in started["resolved"]["initial_weights"]["warnings"]}

    classes = trained(service, job(first, "kind", ["a", "b"]))["model_id"]
    numbers = trained(service, job(first, "n", ["a", "b"]))["model_id"]
    same = {"dataset": first, "target": "kind", "features": ["a", "b"]}
    assert codes(classes, **same) == set()
    assert codes(classes, **{**same, "activation": "tanh"}) == {"activations_differ"}
    assert codes(classes, **{**same, "features": ["b", "a"]}) == {"inputs_differ"}
    assert codes(classes, dataset=second, target="sort", features=["a", "c"]) == {"inputs_differ", "classes_differ"}
    assert codes(numbers, dataset=first, target="b", features=["a", "n"]) == {"inputs_differ", "targets_differ"}
