"""Curves of long and fast trainings, and what a model makes of its rows, in a real browser."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.web.browsing import PENGUINS, Service, begin

pytestmark = pytest.mark.slow

EPOCHS = 20_000
EVERY_EPOCH = re.compile(r"^M[^L]*(L[^L]*){99,101}$")  # of a hundred, and one on either side
# Tasks that kept the page from answering for 50 ms or more, as the browser itself notes them.
WATCH = """() => {
    window.long = [];
    new PerformanceObserver((list) => window.long.push(...list.getEntries().map((one) => one.duration)))
        .observe({ type: "longtask" });
}"""
HOG = """() => new Promise((resolve) => setTimeout(() => {
    const until = performance.now() + 300;
    while (performance.now() < until);
    setTimeout(resolve, 500);
}))"""


@pytest.fixture(scope="module")
def long_one(service: Service) -> dict[str, Any]:
    dataset = service.dataset(PENGUINS.read_bytes())
    training = {"epochs": EPOCHS, "batch_size": "full", "optimizer": {"name": "adam"}}
    return service.ended(service.job(dataset, name="a long one", training=training))


def drawn(page: Page, kind: str = "train") -> int:
    return (page.locator(f"path.{kind}").first.get_attribute("d") or "").count("L")


def test_epochs_that_were_left_out_are_there_when_looked_at_closely(
    page: Page, service: Service, long_one: dict[str, Any]
) -> None:
    page.goto(f"{service.address}/#/jobs/{long_one['id']}")
    first, last = page.get_by_label("First epoch shown").first, page.get_by_label("Last epoch shown").first
    expect(last).to_have_value(str(EPOCHS))
    assert drawn(page) <= 1000
    first.fill("7001")
    last.fill("7100")
    last.press("Enter")
    expect(page.locator("path.train")).to_have_attribute("d", EVERY_EPOCH)
    page.get_by_text("Loss as a table").click()
    lines = page.get_by_role("region", name="Loss by epoch, as a table").get_by_role("row")
    expect(lines.nth(1).get_by_role("rowheader")).to_have_text("7,001")
    told = httpx.get(f"{service.address}/v1/jobs/{long_one['id']}/epochs", params={"after": 7004, "limit": 1}).json()
    expect(lines.nth(2).get_by_role("rowheader")).to_have_text("7,005")  # every fourth of a hundred
    value = float(lines.nth(2).get_by_role("cell").first.inner_text())
    assert value == pytest.approx(told["items"][0]["train_loss"], rel=0.01)
    page.get_by_role("button", name="Show all").click()
    expect(first).to_have_value("1")
    expect(last).to_have_value(str(EPOCHS))


def test_a_close_look_stays_fine_while_epochs_come_in(page: Page, service: Service) -> None:
    begin(page, service, Hidden_layers="8", Epochs="10000000", Batch_size="full")
    expect(page.get_by_text(re.compile(r"epoch [\d,]+,\d{3} of 10,000,000"))).to_be_visible(timeout=60_000)
    first, last = page.get_by_label("First epoch shown").first, page.get_by_label("Last epoch shown").first
    expect(last).to_have_value(re.compile(r"^[4-9]\d{3}|\d{5,}$"), timeout=60_000)
    first.fill("101")
    last.fill("200")
    last.press("Enter")
    expect(page.locator("path.train")).to_have_attribute("d", EVERY_EPOCH)
    before = page.get_by_text(re.compile("of 10,000,000")).inner_text()
    expect(page.get_by_text(re.compile("of 10,000,000"))).not_to_have_text(before, timeout=15_000)
    expect(last).to_have_value("200")
    expect(page.locator("path.train")).to_have_attribute("d", EVERY_EPOCH)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status").first).to_have_text("cancelled", timeout=30_000)


def test_a_thousand_epochs_a_second_do_not_stall_the_page(page: Page, service: Service) -> None:
    begin(page, service, Hidden_layers="", Epochs="10000000", Batch_size="full")
    number = re.compile(r"epoch ([\d,]+) of 10,000,000")
    far = page.get_by_text(number)
    expect(far).to_be_visible(timeout=60_000)
    epochs = lambda: int(number.search(far.inner_text())[1].replace(",", ""))  # type: ignore[index]  # noqa: E731
    page.evaluate(WATCH)
    for _ in range(20):  # a busy machine trains slower, and stretches tasks, for a while
        begun, start, seen = epochs(), page.evaluate("performance.now()"), len(page.evaluate("window.long"))
        page.wait_for_timeout(3000)
        seconds = (page.evaluate("performance.now()") - start) / 1000
        rate, long = (epochs() - begun) / seconds, page.evaluate("window.long")[seen:]
        if rate > 1000 and sum(long) / 1000 < 0.25 * seconds and max(long, default=0) < 500:
            break
    page.evaluate(HOG)
    assert max(page.evaluate("window.long")) >= 300, "a long task would have been seen"
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status").first).to_have_text("cancelled", timeout=30_000)
    assert rate > 1000, "or it is no test"
    # The page is free most of the time, and never gone for long.
    assert sum(long) / 1000 < 0.25 * seconds, (rate, long)
    assert max(long, default=0) < 500, (rate, long)


def test_what_columns_matter_and_which_rows_are_hard_is_shown_when_asked_for(page: Page, service: Service) -> None:
    dataset = service.dataset(PENGUINS.read_bytes())
    job = service.ended(service.job(dataset, network={"hidden_layers": [16]}, training={"epochs": 60}))
    address = f"{service.address}/v1/models/{job['model_id']}"
    page.goto(f"{service.address}/#/models/{job['model_id']}")
    body = {"dataset_id": dataset["id"], "metric": "accuracy"}
    found = httpx.post(f"{address}/importance", json=body, timeout=60).json()
    page.get_by_label("for", exact=True).select_option("accuracy")
    page.get_by_role("button", name="Importance of the columns").click()
    table = page.get_by_role("region", name="Importance of the columns")
    expect(table.get_by_role("rowheader")).to_have_text([column["name"] for column in found["columns"]])
    expect(table).to_contain_text("How much worse accuracy gets")
    expect(table.locator("svg.bar")).to_have_count(len(found["columns"]))

    hard = httpx.post(f"{address}/losses", json={"dataset_id": dataset["id"], "limit": 20}, timeout=60).json()["rows"]
    page.get_by_role("button", name="Hardest rows").click()
    table = page.get_by_role("region", name="Hardest rows")
    expect(table.get_by_role("rowheader")).to_have_text([str(one["row"]) for one in hard])
    expect(table.get_by_role("row").nth(1)).to_contain_text(hard[0]["actual"])
