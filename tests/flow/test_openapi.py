"""The OpenAPI document says what the service does: schemathesis finds nothing."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import PENGUINS, ROOT, Service, fresh_database

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, list[str]]]]:
    """Give a service that has one of everything, and no worker: what is submitted now waits for ever."""
    with fresh_database() as url:
        service = Service(tmp_path_factory.mktemp("openapi"), url)
        try:
            service.start()
            ids = _stock(service)
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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_schemathesis_finds_nothing(stocked: tuple[Service, dict[str, list[str]]], tmp_path: Path) -> None:
    service, ids = stocked
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.http.base_url}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", "100", "--seed", "1", "--generation-deterministic", "--generation-database", "none"),
            *("--no-color", "--continue-on-failure", "--request-timeout", "60", "--suppress-health-check", "all"),
            *("--report", "json", "--report-json-path", str(report), "--warnings", "off"),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "OPENAPI_TEST_IDS": json.dumps(ids),
            "SCHEMATHESIS_HOOKS": "tests.flow.openapi_hooks",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    cases = re.search(r"([\d,]+) generated", done.stdout)
    assert cases is not None, done.stdout
    assert int(cases[1].replace(",", "")) >= 5000
