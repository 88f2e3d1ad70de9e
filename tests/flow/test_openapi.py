"""The OpenAPI document says what the service does: schemathesis finds nothing."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from app.contract.jobs import JobCreate
from app.store.session import Database
from tests.service import PENGUINS, ROOT, Service, fresh_database, pointers, problem

CONFIG = Path(__file__).with_name("schemathesis.toml")
MOST_OF_AN_OPERATION = "30"
SEED = "1"
# Several: schemathesis ends the chains of a seed early once the service, which remembers, answers a step as it did not before.
CHAINS = ("1", "2", "3", "4")


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, list[str]]]]:
    """Give a service that has one of everything, and no worker: what is submitted now waits for ever."""
    with fresh_database() as url:
        service = Service(tmp_path_factory.mktemp("openapi"), url)
        try:
            service.start()
            ids = _stock(service)
            service.http.get("/openapi.json")  # it is made when it is first asked for; schemathesis waits 10 s at most
            (worker,) = service.workers
            service.kill_worker(worker)
            yield service, ids
        finally:
            service.close()


def _stock(service: Service) -> dict[str, list[str]]:
    table = PENGUINS.read_bytes()
    dataset = service.upload(table, "penguins.csv")["id"]
    training = {"epochs": 20, "keep_checkpoints": {"every_epochs": 5}}
    job = service.wait(service.submit(dataset_id=dataset, target="species", training=training)["id"], within_s=300)
    numbers = {"inputs": [[0, 0], [0, 1], [1, 0], [1, 1]], "targets": [[0], [1], [1], [0]]}
    other = service.wait(service.submit(data=numbers, validation=None, training={"epochs": 5})["id"], within_s=300)
    checkpoints = service.http.get(f"/v1/jobs/{job['id']}/checkpoints").json()["items"]
    uploads = [service.http.post("/v1/uploads", json={"name": f"{i}.csv"}).json()["id"] for i in range(12)]
    spare = [service.upload(b"a,b\n%d,2\n3,4\n" % i)["id"] for i in range(5)]
    return {
        "dataset_id": [dataset, str(other["resolved"]["dataset_id"])],
        "job_id": [job["id"], other["id"]],
        "model_id": [job["model_id"], other["model_id"]],
        "checkpoint_id": [one["id"] for one in checkpoints],
        "upload_id": uploads[:6],
        "spare_upload_id": uploads[6:],
        "spare_dataset_id": spare,
    }


def _find_nothing(stocked: tuple[Service, dict[str, list[str]]], folder: Path, *options: str) -> dict[str, int]:
    """Run schemathesis; give how many requests each operation was sent."""
    service, ids = stocked
    counts = folder / "counts.json"
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG)),
            *("run", f"{service.http.base_url}/openapi.json", "--workers", "1", *options),
            *("--no-color", "--continue-on-failure", "--request-timeout", "60", "--request-retries", "3"),
            *("--suppress-health-check", "all", "--no-shrink", "--warnings", "off"),
        ],
        cwd=folder,
        env={
            **os.environ,
            "OPENAPI_TEST_IDS": json.dumps(ids),
            "OPENAPI_TEST_COUNTS": str(counts),
            "SCHEMATHESIS_HOOKS": "tests.flow.openapi_hooks",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    return dict(json.loads(counts.read_text()))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_schemathesis_finds_nothing(stocked: tuple[Service, dict[str, list[str]]], tmp_path: Path) -> None:
    phases = ("--phases", "examples,coverage,fuzzing")
    sent = _find_nothing(stocked, tmp_path, *phases, "--max-examples", MOST_OF_AN_OPERATION, "--seed", SEED)
    paths = stocked[0].http.get("/openapi.json").json()["paths"]
    assert set(sent) == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert sum(sent.values()) >= 5000, sent
    assert min(sent.values()) >= 5, sent


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", CHAINS)
def test_schemathesis_finds_nothing_in_chains_of_steps(
    stocked: tuple[Service, dict[str, list[str]]], tmp_path: Path, seed: str
) -> None:
    sent = _find_nothing(stocked, tmp_path, "--phases", "stateful", "--seed", seed)
    assert sum(sent.values()) >= 10, sent


def test_a_method_that_an_address_does_not_know_is_answered_with_those_it_knows(service: Service) -> None:
    for path, allowed in (
        ("/v1/datasets", "GET, HEAD, POST"),
        ("/v1/jobs/job_none", "DELETE, GET, HEAD"),
        ("/v1/jobs/job_none/cancel", "POST"),
        ("/v1/uploads/upload_none", "DELETE, GET, HEAD, PATCH"),
        ("/", "GET, HEAD"),
    ):
        answer = service.http.put(path)
        assert answer.headers["allow"] == allowed
        problem(answer, 405, "method_not_allowed")
    assert service.http.get("/v1/jobs/job_none/cancel").status_code == 405
    problem(service.http.get("/v1/nothing"), 404, "not_found")


@pytest.mark.parametrize("sent", ["rows=0-1", "bytes", "bytes=", "bytes=a-b", "bytes=5-2", "bytes=--1", "bytes=0-1;2"])
def test_a_range_that_is_none_is_ignored(service: Service, penguins: str, sent: str) -> None:
    answer = service.http.get(f"/v1/datasets/{penguins}/content", headers={"Range": sent})
    assert (answer.status_code, answer.content) == (200, PENGUINS.read_bytes())


def test_a_range_is_sent_or_refused_with_the_size_of_the_file(service: Service, penguins: str) -> None:
    path, table = f"/v1/datasets/{penguins}/content", PENGUINS.read_bytes()
    part = service.http.get(path, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, table[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(table)}"
    beyond = service.http.get(path, headers={"Range": f"bytes={len(table)}-"})
    assert beyond.headers["content-range"] == f"bytes */{len(table)}"
    problem(beyond, 416, "requested_range_not_satisfiable")


def test_of_a_million_faults_in_the_rows_a_few_are_told(service: Service) -> None:
    hostile = {"data": {"inputs": [["x"]] * 500_000, "targets": [{}] * 100_000}}
    with pytest.raises(ValidationError) as refused:
        JobCreate.model_validate(hostile)
    assert refused.value.error_count() < 10
    told = problem(service.http.post("/v1/jobs", json=hostile), 422, "invalid_request")
    assert "/data/inputs/0/0" in pointers(told)


def test_an_answer_of_an_older_version_is_replayed_as_it_was_stored(own_service: Service) -> None:
    own_service.start_api()
    headers = {"Idempotency-Key": "before the upgrade"}
    first = own_service.http.post("/v1/uploads", json={"name": "a.csv"}, headers=headers)
    older = {"id": first.json()["id"], "a_field_of_then": 1}
    url = own_service.environment.get("DESCENT_DATABASE_URL", f"sqlite:///{own_service.data_dir / 'descent.db'}")
    with Database(url).transaction() as session:
        session.execute(text("UPDATE answers SET body = :body"), {"body": json.dumps(older)})
    again = own_service.http.post("/v1/uploads", json={"name": "a.csv"}, headers=headers)
    assert (again.status_code, again.json()) == (201, older)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("path", ["/docs", "/docs/problems"])
def test_the_documentation_names_no_other_host(service: Service, path: str) -> None:
    page = service.http.get(path)
    assert page.status_code == 200
    assert "//" not in page.text
    policy = page.headers["content-security-policy"]
    assert not re.search(r"https?:|\*", policy)
    for file in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert service.http.get(file).status_code == 200


def test_the_type_of_a_problem_leads_to_its_meaning(service: Service) -> None:
    kind = service.http.get("/v1/jobs/job_none").json()["type"]
    path, _, code = kind.partition("#")
    assert f'id="{code}"' in service.http.get(path).text


def test_every_operation_is_described(service: Service) -> None:
    document = service.http.get("/openapi.json").json()
    tags = {tag["name"] for tag in document["tags"]}
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert len(operations) >= 42
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert one["summary"]
        assert one["description"]
        assert set(one["tags"]) <= tags
        for media_type, content in one.get("requestBody", {}).get("content", {}).items():
            is_binary = content["schema"].get("format") == "binary"
            assert "examples" in content or is_binary or media_type == "multipart/form-data"
