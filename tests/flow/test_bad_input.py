"""Bad input gets a clear 4xx that names every fault, and changes nothing."""

import contextlib
import http.client
import json
from typing import Any

import pytest

from tests.service import Service, pointers, problem


def counts(service: Service) -> list[int]:
    return [
        len(service.http.get(f"/v1/{room}", params={"limit": 100}).json()["items"]) for room in ("datasets", "jobs")
    ]


TABLES = {
    "nothing at all": (b"", "empty_dataset"),
    "a header and no rows": (b"a,b\n", "unreadable_dataset"),
    "ragged rows": (b"a,b\n1,2\n3\n4,5,6\n", "unreadable_dataset"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)), "unreadable_dataset"),
    "a name of 501 characters": (b"a" * 501 + b"\n1\n", "unreadable_dataset"),
    "a quote that never ends": (b'a,b\n1,"2\n3,4\n', "unreadable_dataset"),
    "infinity in a column of numbers": (b"a,b\n1,2\n3,inf\n4,5\n", "unreadable_dataset"),
    "bytes that are no text": (b"a,b\n1,\xff\xfe\n", "unreadable_dataset"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_file_that_is_no_table_is_refused(service: Service, name: str) -> None:
    content, code = TABLES[name]
    before = counts(service)
    answer = service.http.post("/v1/datasets", params={"format": "csv"}, content=content)
    body = problem(answer, 422, code if code == "empty_dataset" else answer.json()["code"])
    assert body["detail"]
    assert counts(service) == before
    assert not list((service.data_dir / "blobs" / "parts").iterdir())


JSON_TABLES = {
    "NaN": b'{"columns": {"a": [1, NaN], "b": [1, 2]}}',
    "unequal lengths": b'{"columns": {"a": [1, 2], "b": [1]}}',
    "ragged inputs": b'{"inputs": [[1, 2], [3]], "targets": [0, 1]}',
    "no object": b"[1, 2, 3]",
    "no JSON": b"{",
    "nested": b'{"columns": {"a": [[1], [2]]}}',
    "deep": b'{"columns":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("name", JSON_TABLES)
def test_json_that_is_no_table_is_refused(service: Service, name: str) -> None:
    answer = service.http.post("/v1/datasets", params={"format": "json"}, content=JSON_TABLES[name])
    assert answer.status_code == 422
    problem(answer, 422, answer.json()["code"])


def test_a_format_that_nobody_named_and_the_bytes_do_not_show_is_asked_for(service: Service) -> None:
    answer = service.http.post("/v1/datasets", params={"name": "x.bin"}, content=b"\x7fELF\0\0")
    body = problem(answer, 415, "unsupported_format")
    assert body["errors"][0]["allowed"] == ["csv", "json", "jsonl", "parquet", "arrow", "npz", "npy"]
    problem(service.http.post("/v1/datasets", params={"format": "xls"}, content=b"a"), 422, "invalid_request")
    kinds = service.http.post("/v1/datasets", params={"format": "csv", "kinds": "{"}, content=b"a,b\n1,2\n")
    assert pointers(problem(kinds, 422, "invalid_request")) == {"?kinds"}


# What is changed in a job that could be done, and the pointers that the answer names.
JOBS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no dataset": ({"dataset_id": None}, {"/dataset_id"}),
    "a dataset that is not there": ({"dataset_id": "ds_none"}, {"/dataset_id"}),
    "a target that is not there": ({"target": "spices"}, {"/target"}),
    "a feature that is not there": ({"features": ["year", "heigth"]}, {"/features/1"}),
    "the target as a feature": ({"features": ["species", "year"]}, {"/features/0"}),
    "an unknown field": ({"colour": "red"}, {"/colour"}),
    "an unknown activation": ({"network": {"activation": "rleu"}}, {"/network/activation"}),
    "softmax in a hidden layer": ({"network": {"activation": "softmax"}}, {"/network/activation"}),
    "an unknown optimizer": ({"training": {"optimizer": {"name": "sgd"}}}, {"/training/optimizer/name"}),
    "a parameter of another optimizer": (
        {"training": {"optimizer": {"name": "adam", "momentum": 0.9}}},
        {"/training/optimizer/momentum"},
    ),
    "a loss for other outputs": (
        {"training": {"loss": "cross_entropy"}, "network": {"output_activation": "sigmoid"}},
        {"/network/output_activation"},
    ),
    "no epochs": ({"training": {"epochs": 0}}, {"/training/epochs"}),
    "a network too large for memory": (
        {"network": {"hidden_layers": [100_000, 100_000]}},
        {"/network/hidden_layers"},
    ),
    "a regression on words": ({"task": "regression"}, {"/target"}),
    "early stopping without validation": (
        {"validation": None, "training": {"early_stopping": {}}},
        {"/training/early_stopping/monitor"},
    ),
    "rows and a dataset": ({"data": {"inputs": [[1]], "targets": [1]}}, {"/dataset_id", "/target"}),
    "units that are all dropped": (
        {"network": {"hidden_layers": [{"units": 4, "dropout": 1.0}]}},
        {"/network/hidden_layers/0/dropout"},
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_cannot_be_done_is_refused(service: Service, penguins: str, name: str) -> None:
    change, expected = JOBS[name]
    before = counts(service)
    answer = service.http.post("/v1/jobs", json={"dataset_id": penguins, "target": "species", **change})
    body = problem(answer, 422, answer.json()["code"])
    assert pointers(body) == expected, body
    assert counts(service) == before


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(service: Service, penguins: str, number: str) -> None:
    optimizer = {"name": "adam", "learning_rate": 0}
    text = json.dumps({"dataset_id": penguins, "target": "species", "training": {"optimizer": optimizer}})
    text = text.replace('"learning_rate": 0', f'"learning_rate": {number}')
    answer = service.http.post("/v1/jobs", content=text, headers={"Content-Type": "application/json"})
    assert pointers(problem(answer, 422, "invalid_request")) == {"/training/optimizer/learning_rate"}


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 10_000 + b"}"])
def test_a_body_that_is_no_json_is_refused(service: Service, content: bytes) -> None:
    answer = service.http.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    problem(answer, answer.status_code, answer.json()["code"])


def test_a_body_that_does_not_say_it_is_json_is_told_how_to(service: Service) -> None:
    answer = service.http.post("/v1/jobs", data={"target": "species"})
    assert "application/json" in problem(answer, 415, "unsupported_format")["detail"]


def test_a_column_of_one_value_is_left_out_or_refused(service: Service) -> None:
    dataset = service.upload(b"a,b,c\n1,7,1\n2,7,2\n3,7,3\n4,7,5\n")["id"]
    job = service.submit(dataset_id=dataset, target="c", training={"epochs": 1})
    assert job["resolved"]["features"] == ["a"]
    refused = service.http.post("/v1/jobs", json={"dataset_id": dataset, "target": "b"})
    assert pointers(problem(refused, 422, "invalid_request")) == {"/target"}
    refused = service.http.post("/v1/jobs", json={"dataset_id": dataset, "target": "c", "features": ["b"]})
    assert pointers(problem(refused, 422, "invalid_request")) == {"/features/0"}
    service.wait(job["id"])


def test_more_classes_than_allowed_are_refused(service: Service) -> None:
    rows = "".join(f"{i},{i}\n" for i in range(2000))
    dataset = service.upload(f"x,y\n{rows}".encode())["id"]
    answer = service.http.post("/v1/jobs", json={"dataset_id": dataset, "target": "y", "task": "classification"})
    assert pointers(problem(answer, 422, "invalid_request")) == {"/target"}


def test_inline_data_are_pointed_into(service: Service) -> None:
    answer = service.http.post("/v1/jobs", json={"data": {"inputs": [[1, 2], [3]], "targets": [0, 1]}})
    body = problem(answer, 422, "invalid_request")
    assert all(pointer.startswith("/data/") for pointer in pointers(body)), body
    large = {"inputs": [[0.123456789] * 100] * 1000, "targets": [0] * 1000}
    body = problem(service.http.post("/v1/jobs", json={"data": large}), 422, "invalid_request")
    assert pointers(body) == {"/data"}


def test_a_body_larger_than_allowed_is_refused_before_it_is_read(service: Service) -> None:
    answer = service.http.post("/v1/jobs", content=b" " * (5 * 2**20), headers={"Content-Type": "application/json"})
    problem(answer, 413, "too_large")
    announced = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    with contextlib.closing(announced):
        announced.putrequest("POST", "/v1/datasets?format=csv")
        announced.putheader("Content-Length", str(2**50))
        announced.endheaders()
        assert announced.getresponse().status == 413


def test_rows_that_do_not_fit_the_model_are_refused_one_by_one(service: Service, penguins: str) -> None:
    job = service.wait(service.submit(dataset_id=penguins, target="species", training={"epochs": 1})["id"])
    url = f"/v1/models/{job['model_id']}/predict"
    row = dict.fromkeys(job["resolved"]["features"])
    for rows, expected in [
        ([row, {**row, "year": "soon"}], {"/rows/1/year"}),
        ([{**row, "colour": 1}], {"/rows/0/colour"}),
        ([{"year": 2007}], {f"/rows/0/{name}" for name in row if name != "year"}),
    ]:
        body = problem(service.http.post(url, json={"rows": rows}), 422, "invalid_request")
        assert pointers(body) == expected, body
    problem(service.http.post(url, json={}), 422, "invalid_request")
    problem(service.http.post(url, json={"rows": []}), 422, "invalid_request")
    problem(service.http.post(url, json={"inputs": [[1.0]]}), 422, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/jobs/job_none", 404),
        ("GET", "/v1/jobs/job_none/epochs", 404),
        ("GET", "/v1/jobs/job_none/events", 404),
        ("POST", "/v1/jobs/job_none/cancel", 404),
        ("DELETE", "/v1/jobs/job_none", 404),
        ("GET", "/v1/models/model_none/weights", 404),
        ("DELETE", "/v1/models/model_none", 404),
        ("GET", "/v1/datasets/ds_none/rows", 404),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/jobs", 405),
        ("GET", "/v1/jobs/%00", 404),
        ("GET", "/v1/jobs?cursor=%00", 400),
        ("GET", "/v1/jobs?status=lost", 422),
        ("GET", "/v1/jobs?tag=team", 422),
        ("GET", "/v1/jobs?limit=x", 422),
    ],
)
def test_what_is_not_there_is_a_problem_too(service: Service, method: str, path: str, status: int) -> None:
    answer = service.http.request(method, path)
    problem(answer, status, answer.json()["code"])


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000"])
def test_text_that_no_database_takes_is_refused(service: Service, penguins: str, text: str) -> None:
    sent = {"Content-Type": "application/json"}
    for body in (
        f'{{"dataset_id": "{penguins}", "target": "species", "name": "{text}"}}',
        f'{{"dataset_id": "{penguins}", "target": "species", "tags": {{"a": "{text}"}}}}',
        f'{{"dataset_id": "{penguins}", "target": "{text}"}}',
        f'{{"dataset_id": "{text}", "target": "species"}}',
        f'{{"dataset_id": "{penguins}", "target": "species", "features": ["{text}"]}}',
    ):
        answer = service.http.post("/v1/jobs", content=body, headers=sent)
        problem(answer, 422, "invalid_request")
    inline = f'{{"data": {{"inputs": [[1], [2], [3], [4]], "targets": ["{text}", "b", "{text}", "b"]}}}}'
    answer = service.http.post("/v1/jobs", content=inline, headers=sent)
    assert answer.status_code in {202, 422}, answer.text
    columns = f'{{"columns": {{"a{text}": [1, 2], "b": ["{text}", "c"]}}}}'
    answer = service.http.post("/v1/datasets", params={"format": "json"}, content=columns)
    assert answer.status_code in {201, 422}, answer.text
