"""HEAD is answered as GET is, without the body."""

import socket
from typing import Any

import httpx
import pytest

from tests.service import PENGUINS, Service

# They differ from one request to the next.
OF_ONE_REQUEST = {"date", "x-request-id"}


def headers_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_ONE_REQUEST}


@pytest.fixture(scope="module")
def ids(service: Service, penguins: str) -> dict[str, str]:
    job = service.wait(service.submit(dataset_id=penguins, target="species", training={"epochs": 3})["id"])
    upload = service.http.post("/v1/uploads", json={"name": "a.csv"}).json()["id"]
    checkpoint = service.http.get(f"/v1/jobs/{job['id']}/checkpoints").json()["items"][0]["id"]
    return {
        "dataset_id": penguins,
        "job_id": job["id"],
        "model_id": job["model_id"],
        "upload_id": upload,
        "checkpoint_id": checkpoint,
    }


def test_every_get_has_its_head(service: Service, ids: dict[str, str]) -> None:
    document: dict[str, Any] = service.http.get("/openapi.json").json()
    paths = [path.format(**ids) for path, methods in document["paths"].items() if "get" in methods]
    assert len(paths) >= 25
    for path in [*paths, "/", "/docs", "/docs/problems", "/openapi.json", "/icon.svg"]:
        service.http.get(path)  # a file is made, and checked, when it is first asked for
        whole, head = service.http.get(path), service.http.head(path)
        assert (path, head.status_code, head.content) == (path, 200, b"")
        kept = {name: value for name, value in headers_of(whole).items() if name != "transfer-encoding"}
        if path == "/metrics":  # it never says the same twice
            kept["content-length"] = head.headers["content-length"]
        assert headers_of(head) == kept, path


def test_head_has_no_range_and_knows_what_the_client_has(service: Service, penguins: str) -> None:
    path = f"/v1/datasets/{penguins}/content"
    whole = service.http.head(path, headers={"Range": "bytes=0-9"})
    assert (whole.status_code, whole.headers["content-length"]) == (200, str(PENGUINS.stat().st_size))
    assert service.http.head(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


def test_what_there_is_not_has_no_head_either(service: Service) -> None:
    assert service.http.head("/v1/jobs/job_none").status_code == 404
    assert service.http.head("/v1/nothing").status_code == 404
    only_post = service.http.head("/v1/jobs/job_none/cancel")
    assert (only_post.status_code, only_post.headers["allow"]) == (405, "POST")


def test_the_head_of_an_event_stream_ends_while_its_job_goes_on(service: Service, penguins: str) -> None:
    job = service.submit(dataset_id=penguins, target="species", training={"epochs": 10_000_000})["id"]
    path = f"/v1/jobs/{job}/events"
    with socket.create_connection(("127.0.0.1", service.port), 60) as line:
        for _ in range(2):  # the connection is free for the next request
            line.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            told = line.recv(65536).decode()
            assert told.startswith("HTTP/1.1 200 OK")
            assert "text/event-stream" in told
            assert told.endswith("\r\n\r\n")
    assert service.job(job)["status"] in {"queued", "running"}
    service.http.post(f"/v1/jobs/{job}/cancel")
    assert service.wait(job)["status"] == "cancelled"
