"""The same Idempotency-Key from 16 clients at once: one of them does it, and all get its answer."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest

from tests.service import PENGUINS, Service, problem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = 16


def at_once(service: Service, ask: Callable[[httpx.Client, int], httpx.Response]) -> list[httpx.Response]:
    """Have clients with connections of their own ask at the same moment."""
    barrier = Barrier(CLIENTS)

    def client(number: int) -> httpx.Response:
        with httpx.Client(base_url=service.http.base_url, timeout=120) as http:
            http.get("/healthz")
            barrier.wait()
            return ask(http, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(client, range(CLIENTS)))


def one_of(answers: list[httpx.Response], status: int) -> dict[str, Any]:
    """Check that one was first and the others heard its answer; give that."""
    assert {answer.status_code for answer in answers} == {status}, [answer.text for answer in answers]
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
    assert sorted(replayed, key=str) == [None, *["true"] * (CLIENTS - 1)]
    return dict(answers[0].json())


def named(service: Service, url: str, name: str) -> list[str]:
    items = service.http.get(url, params={"limit": 100}).json()["items"]
    return [one["id"] for one in items if one["name"] == name]


def test_16_clients_with_one_key_submit_one_job(service: Service, penguins: str) -> None:
    body = {"dataset_id": penguins, "target": "species", "name": "sixteen", "training": {"epochs": 3}}
    key = {"Idempotency-Key": "16 jobs"}
    made = one_of(at_once(service, lambda http, _: http.post("/v1/jobs", json=body, headers=key)), 202)
    assert named(service, "/v1/jobs", "sixteen") == [made["id"]]
    assert service.wait(made["id"])["attempt"] == 1


def test_16_clients_with_one_key_and_inline_data_store_them_once(service: Service) -> None:
    data = {"inputs": [[i, i % 3] for i in range(30)], "targets": [i / 7 for i in range(30)]}
    body = {"data": data, "name": "sixteen inline", "training": {"epochs": 1}}
    key = {"Idempotency-Key": "16 inline"}
    made = one_of(at_once(service, lambda http, _: http.post("/v1/jobs", json=body, headers=key)), 202)
    (dataset,) = named(service, "/v1/datasets", "sixteen inline")
    assert made["resolved"]["dataset_id"] == dataset
    assert service.wait(made["id"])["status"] == "succeeded"


def test_16_clients_with_one_key_store_one_dataset_and_no_file_besides(service: Service) -> None:
    content = PENGUINS.read_bytes() + b"Adelie,Torgersen,39.16,18.7,181,3750,male,2007\n"
    key, query = {"Idempotency-Key": "16 datasets"}, {"name": "sixteen.csv"}
    folders = service.data_dir / "blobs" / "datasets"
    before = set(folders.iterdir()) if folders.exists() else set()
    answers = at_once(service, lambda http, _: http.post("/v1/datasets", params=query, content=content, headers=key))
    made = one_of(answers, 201)
    assert [folder.name for folder in set(folders.iterdir()) - before] == [made["id"]]
    assert service.http.get(f"/v1/datasets/{made['id']}/content").content == content


def test_16_clients_with_one_key_fork_once(service: Service, penguins: str) -> None:
    body = {"dataset_id": penguins, "target": "species", "training": {"epochs": 2}}
    parent = service.wait(service.submit(**body)["id"])
    asked = {"name": "sixteen forks", "training": {"epochs": 4}}
    key, url = {"Idempotency-Key": "16 forks"}, f"/v1/jobs/{parent['id']}/fork"
    made = one_of(at_once(service, lambda http, _: http.post(url, json=asked, headers=key)), 202)
    assert named(service, "/v1/jobs", "sixteen forks") == [made["id"]]
    assert [row["epoch"] for row in service.history(service.wait(made["id"])["id"])] == [3, 4]


def test_16_clients_with_one_key_upload_one_model_and_no_file_besides(service: Service) -> None:
    layer = {"weight": [[1.5, -2.0]], "bias": [0.5]}
    body = {"name": "sixteen models", "task": "regression", "inputs": ["a", "b"], "targets": ["c"], "layers": [layer]}
    sent = json.dumps(body)
    headers = {"Idempotency-Key": "16 models", "Content-Type": "application/json"}
    folders = service.data_dir / "blobs" / "models"
    before = set(folders.glob("*/weights.npz"))
    made = one_of(at_once(service, lambda http, _: http.post("/v1/models", content=sent, headers=headers)), 201)
    assert [file.parent.name for file in set(folders.glob("*/weights.npz")) - before] == [made["id"]]
    assert named(service, "/v1/models", "sixteen models") == [made["id"]]


def test_of_16_different_requests_with_one_key_one_is_done(service: Service, penguins: str) -> None:
    def ask(http: httpx.Client, number: int) -> httpx.Response:
        body = {"dataset_id": penguins, "target": "species", "tags": {"one": "key"}, "training": {"epochs": number + 1}}
        return http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "16 different"})

    answers = at_once(service, ask)
    (first,) = [answer for answer in answers if answer.status_code == 202]
    for answer in answers:
        if answer is not first:
            problem(answer, 422, "idempotency_key_reused")
    listed = service.http.get("/v1/jobs", params={"tag": "one:key"}).json()["items"]
    assert [job["id"] for job in listed] == [first.json()["id"]]
