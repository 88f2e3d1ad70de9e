"""Checkpoints, forks, receipts and verifications, as a client sees them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.service import PENGUINS, Service, pointers, problem

pytestmark = pytest.mark.timeout(600)  # they wait for whole trainings, beside whatever else runs

SAME = ("epoch", "train_loss", "validation_loss", "metrics", "learning_rate", "gradient_norm")


def job_of(dataset: str, epochs: int, **training: Any) -> dict[str, Any]:
    return {
        "dataset_id": dataset,
        "target": "species",
        "network": {"hidden_layers": [16, 8], "activation": "tanh"},
        "training": {"epochs": epochs, "batch_size": 24, "seed": 5, **training},
    }


def trained(service: Service, dataset: str, epochs: int, **training: Any) -> dict[str, Any]:
    job = service.wait(service.submit(**job_of(dataset, epochs, **training))["id"])
    assert (job["status"], job["error"]) == ("succeeded", None)
    return job


def fork(service: Service, job_id: str, **body: Any) -> dict[str, Any]:
    answer = service.http.post(f"/v1/jobs/{job_id}/fork", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    return dict(answer.json())


def checkpoints(service: Service, job_id: str) -> list[dict[str, Any]]:
    return list(service.http.get(f"/v1/jobs/{job_id}/checkpoints").json()["items"])


def history(service: Service, job_id: str) -> list[list[Any]]:
    return [[row[name] for name in SAME] for row in service.history(job_id)]


def verify(service: Service, job_id: str) -> dict[str, Any]:
    answer = service.http.post(f"/v1/jobs/{job_id}/verify")
    assert answer.status_code == 202, answer.text
    assert (answer.json()["kind"], answer.json()["parent_job_id"]) == ("verification", job_id)
    job = service.wait(answer.json()["id"])
    assert (job["status"], job["error"], job["model_id"]) == ("succeeded", None, None)
    return dict(job["verification"])


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"optimizer": {"name": "momentum", "learning_rate": 0.01}, "early_stopping": {"patience": 1000}},
        {
            "optimizer": {"name": "lbfgs", "max_iter": 2, "tolerance_change": 0.0, "tolerance_grad": 0.0},
            "batch_size": "full",
            "l2": 0.01,
        },
        {"schedule": {"name": "reduce_on_plateau"}, "l2": 0.001},
    ],
    ids=["adam", "momentum", "lbfgs", "plateau"],
)
def test_a_fork_with_more_epochs_is_the_same_as_training_straight_on(
    service: Service, penguins: str, training: dict[str, Any]
) -> None:
    straight = trained(service, penguins, 45, **training)
    parent = trained(service, penguins, 30, **training)
    child = service.wait(fork(service, parent["id"], training={"epochs": 45})["id"])
    assert (child["parent_job_id"], child["parent_epoch"], child["kind"]) == (parent["id"], 30, "training")
    assert history(service, parent["id"]) + history(service, child["id"]) == history(service, straight["id"])
    assert service.weights(child["model_id"]) == service.weights(straight["model_id"])
    assert child["best"] == straight["best"]


def test_a_fork_changes_what_it_names_and_keeps_the_rest(service: Service, penguins: str) -> None:
    parent = trained(service, penguins, 5)
    changes = {"epochs": 8, "optimizer": {"name": "rmsprop", "learning_rate": 0.01}, "batch_size": 10}
    submitted = fork(service, parent["id"], name="again", tags={"a": "b"}, priority=3, training=changes)
    child = service.wait(submitted["id"])
    assert (child["name"], child["tags"], child["priority"]) == ("again", {"a": "b"}, 3)
    assert child["status"] == "succeeded"
    kept = {name: value for name, value in parent["resolved"]["training"].items() if name not in changes}
    assert {name: child["resolved"]["training"][name] for name in kept} == kept
    assert child["resolved"]["training"]["optimizer"]["name"] == "rmsprop"
    assert [row["epoch"] for row in service.history(child["id"])] == [6, 7, 8]
    assert service.job(parent["id"]) == parent, "the parent must not be touched"


def test_a_fork_that_cannot_be_is_refused_with_every_reason(service: Service, penguins: str) -> None:
    parent = trained(service, penguins, 5)
    url = f"/v1/jobs/{parent['id']}/fork"
    refused = problem(service.http.post(url, json={}), 422, "invalid_request")
    assert pointers(refused) == {"/training/epochs"}
    body = {"training": {"epochs": 3, "seed": 6, "dtype": "float64"}}
    refused = problem(service.http.post(url, json=body), 422, "invalid_request")
    assert pointers(refused) == {"/training/epochs", "/training/seed", "/training/dtype"}
    refused = problem(service.http.post(url, json={"training": {"colour": 1}, "x": 2}), 422, "invalid_request")
    assert pointers(refused) == {"/training/colour", "/x"}
    body = {"training": {"epochs": 9, "optimizer": {"name": "lbfgs"}}}
    assert pointers(problem(service.http.post(url, json=body), 422, "invalid_request")) == {"/training/batch_size"}
    other = trained(service, penguins, 1)
    for name in ("ckpt_none", checkpoints(service, other["id"])[0]["id"]):
        refused = problem(service.http.post(url, json={"checkpoint_id": name}), 422, "invalid_request")
        assert pointers(refused) == {"/checkpoint_id"}


def test_the_same_key_makes_one_fork(service: Service, penguins: str) -> None:
    parent = trained(service, penguins, 2)
    url, headers = f"/v1/jobs/{parent['id']}/fork", {"Idempotency-Key": "fork-once"}
    first, again = (service.http.post(url, json={"training": {"epochs": 3}}, headers=headers) for _ in range(2))
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json() == again.json()


def test_every_nth_state_is_kept_up_to_a_bound_and_can_be_gone_on_from(service: Service, penguins: str) -> None:
    keep = {"every_epochs": 10, "most": 3}
    parent = trained(service, penguins, 55, keep_checkpoints=keep)
    found = checkpoints(service, parent["id"])
    assert [(one["kind"], one["epoch"]) for one in found] == [
        ("latest", 55), ("best", parent["best"]["epoch"]), ("kept", 50), ("kept", 40), ("kept", 30),
    ]  # fmt: skip
    assert len({one["id"] for one in found}) == 5
    assert all(one["size_bytes"] > 0 and len(one["sha256"]) == 64 for one in found)
    short = trained(service, penguins, 30)
    url = found[4]["weights"]
    answer = service.http.get(url)
    assert answer.content == service.weights(short["model_id"]), "a kept state has the weights of its epoch"
    assert service.http.get(url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    part = service.http.get(url, headers={"Range": "bytes=0-1"})
    assert (part.status_code, part.content) == (206, b"PK")
    layers = service.http.get(url, params={"format": "json"}).json()["layers"]
    with np.load(io.BytesIO(answer.content)) as arrays:
        assert np.array_equal(np.float32(layers[0]["weight"]), arrays["layers.0.weight"])
    assert service.http.get(found[0]["weights"]).content == service.weights(parent["model_id"])
    straight = trained(service, penguins, 35)
    child = service.wait(fork(service, parent["id"], checkpoint_id=found[4]["id"], training={"epochs": 35})["id"])
    assert service.weights(child["model_id"]) == service.weights(straight["model_id"])
    problem(service.http.get(url.replace("_30/", "_20/")), 404, "not_found")
    assert service.http.delete(f"/v1/jobs/{parent['id']}").status_code == 204
    problem(service.http.get(url), 404, "not_found")
    assert not list(service.data_dir.glob("blobs/parts/tmp*")), "a download leaves no file"


def test_a_fork_of_the_best_begins_with_the_best_weights(service: Service, penguins: str) -> None:
    stop = {"monitor": "train_loss", "patience": 3, "restore_best": True}
    rate = {"optimizer": {"name": "gradient_descent", "learning_rate": 3.0}}
    parent = trained(service, penguins, 40, early_stopping=stop, **rate)
    latest, best = checkpoints(service, parent["id"])[:2]
    assert best["epoch"] < latest["epoch"]
    assert service.http.get(best["weights"]).content == service.weights(parent["model_id"])
    changed = {"optimizer": {"name": "adam", "learning_rate": 1e-30}, "epochs": 41, "early_stopping": None}
    child = service.wait(fork(service, parent["id"], checkpoint_id=best["id"], training=changed)["id"])
    assert child["parent_epoch"] == best["epoch"]
    assert service.weights(child["model_id"]) == service.weights(parent["model_id"]), "with no step to speak of"


def test_a_paused_and_a_running_job_can_be_forked(service: Service, penguins: str) -> None:
    parent = service.submit(**job_of(penguins, 10_000_000))
    service.wait_for_epoch(parent["id"], 1)
    first = fork(service, parent["id"], training={"max_seconds": 0.2})
    service.http.post(f"/v1/jobs/{parent['id']}/pause")
    while service.job(parent["id"])["status"] != "paused":
        pass
    second = fork(service, parent["id"], training={"max_seconds": 0.2})
    for child in (first, second):
        job = service.wait(child["id"])
        assert (job["status"], job["stopped_because"]) == ("succeeded", "max_seconds")
        rows = [row["epoch"] for row in service.history(child["id"])]
        assert rows == list(range(child["parent_epoch"] + 1, job["progress"]["epoch"] + 1))
    service.http.post(f"/v1/jobs/{parent['id']}/cancel")
    service.wait(parent["id"])


def test_a_diverged_job_goes_on_with_a_smaller_rate(service: Service, penguins: str) -> None:
    training = {"optimizer": {"name": "gradient_descent", "learning_rate": 1e6}, "loss": "quadratic"}
    body = job_of(penguins, 50, **training)
    body["network"] = {"hidden_layers": [16], "activation": "relu", "output_activation": "linear"}
    parent = service.wait(service.submit(**body)["id"])
    assert parent["error"]["code"] == "diverged"
    smaller = {"optimizer": {"name": "gradient_descent", "learning_rate": 1e-9}}
    answer = service.http.post(f"/v1/jobs/{parent['id']}/fork", json={"training": smaller})
    if answer.status_code == 202:
        assert service.wait(answer.json()["id"])["status"] in {"succeeded", "failed"}
    else:
        assert pointers(problem(answer, 422, "invalid_request")) == {"/checkpoint_id"}


def test_a_model_carries_a_receipt_that_a_second_training_meets(service: Service, penguins: str) -> None:
    first, second = (trained(service, penguins, 130) for _ in range(2))
    one, two = (service.http.get(f"/v1/models/{job['model_id']}/receipt").json() for job in (first, second))
    assert service.http.get(f"/v1/models/{first['model_id']}").json()["receipt"] == one
    assert one["dataset_sha256"] == service.http.get(f"/v1/datasets/{penguins}").json()["sha256"]
    assert (one["seed"], one["other_classes"]) == (5, [])
    assert one["environment"]["numpy"] == np.__version__
    assert one["environment"]["blas_kernel"]
    assert [link["epoch"] for link in one["chain"]] == [*range(3, 130, 3), 130]
    assert {**one, "job_id": None} == {**two, "job_id": None}
    other = trained(service, penguins, 130, l2=1e-6)
    third = service.http.get(f"/v1/models/{other['model_id']}/receipt").json()
    assert third["spec_sha256"] != one["spec_sha256"]
    assert not {link["sha256"] for link in third["chain"]} & {link["sha256"] for link in one["chain"]}


@pytest.mark.parametrize("training", [{}, {"early_stopping": {"patience": 2}}, {"max_seconds": 0.3}])
def test_an_honest_job_verifies_as_identical(service: Service, penguins: str, training: dict[str, Any]) -> None:
    job = trained(service, penguins, 100_000 if "max_seconds" in training else 200, **training)
    epochs = job["progress"]["epoch"]
    answer = verify(service, job["id"])
    assert answer == {"answer": "identical", "first_epoch": None, "epochs": epochs, "differences": []}
    assert all(item["kind"] == "training" for item in service.http.get("/v1/jobs").json()["items"])
    asked = service.http.get("/v1/jobs", params={"kind": "verification"}).json()["items"]
    assert job["id"] in {item["parent_job_id"] for item in asked}


def test_a_fork_verifies_as_identical(service: Service, penguins: str) -> None:
    parent = trained(service, penguins, 20)
    child = service.wait(fork(service, parent["id"], training={"epochs": 50, "batch_size": 7})["id"])
    assert verify(service, child["id"])["answer"] == "identical"


def alter(service: Service, statement: str) -> None:
    """Change what is stored, behind the service's back."""
    from sqlalchemy import text

    from app.store.session import Database

    url = service.environment.get("DESCENT_DATABASE_URL", f"sqlite:///{service.data_dir / 'descent.db'}")
    database = Database(url)
    with database.transaction() as session:
        assert session.execute(text(statement)).rowcount == 1
    database.dispose()


@pytest.mark.slow
def test_a_history_that_was_altered_is_found_out_at_its_epoch(one_slot: Service) -> None:
    dataset = one_slot.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    job = trained(one_slot, dataset, 100)
    changed = f"UPDATE epochs SET train_loss = train_loss * 1.0000000001 WHERE job_id = '{job['id']}' AND epoch = 37"
    alter(one_slot, changed)
    answer = verify(one_slot, job["id"])
    assert (answer["answer"], answer["first_epoch"], answer["differences"]) == ("differs", 37, [])


@pytest.mark.slow
def test_another_machine_is_told_by_what_differs(one_slot: Service, tmp_path: Path) -> None:
    """The same job by another kernel of the matrix library, as another processor would take: one older than any in use."""
    dataset = one_slot.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    body = job_of(dataset, 60)
    body["network"] = {"hidden_layers": [200, 100], "activation": "elu"}  # by NumPy's products
    job = one_slot.wait(one_slot.submit(**body)["id"])
    worker = one_slot.workers.pop()
    worker.terminate()
    worker.wait(15)
    one_slot.environment["OPENBLAS_CORETYPE"] = "Nehalem"
    one_slot.start_worker()
    answer = verify(one_slot, job["id"])
    (difference,) = answer["differences"]
    assert difference["name"] == "blas_kernel"
    assert difference["now"] == "Nehalem"
    assert (answer["answer"], answer["first_epoch"]) == ("other_class", 1)


@pytest.mark.slow
def test_a_fork_that_has_not_begun_can_be_looked_at_and_forked_again(one_slot: Service) -> None:
    """Its state is still its parent's: here the parent's best weights, and not its latest ones."""
    dataset = one_slot.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    rate = {"optimizer": {"name": "gradient_descent", "learning_rate": 3.0}}
    parent = trained(one_slot, dataset, 40, **rate)
    best = checkpoints(one_slot, parent["id"])[1]
    assert (best["kind"], best["epoch"]) == ("best", parent["best"]["epoch"])
    blocker = one_slot.submit(**job_of(dataset, 10_000_000))
    one_slot.wait_for_epoch(blocker["id"], 1)
    child = fork(one_slot, parent["id"], checkpoint_id=best["id"], training={"epochs": 45})
    (latest,) = checkpoints(one_slot, child["id"])
    assert (latest["kind"], latest["epoch"]) == ("latest", best["epoch"])
    weights = one_slot.http.get(best["weights"]).content
    assert one_slot.http.get(latest["weights"]).content == weights
    assert one_slot.http.get(checkpoints(one_slot, parent["id"])[0]["weights"]).content != weights
    grandchild = fork(one_slot, child["id"])
    assert (grandchild["parent_job_id"], grandchild["parent_epoch"]) == (child["id"], best["epoch"])
    one_slot.http.post(f"/v1/jobs/{blocker['id']}/cancel")
    jobs = [one_slot.wait(one["id"]) for one in (child, grandchild)]
    assert history(one_slot, child["id"]) == history(one_slot, grandchild["id"])
    assert one_slot.weights(jobs[0]["model_id"]) == one_slot.weights(jobs[1]["model_id"])
    assert verify(one_slot, grandchild["id"])["answer"] == "identical"
