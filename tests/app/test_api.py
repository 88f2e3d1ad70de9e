"""What the API promises that a running service does not show."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.api.edge import REQUEST_ID
from app.api.problems import _fault, _merged
from app.main import create_app
from app.migrate import migrate_all
from app.services.installation import Installation
from app.settings import Settings
from tests.service import PENGUINS, problem


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    configured = Settings(data_dir=tmp_path)
    migrate_all(configured)
    return configured


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Installation]]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
            yield http, app.state.installation


@pytest.mark.anyio
async def test_a_failing_commit_is_not_a_2xx(client: tuple[httpx.AsyncClient, Installation]) -> None:
    http, installation = client
    uploaded = await http.post("/v1/datasets", params={"name": "p.csv"}, content=PENGUINS.read_bytes())
    job = {"dataset_id": uploaded.json()["id"], "target": "species"}
    submitted = (await http.post("/v1/jobs", json=job)).json()

    def fail(_connection: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    event.listen(installation.database.engine, "commit", fail)
    answers = [
        await http.post("/v1/datasets", params={"name": "p.csv"}, content=PENGUINS.read_bytes()),
        await http.post("/v1/jobs", json=job),
        await http.post(f"/v1/jobs/{submitted['id']}/cancel"),
        await http.delete(f"/v1/datasets/{uploaded.json()['id']}"),
    ]
    event.remove(installation.database.engine, "commit", fail)
    for answer in answers[:3]:
        problem(answer, 503, "unavailable")
        assert answer.headers["Retry-After"]
    assert answers[3].status_code >= 400
    jobs = (await http.get("/v1/jobs")).json()["items"]
    assert [(one["id"], one["status"]) for one in jobs] == [(submitted["id"], "queued")]
    datasets = (await http.get("/v1/datasets")).json()["items"]
    assert [one["id"] for one in datasets] == [uploaded.json()["id"]]
    assert len(list(installation.blobs.folder.glob("datasets/*"))) == 1, "what was not committed left no file"


@pytest.mark.anyio
async def test_a_bug_says_nothing_of_what_is_inside(
    client: tuple[httpx.AsyncClient, Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    http, _ = client

    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("secret: /home/ann")

    monkeypatch.setattr("app.services.datasets.newest", fail)
    answer = await http.get("/v1/datasets")
    body = problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert body["errors"] == []
    assert answer.headers[REQUEST_ID]


@pytest.mark.anyio
async def test_without_a_worker_the_service_is_alive_and_not_ready(
    client: tuple[httpx.AsyncClient, Installation],
) -> None:
    http, _ = client
    assert (await http.get("/healthz")).json() == {"status": "alive"}
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": "not_ready", "database": True, "workers": 0})
    assert (await http.get("/v1/limits")).json()["max_inline_bytes"] == 2**20
    assert 'descent_jobs{status="queued"} 0.0' in (await http.get("/metrics")).text


@pytest.mark.anyio
async def test_a_queued_job_is_cancelled_at_once_and_its_place_in_the_queue_is_told(
    client: tuple[httpx.AsyncClient, Installation],
) -> None:
    http, _ = client
    uploaded = (await http.post("/v1/datasets", params={"name": "p.csv"}, content=PENGUINS.read_bytes())).json()
    jobs = [
        (await http.post("/v1/jobs", json={"dataset_id": uploaded["id"], "target": "species"})).json() for _ in range(3)
    ]
    assert [job["queue_position"] for job in jobs] == [1, 2, 3]
    cancelled = (await http.post(f"/v1/jobs/{jobs[0]['id']}/cancel")).json()
    assert (cancelled["status"], cancelled["model_id"], cancelled["queue_position"]) == ("cancelled", None, None)
    assert (await http.get(f"/v1/jobs/{jobs[2]['id']}")).json()["queue_position"] == 2


def test_the_openapi_document_describes_every_operation(settings: Settings) -> None:
    document = create_app(settings).openapi()
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) > 20
    for path, method, operation in operations:
        assert operation.get("description"), f"{method} {path} has no description"
        assert operation["operationId"].isidentifier()
        assert {"400", "500"} <= set(operation["responses"])
    problems = document["components"]["responses"].values()
    assert all(list(problem["content"]) == ["application/problem+json"] for problem in problems)
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)
    status = document["components"]["schemas"]["Status"]["enum"]
    running = ["queued", "running", "pausing", "paused", "cancelling"]
    assert status == [*running, "succeeded", "failed", "cancelled"]


def test_what_a_client_may_hear_has_no_field_that_can_be_left_out(settings: Settings) -> None:
    schemas = create_app(settings).openapi()["components"]["schemas"]
    for name in (
        "Job",
        "Dataset",
        "Model",
        "Epoch",
        "Epochs",
        "Resolved",
        "Problem",
        "Prediction",
        "Progress",
        "Checkpoint",
        "Receipt",
        "Verification",
    ):
        schema = schemas[name]
        assert set(schema["required"]) == set(schema["properties"]), name


@pytest.mark.parametrize(
    ("loc", "body", "pointer"),
    [
        (("body", "tags", "a/b~c"), {"tags": {"a/b~c": 1}}, "/tags/a~1b~0c"),
        (("body", "target", "list[str]", 1), {"target": ["a", 1]}, "/target/1"),
        (
            ("body", "training", "optimizer", "adam", "eps"),
            {"training": {"optimizer": {"eps": 1}}},
            "/training/optimizer/eps",
        ),
        (("query", "limit"), None, "?limit"),
        (("header", "idempotency-key"), None, "header:idempotency-key"),
    ],
)
def test_a_pointer_leads_into_what_was_sent(loc: tuple, body: object, pointer: str) -> None:
    assert _fault({"loc": loc, "type": "x", "msg": "Wrong"}, body).pointer == pointer


def test_what_each_member_of_a_union_says_becomes_one_fault() -> None:
    faults = [
        _fault({"loc": ("body", "target", kind), "type": "x", "msg": f"Not {kind}"}, {"target": 1})
        for kind in ("str", "list[str]")
    ]
    (fault,) = _merged(faults)
    assert (fault.pointer, fault.message) == ("/target", "Not str, or: Not list[str].")


def test_a_misspelt_setting_is_not_silently_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESCENT_DATADIR", "/srv")
    with pytest.raises(ValueError, match=r"unknown setting DESCENT_DATADIR; there are: .*DESCENT_DATA_DIR"):
        Settings()


def test_the_password_of_the_database_is_not_shown() -> None:
    configured = Settings(database_url="postgresql://descent:hunter2@db/descent")
    assert "hunter2" not in repr(configured)
    assert configured.database == "postgresql://descent:hunter2@db/descent"
