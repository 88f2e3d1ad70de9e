"""Columns of every kind and size are trained on, and rows to predict are answered whatever they lack."""

import math

import pytest

from tests.service import Service, pointers, problem

QUICK = {"epochs": 5}


def predict(service: Service, job: dict, rows: list[dict]) -> list:
    answer = service.http.post(f"/v1/models/{job['model_id']}/predict", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    return [one["value"] for one in answer.json()["predictions"]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_as_large_as_there_are_are_trained_on_and_predicted(service: Service, dtype: str) -> None:
    lines = [f"{(i % 7 - 3) * 5.9e307!r},{(i % 5 - 2) * 8.9e307!r}" for i in range(60)]
    dataset = service.upload(("x,y\n" + "\n".join(lines) + "\n").encode())["id"]
    job = service.submit(dataset_id=dataset, target="y", training={**QUICK, "dtype": dtype})
    job = service.wait(job["id"])
    assert job["status"] == "succeeded"
    figures = [job["latest"]["train_loss"], job["latest"]["validation_loss"], *job["latest"]["metrics"].values()]
    assert all(math.isfinite(one) for one in figures)
    values = predict(service, job, [{"x": 1.7e308}, {"x": -1.7e308}, {"x": 0}, {"x": None}])
    assert all(math.isfinite(value) for value in values)


@pytest.mark.parametrize("missing", ["mean", "median", "constant", "drop_row", "error"])
@pytest.mark.parametrize("categorical", ["one_hot", "ordinal"])
def test_a_row_is_answered_whatever_it_lacks(service: Service, missing: str, categorical: str) -> None:
    lines = [
        f"{'' if missing != 'error' and i % 9 == 0 else i * 37 % 101 / 7},2024-0{i % 6 + 1}-1{i % 9}T0{i % 10}:00,"
        f"{'abc'[i % 3]},{'uv'[i % 2]}"
        for i in range(60)
    ]
    dataset = service.upload(("x,when,c,y\n" + "\n".join(lines) + "\n").encode())["id"]
    job = service.submit(
        dataset_id=dataset,
        target="y",
        training=QUICK,
        preprocessing={"missing": missing, "categorical": categorical},
    )
    assert {"when.time", "when.month_sin", "when.weekday_cos", "when.hour_sin"} <= set(job["resolved"]["inputs"])
    job = service.wait(job["id"])
    whole = {"x": 1.5, "when": "2024-03-10T05:00:00Z", "c": "a"}
    rows = [whole, *({**whole, name: None} for name in whole), {**whole, "c": "never seen"}, dict.fromkeys(whole)]
    assert set(predict(service, job, rows)) <= {"u", "v"}


def test_numbers_that_a_network_cannot_hold_are_refused_before_it_is_trained(service: Service) -> None:
    lines = [f"{i % 7 * 1e300!r},{i % 5 / 3}" for i in range(60)]
    dataset = service.upload(("x,y\n" + "\n".join(lines) + "\n").encode())["id"]
    job = {"dataset_id": dataset, "target": "y", "preprocessing": {"numeric": "none"}}
    refused = service.http.post("/v1/jobs", json=job)
    assert pointers(problem(refused, 422, "invalid_request")) == {"/features"}
