"""What the page says when something is wrong, and that it goes on when that is over."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.web.browsing import PENGUINS, Service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ended(service: Service, dataset: dict[str, Any]) -> dict[str, Any]:
    return service.ended(service.job(dataset, training={"epochs": 20}))


def answered(status: int, **problem: Any) -> Callable[[Route], None]:
    """An answer of the service that is hard to bring about."""
    body = json.dumps({"status": status, "errors": [], **problem})
    return lambda route: route.fulfill(status=status, content_type="application/problem+json", body=body)


def test_a_page_that_was_opened_while_the_service_was_away_comes_by_itself(
    page: Page, service: Service, ended: dict[str, Any]
) -> None:
    model = f"**/v1/models/{ended['model_id']}"
    page.route(model, lambda route: route.abort())
    page.goto(f"{service.address}/#/models/{ended['model_id']}")
    expect(page.locator("#connection")).to_have_text("The service does not answer. Trying again.")
    page.unroute(model)
    page.route(model, answered(503, title="Service unavailable", detail="The database does not answer."))
    expect(page.locator("#connection")).to_have_text("The database does not answer. Trying again.")
    page.unroute(model)
    expect(page.get_by_role("button", name="Predict")).to_be_visible()
    expect(page.locator("#connection")).to_be_empty()


def test_the_plan_comes_when_the_service_is_back(page: Page, service: Service, dataset: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/start/{dataset['id']}")
    plan = page.get_by_role("complementary", name="What it costs")
    expect(plan).to_contain_text("339 parameters")
    page.route("**/v1/jobs?dry_run=true", lambda route: route.abort())
    page.get_by_label("Hidden layers").fill("16, 8, 4")
    expect(plan).to_contain_text("The service does not answer. Trying again.")
    page.unroute("**/v1/jobs?dry_run=true")
    expect(plan).to_contain_text("363 parameters")


def test_a_job_is_followed_again_when_the_service_is_back(page: Page, tmp_path: Path) -> None:
    service = Service(tmp_path)
    ended = service.ended(service.job(service.dataset(PENGUINS.read_bytes()), name="kept", training={"epochs": 3}))
    page.goto(f"{service.address}/#/jobs/{ended['id']}")
    expect(page.get_by_role("status").first).to_have_text("succeeded")
    service.end()
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("alert").filter(has_text="The service does not answer.")).to_be_visible()
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.locator("#connection")).to_contain_text("does not answer")
    again = Service(tmp_path, urlsplit(service.address).port or 0)
    expect(page.get_by_role("link", name="kept")).to_be_visible()
    expect(page.locator("#connection")).to_be_empty()
    again.end()


def test_a_model_that_is_deleted_while_it_is_shown_is_told(
    page: Page, service: Service, dataset: dict[str, Any]
) -> None:
    job = service.ended(service.job(dataset, training={"epochs": 2}))
    page.goto(f"{service.address}/#/models/{job['model_id']}")
    expect(page.get_by_role("button", name="Evaluate")).to_be_enabled()
    assert httpx.delete(f"{service.address}/v1/models/{job['model_id']}").status_code == 204
    gone = page.get_by_role("alert").filter(has_text="There is no such model.")
    for i, verb in enumerate(("Predict", "Evaluate", "Look at the checks again")):
        page.get_by_role("button", name=verb).click()
        expect(gone).to_have_count(i + 1)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is here")
    expect(gone).to_be_visible()
    page.get_by_role("link", name="All models").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")


def test_a_row_may_lack_values_but_not_have_senseless_ones(page: Page, service: Service, ended: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/models/{ended['model_id']}")
    number, island = page.get_by_label("bill_length_mm"), page.get_by_label("island")
    number.fill("")
    island.select_option("")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("region", name="Prediction")).to_contain_text("Probability of each class.")
    number.fill("long")
    page.get_by_role("button", name="Predict").click()
    expect(number).to_have_attribute("aria-invalid", "true")
    expect(number).to_have_accessible_description(re.compile("number", re.IGNORECASE))
    expect(island).to_have_attribute("aria-invalid", "false")


@pytest.mark.parametrize(
    ("status", "detail"),
    [(413, "The body may have up to 2 bytes."), (507, "There is no room left to store it; nothing was stored.")],
)
def test_an_upload_that_is_refused_says_why_and_can_be_tried_again(
    page: Page, service: Service, status: int, detail: str
) -> None:
    page.goto(f"{service.address}/#/start")
    page.route("**/v1/datasets?name=*", answered(status, title="Refused", detail=detail))
    page.get_by_label("Drop a CSV here").set_input_files(PENGUINS)
    expect(page.get_by_role("alert")).to_have_text(detail)
    page.unroute("**/v1/datasets?name=*")
    page.get_by_label("Drop a CSV here").set_input_files(PENGUINS)
    expect(page.get_by_label("Target")).to_be_visible()
    expect(page.get_by_text(detail)).to_have_count(0)


def test_a_dataset_that_is_deleted_under_the_form_is_told(page: Page, service: Service) -> None:
    dataset = service.dataset(PENGUINS.read_bytes())
    page.goto(f"{service.address}/#/start/{dataset['id']}")
    expect(page.get_by_role("complementary", name="What it costs")).to_contain_text("339 parameters")
    assert httpx.delete(f"{service.address}/v1/datasets/{dataset['id']}").status_code == 204
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="There is no such dataset.")).to_be_visible()


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("out_of_memory", "a smaller batch or float32 need less"),
        ("worker_lost", "start again, smaller if memory was short"),
        ("storage_error", "See that the disk of the service is not full"),
        ("internal_error", "its log names this job"),
    ],
)
def test_a_job_that_failed_is_told_with_what_to_do(
    page: Page, service: Service, ended: dict[str, Any], code: str, advice: str
) -> None:
    error = {"code": code, "message": "It ended.", "epoch": 7}
    failed = ended | {"status": "failed", "stopped_because": None, "error": error, "model_id": None}
    page.route(f"**/v1/jobs/{ended['id']}", lambda route: route.fulfill(json=failed))
    page.goto(f"{service.address}/#/jobs/{ended['id']}")
    failure = page.get_by_role("alert").filter(has_text="It ended.")
    expect(failure).to_contain_text(f"({code} in epoch 7)")
    expect(failure).to_contain_text(advice)
    expect(failure.get_by_role("link", name="Start again with other settings")).to_be_visible()


def test_a_training_that_ran_out_of_time_says_so(page: Page, service: Service, ended: dict[str, Any]) -> None:
    stopped = ended | {"stopped_because": "max_seconds"}
    page.route(f"**/v1/jobs/{ended['id']}", lambda route: route.fulfill(json=stopped))
    page.goto(f"{service.address}/#/jobs/{ended['id']}")
    expect(page.get_by_text("epoch 20 of 20; its time was over")).to_be_visible()


def test_weights_that_were_sent_along_are_said_to_be_left_out(
    page: Page, service: Service, dataset: dict[str, Any], ended: dict[str, Any]
) -> None:
    weights = httpx.get(f"{service.address}/v1/models/{ended['model_id']}/weights", params={"format": "json"}).json()
    layers = {"layers": weights["layers"]}
    given = service.job(dataset, training={"epochs": 2}, initial_weights=layers)
    page.goto(f"{service.address}/#/again/{given['id']}")
    note = page.get_by_role("note")
    expect(note).to_contain_text("Its first weights are not taken over.")
    expect(note).to_contain_text(given["resolved"]["initial_weights"]["sha256"][:12])
    expect(page.get_by_label("Everything as JSON, as it is sent")).to_have_value(
        re.compile('^(?!.*"initial_weights")', re.DOTALL)
    )
    # Those of a model are named, and so they are taken over.
    named = service.job(dataset, training={"epochs": 2}, initial_weights={"model_id": ended["model_id"]})
    page.goto(f"{service.address}/#/again/{named['id']}")
    expect(page.get_by_label("Everything as JSON, as it is sent")).to_have_value(re.compile(ended["model_id"]))
    expect(note).to_have_count(0)
