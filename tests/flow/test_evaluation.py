"""Models at work over HTTP: datasets predicted as a stream, evaluation, importance and the hardest rows."""

import contextlib
import csv
import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from sklearn import metrics as oracle

from tests.service import PENGUINS, Service, pointers, problem

PARQUET = "application/vnd.apache.parquet"
SPEC = {
    "network": {"hidden_layers": [16]},
    "training": {"epochs": 40, "optimizer": {"name": "adam", "learning_rate": 0.01}},
}
VERBS = ("predict", "evaluate", "importance", "losses")


def trained(service: Service, dataset: str, target: Any, **spec: Any) -> str:
    job = service.wait(service.submit(dataset_id=dataset, target=target, **{**SPEC, **spec})["id"])
    assert job["status"] == "succeeded", job["error"]
    return str(job["model_id"])


@pytest.fixture(scope="module")
def classifier(service: Service, penguins: str) -> str:
    return trained(service, penguins, "species")


@pytest.fixture(scope="module")
def regressor(service: Service, penguins: str) -> str:
    return trained(service, penguins, "body_mass_g")


def post(service: Service, model: str, verb: str, **body: Any) -> httpx.Response:
    accept = body.pop("accept", "*/*")
    return service.http.post(f"/v1/models/{model}/{verb}", json=body, headers={"Accept": accept})


def rows_of_penguins(without: str) -> list[dict[str, Any]]:
    frame = pl.read_csv(PENGUINS, null_values=["NA", ""]).drop(without)
    return frame.to_dicts()


def test_a_dataset_is_predicted_as_its_rows_are(service: Service, penguins: str, classifier: str) -> None:
    answer = post(service, classifier, "predict", dataset_id=penguins)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    found = list(csv.DictReader(io.StringIO(answer.text)))
    rows = rows_of_penguins(without="species")
    expected = post(service, classifier, "predict", rows=rows).json()["predictions"]
    assert [one["species"] for one in found] == [one["value"] for one in expected]
    for label in ("Adelie", "Chinstrap", "Gentoo"):
        probabilities = [one["probabilities"][label] for one in expected]
        assert [float(one[f"p_{label}"]) for one in found] == pytest.approx(probabilities, abs=1e-6)
    parquet = post(service, classifier, "predict", dataset_id=penguins, accept=PARQUET)
    assert parquet.headers["content-type"] == PARQUET
    assert pl.read_parquet(parquet.content).equals(pl.read_csv(answer.content))


def test_a_media_type_that_predictions_do_not_come_in_is_refused(
    service: Service, penguins: str, classifier: str
) -> None:
    answer = post(service, classifier, "predict", dataset_id=penguins, accept="application/json")
    body = problem(answer, 406, "not_acceptable")
    assert body["errors"][0]["allowed"] == ["text/csv", PARQUET]


def test_evaluation_of_a_classifier_is_scikit_learns(service: Service, penguins: str, classifier: str) -> None:
    found = post(service, classifier, "evaluate", dataset_id=penguins).json()
    predicted = pl.read_csv(post(service, classifier, "predict", dataset_id=penguins).content)
    right = pl.read_csv(PENGUINS)["species"].to_list()
    said, p = predicted["species"].to_list(), predicted.drop("species").to_numpy()
    p = p / p.sum(1, keepdims=True)
    labels = ["Adelie", "Chinstrap", "Gentoo"]
    assert (found["task"], found["n_rows"], found["n_evaluated"], found["warnings"]) == ("classification", 344, 344, [])
    assert found["confusion_matrix"] == {
        "labels": labels,
        "counts": oracle.confusion_matrix(right, said, labels=labels).tolist(),
    }
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(right, said))
    assert found["balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(right, said))
    assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(right, p, multi_class="ovr", labels=labels), abs=1e-6)
    assert found["log_loss"] == pytest.approx(oracle.log_loss(right, y_proba=p, labels=labels), rel=1e-5)
    assert (found["loss_name"], found["loss"]) == ("cross_entropy", pytest.approx(found["log_loss"], rel=1e-5))
    report = oracle.classification_report(right, said, output_dict=True)
    for label in labels:
        one = found["per_class"][label]
        assert [one["precision"], one["recall"], one["f1"], one["support"]] == pytest.approx(
            [report[label][name] for name in ("precision", "recall", "f1-score", "support")]
        )


def test_evaluation_of_a_regression_is_scikit_learns_and_leaves_out_rows_without_a_target(
    service: Service, penguins: str, regressor: str
) -> None:
    found = post(service, regressor, "evaluate", dataset_id=penguins).json()
    predicted = pl.read_csv(post(service, regressor, "predict", dataset_id=penguins).content)["body_mass_g"].to_numpy()
    right = pl.read_csv(PENGUINS, null_values=["NA", ""])["body_mass_g"].cast(pl.Float64).to_numpy()
    there = ~np.isnan(right)
    assert (found["task"], found["n_rows"], found["n_evaluated"], found["n_without_target"]) == (
        "regression",
        344,
        342,
        2,
    )
    assert [one["code"] for one in found["warnings"]] == ["missing_target"]
    right, said = right[there], predicted[there]
    assert found["rmse"] == pytest.approx(oracle.root_mean_squared_error(right, said), rel=1e-5)
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(right, said), rel=1e-5)
    assert found["r2"] == pytest.approx(oracle.r2_score(right, said), rel=1e-5)
    assert found["per_target"]["body_mass_g"]["rmse"] == found["rmse"]
    model = service.http.get(f"/v1/models/{regressor}").json()
    scale = model["preprocessing"]["targets"][0]["scale"]
    assert found["loss"] == pytest.approx((found["rmse"] / scale) ** 2, rel=1e-5), "in the scale of the training"


def test_evaluation_on_the_training_rows_has_the_metrics_that_the_job_reported(service: Service, penguins: str) -> None:
    """Full batches: the loss of an epoch is that of the weights before its step, so the next epoch's is the model's."""
    training = {"epochs": 21, "batch_size": "full"}
    job = service.wait(
        service.submit(dataset_id=penguins, target="species", validation=None, network={}, training=training)["id"]
    )
    shorter = service.wait(
        service.submit(
            dataset_id=penguins, target="species", validation=None, network={}, training={**training, "epochs": 20}
        )["id"]
    )
    found = post(service, shorter["model_id"], "evaluate", dataset_id=penguins).json()
    assert found["loss"] == pytest.approx(service.history(job["id"])[-1]["train_loss"], rel=1e-5)


def test_importance_names_what_tells_penguins_apart(service: Service, penguins: str, classifier: str) -> None:
    body = {"dataset_id": penguins, "metric": "accuracy", "repeats": 5, "seed": 3}
    found = post(service, classifier, "importance", **body).json()
    names = [one["name"] for one in found["columns"]]
    assert names[0] in {"bill_length_mm", "bill_depth_mm", "flipper_length_mm"}
    assert sorted(names) == sorted(row for row in rows_of_penguins(without="species")[0]), "columns, not inputs"
    assert found["baseline"] == post(service, classifier, "evaluate", dataset_id=penguins).json()["accuracy"]
    assert found["columns"][0]["mean"] > 0.05
    assert post(service, classifier, "importance", **body).json() == found
    refused = post(service, classifier, "importance", **{**body, "metric": "rmse"})
    fault = problem(refused, 422, "invalid_request")["errors"][0]
    assert (fault["pointer"], "roc_auc" in fault["allowed"], "rmse" in fault["allowed"]) == ("/metric", True, False)


def test_the_hardest_rows_are_those_of_the_largest_loss(service: Service, penguins: str, classifier: str) -> None:
    found = post(service, classifier, "losses", dataset_id=penguins, limit=1000).json()
    losses = [one["loss"] for one in found["rows"]]
    assert len(losses) == 344
    assert losses == sorted(losses, reverse=True)
    mean = post(service, classifier, "evaluate", dataset_id=penguins).json()["loss"]
    assert np.mean(losses) == pytest.approx(mean, rel=1e-6)
    rows = service.http.get(f"/v1/datasets/{penguins}/rows", params={"limit": 1000}).json()["items"]
    for one in found["rows"]:
        assert one["values"] == rows[one["row"]]
        assert one["actual"] == one["values"]["species"]
    assert post(service, classifier, "losses", dataset_id=penguins, limit=3).json()["rows"] == found["rows"][:3]


def test_a_model_whose_outputs_are_no_probabilities_has_no_log_loss(service: Service, penguins: str) -> None:
    model = trained(service, penguins, "species", training={"loss": "hinge", "epochs": 20})
    found = post(service, model, "evaluate", dataset_id=penguins).json()
    assert (found["loss_name"], found["log_loss"]) == ("hinge", None)
    assert found["roc_auc"] > 0.7
    assert post(service, model, "predict", dataset_id=penguins).text.splitlines()[0] == "species"
    assert post(service, model, "losses", dataset_id=penguins, limit=1).json()["rows"][0]["probability"] is None


def names_no_dataset(answer: httpx.Response) -> None:
    (fault,) = problem(answer, 422, "invalid_request")["errors"]
    assert (fault["pointer"], fault["code"]) == ("/dataset_id", "not_found")


def test_a_model_that_is_not_there_is_404_and_a_dataset_that_the_body_names_a_fault_of_the_body(
    service: Service, penguins: str, classifier: str
) -> None:
    for verb in VERBS:
        names_no_dataset(post(service, classifier, verb, dataset_id="ds_none"))
        problem(post(service, "model_none", verb, dataset_id=penguins), 404, "not_found")
        problem(post(service, "model_none", verb, dataset_id="ds_none"), 404, "not_found")


@pytest.mark.slow
def test_what_is_another_owners_is_not_there(service: Service, penguins: str, classifier: str) -> None:
    bob = Service(service.data_dir, service.environment.get("DESCENT_DATABASE_URL"), owner="bob")
    try:
        bob.start_api()
        own = str(bob.upload(PENGUINS.read_bytes(), "penguins.csv")["id"])
        for verb in VERBS:
            problem(post(bob, classifier, verb, dataset_id=own), 404, "not_found")
            problem(post(bob, classifier, verb, dataset_id=penguins), 404, "not_found")
            names_no_dataset(post(service, classifier, verb, dataset_id=own))
    finally:
        bob.close()


@pytest.mark.parametrize("verb", VERBS)
def test_a_dataset_that_does_not_fit_the_model_is_refused_with_every_reason(
    service: Service, classifier: str, verb: str
) -> None:
    other = service.upload(b"island,bill_length_mm,sex,year\nBiscoe,long,male,2007\nDream,short,male,2008\n")["id"]
    body = problem(post(service, classifier, verb, dataset_id=other), 422, "invalid_request")
    codes = [error["code"] for error in body["errors"]]
    assert codes.count("wrong_kind") == 1
    assert codes.count("lacking_column") == 3 + (verb != "predict"), "the target is only needed to compare"
    assert pointers(body) == {"/dataset_id"}


def test_a_dataset_without_a_single_target_is_refused(service: Service, classifier: str) -> None:
    lines = PENGUINS.read_text().splitlines()
    empty = [lines[0], *(line.replace("Adelie", "") for line in lines[1:4])]
    dataset = service.upload("\n".join(empty).encode())["id"]
    for verb in ("evaluate", "importance", "losses"):
        body = problem(post(service, classifier, verb, dataset_id=dataset), 422, "invalid_request")
        assert [error["code"] for error in body["errors"]] == ["no_rows"]
    assert len(post(service, classifier, "predict", dataset_id=dataset).text.splitlines()) == 4


BODIES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "nothing to predict": ("predict", {}, {"/rows"}),
    "rows and a dataset": ("predict", {"rows": [{}], "dataset_id": "ds_1"}, {"/rows"}),
    "an id that is none": ("predict", {"dataset_id": "../x"}, {"/dataset_id"}),
    "no dataset": ("evaluate", {}, {"/dataset_id"}),
    "an unknown field": ("evaluate", {"dataset_id": "ds_1", "metric": "loss"}, {"/metric"}),
    "bounds": (
        "importance",
        {"dataset_id": "ds_1", "repeats": 0, "seed": -1, "max_rows": 10**9, "metric": "beauty"},
        {"/repeats", "/seed", "/max_rows", "/metric"},
    ),
    "too many rows": ("losses", {"dataset_id": "ds_1", "limit": 1001}, {"/limit"}),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_used_is_refused(service: Service, classifier: str, name: str) -> None:
    verb, body, expected = BODIES[name]
    answer = post(service, classifier, verb, **body)
    assert pointers(problem(answer, 422, "invalid_request")) == expected


def test_hardest_rows_of_a_wide_dataset_are_fewer(service: Service) -> None:
    names = [f"c{i}" for i in range(400)]
    lines = [",".join([*names, "y"]), *(",".join(str(row * place % 7) for place in range(401)) for row in range(5))]
    dataset = service.upload("\n".join(lines).encode())["id"]
    model = trained(service, dataset, "y", features=["c1", "c2"], task="regression", training={"epochs": 1})
    body = problem(post(service, model, "losses", dataset_id=dataset, limit=250), 422, "invalid_request")
    assert pointers(body) == {"/limit"}
    assert len(post(service, model, "losses", dataset_id=dataset, limit=249).json()["rows"]) == 5


def test_the_api_says_what_it_does(service: Service) -> None:
    paths = service.http.get("/openapi.json").json()["paths"]
    predict = paths["/v1/models/{model_id}/predict"]["post"]["responses"]["200"]["content"]
    assert set(predict) == {"application/json", "text/csv", PARQUET}
    evaluated = paths["/v1/models/{model_id}/evaluate"]["post"]["responses"]["200"]["content"]["application/json"]
    assert evaluated["schema"]["discriminator"]["propertyName"] == "task"


# Large datasets.

N_LARGE = 1_000_000


@pytest.fixture(scope="module")
def large(service: Service) -> tuple[str, str]:
    """A dataset of a million rows and eight features, and a model for it."""
    generator = np.random.default_rng(0)
    columns = generator.normal(size=(N_LARGE, 8)).round(3)
    frame = pl.DataFrame({f"x{i}": columns[:, i] for i in range(8)} | {"y": columns.sum(1)})
    contents = [io.BytesIO(), io.BytesIO()]
    frame.write_csv(contents[0])
    frame.head(1000).write_csv(contents[1])
    whole, part = (service.upload(content.getvalue())["id"] for content in contents)
    return whole, trained(service, part, "y", training={"epochs": 1})


def memory_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def pieces(service: Service, model: str, dataset: str, accept: str) -> Iterator[bytes]:
    body = {"dataset_id": dataset}
    url = f"/v1/models/{model}/predict"
    with service.http.stream("POST", url, json=body, headers={"Accept": accept}) as answer:
        assert answer.status_code == 200
        yield from answer.iter_raw()


@pytest.mark.slow
@pytest.mark.parametrize("accept", ["text/csv", PARQUET])
def test_memory_does_not_grow_with_a_dataset_that_is_predicted(
    service: Service, large: tuple[str, str], accept: str
) -> None:
    dataset, model = large
    assert service.api is not None
    before = memory_bytes(service.api.pid)
    most, content = before, io.BytesIO()
    for piece in pieces(service, model, dataset, accept):
        content.write(piece)
        most = max(most, memory_bytes(service.api.pid))
    content.seek(0)
    found = pl.read_csv(content) if accept == "text/csv" else pl.read_parquet(content)
    assert found.shape == (N_LARGE, 1)
    assert found["y"].null_count() == 0
    assert most - before < 24 * 2**20


def appliers(service: Service) -> set[int]:
    """The processes that apply models to datasets."""
    assert service.api is not None
    found = set()
    for pid in service.children(service.api):
        with contextlib.suppress(FileNotFoundError):
            if b"app.evaluation.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


@pytest.mark.slow
def test_a_client_that_goes_away_ends_the_work_and_frees_its_slot(service: Service, large: tuple[str, str]) -> None:
    dataset, model = large
    written = service.log.stat().st_size
    for _ in range(2 + (os.cpu_count() or 1)):
        stream = pieces(service, model, dataset, "text/csv")
        assert next(stream)
        working = appliers(service)
        stream.close()
        deadline = time.monotonic() + 60
        while working <= appliers(service) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not working <= appliers(service), "a process goes on for nobody"
    assert post(service, model, "evaluate", dataset_id=dataset).json()["n_evaluated"] == N_LARGE
    assert "Traceback" not in service.log.read_text()[written:]


@pytest.mark.slow
def test_a_process_that_dies_in_the_middle_cuts_the_answer(service: Service, large: tuple[str, str]) -> None:
    """A part is never taken for the whole."""
    dataset, model = large
    stream = pieces(service, model, dataset, "text/csv")
    assert next(stream)
    for pid in appliers(service):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(httpx.RemoteProtocolError):
        list(stream)
    assert post(service, model, "evaluate", dataset_id=dataset).json()["n_evaluated"] == N_LARGE
