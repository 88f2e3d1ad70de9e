"""What the page's rooms do, in a real browser, before a real service."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.web.browsing import Service, begin, unfold

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ended(service: Service, dataset: dict[str, Any]) -> dict[str, Any]:
    network = {"hidden_layers": [16, 8]}
    training = {"epochs": 300, "optimizer": {"name": "adam", "learning_rate": 0.01}}
    return service.ended(service.job(dataset, name="the first", network=network, training=training))


def status(page: Page) -> Locator:
    return page.get_by_role("status").first


def plan(page: Page) -> Locator:
    return page.get_by_role("complementary", name="What it costs")


def test_what_a_training_costs_follows_the_form(page: Page, service: Service, dataset: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/start/{dataset['id']}")
    expect(plan(page)).to_contain_text("339 parameters")
    page.get_by_label("Hidden layers").fill("16, 8, 4")
    expect(plan(page)).to_contain_text("363 parameters")
    page.get_by_label("Batch norm in layer 1").check()
    expect(plan(page)).to_contain_text("395 parameters")
    page.get_by_role("button", name="Remove layer 1").click()
    expect(page.get_by_label("Hidden layers")).to_have_value("8, 4")
    expect(page.get_by_label("Batch norm in layer 1")).not_to_be_checked()
    expect(page.get_by_role("img", name="Network: 10 → 8 → 4 → 3 units")).to_be_visible()
    page.get_by_role("button", name="Add a layer").click()
    expect(page.get_by_role("img", name="Network: 10 → 8 → 4 → 4 → 3 units")).to_be_visible()
    assert httpx.get(f"{service.address}/v1/jobs", params={"tag": "none:none"}).json()["items"] == []


def test_a_fault_stands_at_its_field_before_anything_is_sent(
    page: Page, service: Service, dataset: dict[str, Any]
) -> None:
    page.goto(f"{service.address}/#/start/{dataset['id']}")
    expect(plan(page)).to_contain_text("339 parameters")
    page.get_by_label("Dropout of layer 2").fill("2")
    expect(page.get_by_label("Dropout of layer 2")).to_have_accessible_description(re.compile("less than or equal"))
    expect(page.get_by_label("Dropout of layer 2")).to_be_focused()
    expect(page.get_by_label("Hidden layers")).to_have_attribute("aria-invalid", "false")
    page.get_by_label("Dropout of layer 2").fill("0.5")
    expect(page.get_by_label("Dropout of layer 2")).to_have_attribute("aria-invalid", "false")
    expect(plan(page)).to_contain_text("339 parameters")


def test_a_column_that_is_unticked_is_no_feature(page: Page, service: Service, dataset: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/start/{dataset['id']}")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="year"))
    expect(row).to_contain_text("1 input: numeric")
    expect(page.get_by_role("img", name="Values: Adelie: 152")).to_be_visible()
    page.get_by_label("Use year").uncheck()
    expect(row).to_contain_text("not used:")
    expect(page.get_by_role("img", name="Network: 9 → 16 → 8 → 3 units")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(re.compile(r"#/jobs/job_\w+$"))
    job = httpx.get(f"{service.address}/v1/jobs/{page.url.rpartition('/')[2]}").json()
    assert "year" not in job["resolved"]["features"]
    assert len(job["resolved"]["features"]) == 6


def test_an_optimizer_brings_its_own_settings(page: Page, service: Service, dataset: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/start/{dataset['id']}")
    page.get_by_label("Optimizer", exact=True).select_option("momentum")
    page.get_by_label("Schedule").select_option("step")
    unfold(page, "Loss, optimizer, schedule")
    page.get_by_label("step_size").fill("7")
    page.get_by_label("momentum", exact=True).fill("0.5")
    unfold(page, "Rows held out")
    page.get_by_label("Held out for validation").select_option("none")
    unfold(page, "Name and turn")
    page.get_by_label("Name", exact=True).fill("by hand")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("by hand")
    job = httpx.get(f"{service.address}/v1/jobs/{page.url.rpartition('/')[2]}").json()
    assert job["resolved"]["training"]["optimizer"]["momentum"] == 0.5
    assert job["resolved"]["training"]["schedule"]["step_size"] == 7
    assert job["resolved"]["validation"] is None


def test_zoom_is_kept_while_epochs_come_in(page: Page, service: Service) -> None:
    begin(page, service, Hidden_layers="8", Epochs="10000000")
    expect(page.get_by_text(re.compile(r"epoch [\d,]+,\d{3} of 10,000,000"))).to_be_visible(timeout=60_000)
    first, last = page.get_by_label("First epoch shown").first, page.get_by_label("Last epoch shown").first
    first.fill("100")
    last.fill("300")
    last.press("Enter")
    expect(page.get_by_role("button", name="Show all")).to_be_visible()
    before = page.get_by_text(re.compile("of 10,000,000")).inner_text()
    expect(page.get_by_text(re.compile("of 10,000,000"))).not_to_have_text(before, timeout=15_000)
    expect(first).to_have_value("100")
    expect(last).to_have_value("300")
    page.get_by_role("button", name="Show all").click()
    expect(first).to_have_value("1")
    page.get_by_role("button", name="Cancel").click()
    expect(status(page)).to_have_text("cancelled", timeout=30_000)


def test_a_curve_is_zoomed_by_dragging_and_by_the_wheel(page: Page, service: Service, ended: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/jobs/{ended['id']}")
    picture = page.get_by_role("img", name="Loss by epoch")
    picture.scroll_into_view_if_needed()
    first, last = page.get_by_label("First epoch shown").first, page.get_by_label("Last epoch shown").first
    expect(last).to_have_value("300")
    box = picture.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=4)
    page.mouse.up()
    expect(first).not_to_have_value("1")
    assert 30 < int(first.input_value()) < int(last.input_value()) < 220
    begun, width = int(first.input_value()), int(last.input_value()) - int(first.input_value())
    page.mouse.wheel(0, -100)
    expect(first).not_to_have_value(str(begun))
    assert int(last.input_value()) - int(first.input_value()) < width
    page.mouse.dblclick(box["x"] + box["width"] / 2, middle)
    expect(first).to_have_value("1")


def test_a_curve_is_a_table_too_and_can_be_smoothed(page: Page, service: Service, ended: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/jobs/{ended['id']}")
    for label in ("Loss", "Learning rate", "Gradient norm"):
        page.get_by_text(f"{label} as a table").click()
        table = page.get_by_role("region", name=f"{label} by epoch, as a table")
        expect(table.get_by_role("rowheader").last).to_have_text("300")
    line = page.locator("path.train")
    rough = line.get_attribute("d")
    page.get_by_label("smoothing").fill("0.9")
    expect(line).not_to_have_attribute("d", rough or "")
    best = httpx.get(f"{service.address}/v1/jobs/{ended['id']}").json()["best"]["epoch"]
    expect(page.locator("svg.plot").first.locator("circle.best")).to_be_visible()
    expect(page.get_by_text(f"in epoch {best}")).to_be_visible()


def test_a_job_is_forked_and_verified_from_the_page(page: Page, service: Service, ended: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/jobs/{ended['id']}")
    page.get_by_role("button", name="Fork").click()
    page.get_by_label("Up to epoch").fill("10")
    page.get_by_role("button", name="Start the fork").click()
    expect(page.get_by_label("Up to epoch")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Up to epoch").fill("350")
    page.get_by_label("Name of the fork").fill("longer")
    page.get_by_role("button", name="Start the fork").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("longer")
    expect(status(page)).to_have_text("succeeded", timeout=60_000)
    expect(page.get_by_text("epoch 350 of 350")).to_be_visible()
    expect(page.get_by_text("from epoch 300 on")).to_be_visible()
    page.get_by_text("Checkpoints", exact=True).click()
    expect(page.get_by_role("region", name="Stored states").get_by_role("rowheader").first).to_have_text("latest")

    page.get_by_role("link", name="an earlier job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("the first")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("Identical: all 300 epochs")).to_be_visible(timeout=60_000)


def test_compared_jobs_show_only_what_differs(
    page: Page, service: Service, dataset: dict[str, Any], ended: dict[str, Any]
) -> None:
    training = {"epochs": 200, "optimizer": {"name": "adam", "learning_rate": 0.002}}
    service.ended(service.job(dataset, name="slower", network={"hidden_layers": [16, 8]}, training=training))
    page.goto(service.address)
    page.get_by_label("Compare the first", exact=True).check()
    page.get_by_label("Compare slower", exact=True).check()
    page.get_by_role("link", name="Compare 2 jobs").click()
    settings = page.get_by_role("region", name="Settings")
    names = settings.get_by_role("rowheader")
    expect(names.filter(has_text="training.optimizer.learning_rate")).to_be_visible()
    shown = names.all_inner_texts()
    assert (
        {"training.optimizer.learning_rate", "training.epochs"}
        <= set(shown)
        <= {
            "training.optimizer.learning_rate",
            "training.epochs",
            "kernels",
            "memory_bytes",
        }
    )
    for kind in ("job-0", "job-1"):
        expect(page.locator(f"path.{kind}")).to_have_attribute("d", re.compile("L"))
    expect(page.get_by_role("region", name="Results").get_by_role("rowheader")).to_have_count(2)


def test_a_model_is_measured_and_asked(
    page: Page, service: Service, dataset: dict[str, Any], ended: dict[str, Any]
) -> None:
    page.goto(service.address)
    page.get_by_role("link", name="Models").click()
    page.get_by_role("main").get_by_role("link", name="the first").click()
    page.get_by_role("button", name="Evaluate").click()
    address = f"{service.address}/v1/models/{ended['model_id']}"
    counts = httpx.post(f"{address}/evaluate", json={"dataset_id": dataset["id"]}, timeout=60).json()[
        "confusion_matrix"
    ]["counts"]
    for i, name in enumerate(["Adelie", "Chinstrap", "Gentoo"]):
        line = page.get_by_role("region", name="Confusion matrix").get_by_role("row").nth(i + 1)
        expect(line.get_by_role("rowheader")).to_have_text(name)
        expect(line.get_by_role("cell")).to_have_text([str(n) for n in counts[i]])
    page.get_by_label("bill_length_mm").fill("far")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_label("bill_length_mm")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("bill_length_mm").fill("39")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("region", name="Prediction")).to_contain_text("Adelie")
    with page.expect_download():
        page.get_by_role("link", name="The whole model as ONNX").click()
    page.get_by_role("button", name="Look at the checks again").click()
    expect(page.get_by_text("agrees, by onnxruntime")).to_be_visible()


def test_a_network_learns_in_the_playground(page: Page, service: Service) -> None:
    page.goto(f"{service.address}/#/playground")
    page.get_by_label("Points", exact=True).select_option("xor")
    page.get_by_label("Hidden layers").fill("99")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_label("Hidden layers")).to_have_accessible_description(re.compile("can be drawn"))
    page.get_by_label("Hidden layers").fill("6")
    page.get_by_label("Epochs").fill("60")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_text("succeeded: epoch 60 of 60")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("img", name="The neurons after epoch 60")).to_be_visible(timeout=30_000)
    decision = page.get_by_role("img", name="The decision after epoch")
    expect(decision).to_have_attribute("aria-label", re.compile("after epoch 60:"))
    right = re.compile(r"(\d+)\s%")
    late = right.search(decision.get_attribute("aria-label") or "")
    page.get_by_label("Checkpoint").fill("0")
    expect(page.get_by_text(re.compile("^Epoch 1: "))).to_be_visible()
    expect(decision).to_have_attribute("aria-label", re.compile("after epoch 1:"))
    early = right.search(decision.get_attribute("aria-label") or "")
    assert late is not None
    assert early is not None
    assert int(late[1]) > 90 > int(early[1])
    page.get_by_role("button", name="Train on").click()
    expect(page.get_by_text("succeeded: epoch 120 of 120")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("img", name="The neurons after epoch 120")).to_be_visible(timeout=30_000)


def test_light_and_dark_follow_the_system(browser: Browser, service: Service) -> None:
    shades = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(service.address)
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades.append(sum(int(part) for part in re.findall(r"\d+", shade)))
        context.close()
    assert shades[0] > 600 > 150 > shades[1]
