"""A job is described in a form and as JSON, in a real browser: whatever the service takes can be said, and stays said."""

import json
import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.browsing import Service, unfold

pytestmark = pytest.mark.slow

MARKED = "species,mass,fold,patient,day\n" + "".join(
    f"{'ab'[i % 2]},{i % 7}.5,{'validation' if i % 5 == 0 else 'train'},p{i % 10},2026-01-{i % 28 + 1:02}\n"
    for i in range(100)
)
EVERYTHING: dict[str, Any] = {
    "name": "all of it",
    "tags": {"team": "botany, zoology"},
    "target": "species",
    "features": ["bill_length_mm", "island", "body_mass_g"],
    "task": "classification",
    "preprocessing": {"numeric": "minmax", "missing": "median", "categorical": "ordinal", "max_categories": 12},
    "validation": {"fraction": 0.3, "stratify": False},
    "class_weight": {"Adelie": 2.0},
    "network": {
        "hidden_layers": [12, {"units": 6, "activation": "elu", "dropout": 0.1, "batch_norm": True}],
        "activation": "tanh",
        "initializer": "orthogonal",
        "initializer_parameters": {"gain": 0.5},
        "bias": False,
    },
    "training": {
        "loss": "cross_entropy",
        "optimizer": {"name": "adam", "learning_rate": 0.003, "betas": [0.8, 0.99]},
        "schedule": {"name": "step", "step_size": 3},
        "epochs": 7,
        "batch_size": "full",
        "shuffle": False,
        "seed": 5,
        "dtype": "float64",
        "threads": 1,
        "l1": 0.001,
        "l2": 0.002,
        "max_norm": 3.0,
        "gradient_clip_norm": 2.0,
        "gradient_clip_value": 1.5,
        "label_smoothing": 0.05,
        "early_stopping": {"monitor": "train_loss", "patience": 4, "min_delta": 0.0001, "restore_best": False},
        "max_seconds": 60.0,
        "checkpoint_every_s": 5.0,
        "keep_checkpoints": {"every_epochs": 2, "most": 3},
    },
    "priority": 1,
}


@pytest.fixture(scope="module")
def marked(service: Service) -> dict[str, Any]:
    return service.dataset(MARKED, name="marked.csv")


def spec(page: Page) -> Locator:
    return page.get_by_label("Everything as JSON, as it is sent")


def written(page: Page) -> Any:
    return json.loads(spec(page).input_value())


def write_everything(page: Page, service: Service, dataset: dict[str, Any]) -> Any:
    """Fill the JSON of a new job; give what it holds."""
    body = {"dataset_id": dataset["id"], **EVERYTHING}
    page.goto(f"{service.address}/#/start/{dataset['id']}")
    unfold(page, "Everything as JSON")
    spec(page).fill(json.dumps(body))
    return body


def plan(page: Page) -> Locator:
    return page.get_by_role("complementary", name="What it costs")


def started(page: Page, service: Service) -> Any:
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(re.compile(r"#/jobs/job_\w+$"))
    return httpx.get(f"{service.address}/v1/jobs/{page.url.rpartition('/')[2]}").json()


@pytest.mark.parametrize(
    ("way", "fields", "sent", "held_out"),
    [
        ("rows at random", {"Share held out": "0.4"}, {"fraction": 0.4}, 40),
        ("whole groups", {"Column": "patient"}, {"group_column": "patient"}, 20),
        ("the latest rows", {"Column": "day"}, {"time_column": "day"}, None),
        ("those that a column marks", {"Column": "fold"}, {"column": "fold"}, 20),
        (
            "those that a column marks",
            {"Column": "fold", "Values that mean validation": "train"},
            {"column": "fold", "values": ["train"]},
            80,
        ),
        ("none", {}, None, 0),
    ],
)
def test_rows_are_held_out_in_each_way_of_the_service(
    page: Page,
    service: Service,
    marked: dict[str, Any],
    way: str,
    fields: dict[str, str],
    sent: Any,
    held_out: int | None,
) -> None:
    page.goto(f"{service.address}/#/start/{marked['id']}")
    unfold(page, "Rows held out")
    page.get_by_label("Held out for validation").select_option(way)
    for label, text in fields.items():
        field = page.get_by_label(label, exact=True)
        if field.evaluate("(one) => one.tagName") == "SELECT":
            field.select_option(text)
        else:
            field.fill(text)
    if held_out is not None:
        expect(plan(page)).to_contain_text(f"{held_out} to validate" if held_out else "100")
    job = started(page, service)
    assert job["request"]["validation"] == sent
    if held_out is not None:
        assert job["resolved"]["n_validation_rows"] == held_out


def test_rows_of_another_dataset_are_held_out(page: Page, service: Service, marked: dict[str, Any]) -> None:
    other = service.dataset(MARKED.replace("p1", "q1"), name="other.csv")
    page.goto(f"{service.address}/#/start/{marked['id']}")
    unfold(page, "Rows held out")
    page.get_by_label("Held out for validation").select_option("the rows of another dataset")
    page.get_by_label("Dataset", exact=True).select_option("other")
    expect(plan(page)).to_contain_text("100 to train, 100 to validate")
    assert started(page, service)["request"]["validation"] == {"dataset_id": other["id"]}


def test_what_is_written_as_json_is_in_the_form_and_is_sent(
    page: Page, service: Service, dataset: dict[str, Any]
) -> None:
    body = write_everything(page, service, dataset)
    expect(page.get_by_label("Hidden layers")).to_have_value("12, 6")
    expect(page.get_by_label("Dropout of layer 2")).to_have_value("0.1")
    expect(page.get_by_label("Use year")).not_to_be_checked()
    for label, text in {
        "Epochs": "7",
        "betas": "0.8, 0.99",
        "step_size": "3",
        "Patience": "4",
        "Their parameters": "gain: 0.5",
        "Weight of Adelie": "2",
        "Share held out": "0.3",
        "Seed": "5",
        "Numbers of": "float64",
        "Keep one after every": "2",
        "Max norm": "3",
    }.items():
        expect(page.get_by_label(label, exact=True)).to_have_value(text)
    expect(page.locator("summary").filter(has_text="Against overfitting")).to_contain_text("Patience: 4")
    job = started(page, service)
    assert job["request"] == body
    assert service.ended(job)["status"] == "succeeded"


def test_one_change_in_the_form_changes_one_thing_of_the_json(
    page: Page, service: Service, dataset: dict[str, Any]
) -> None:
    body = write_everything(page, service, dataset)
    expect(page.get_by_label("Epochs")).to_have_value("7")
    page.get_by_label("Epochs").fill("9")
    assert written(page) == body | {"training": EVERYTHING["training"] | {"epochs": 9}}
    page.get_by_label("Epochs").fill("7")
    assert written(page) == body
    page.get_by_label("Optimizer", exact=True).select_option("momentum")
    assert written(page)["training"]["optimizer"] == {"name": "momentum"}


def test_text_that_is_no_json_is_told_and_starts_nothing(page: Page, service: Service, dataset: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/start/{dataset['id']}")
    unfold(page, "Everything as JSON")
    spec(page).fill('{"target": ')
    expect(spec(page)).to_have_attribute("aria-invalid", "true")
    expect(spec(page)).to_have_accessible_description(re.compile("no description yet"))
    page.get_by_role("button", name="Start", exact=True).click()
    expect(spec(page)).to_be_focused()
    expect(page).to_have_url(re.compile("#/start/"))
    spec(page).fill(json.dumps({"dataset_id": dataset["id"], "target": "sex", "colour": "red"}))
    expect(spec(page)).to_have_attribute("aria-invalid", "false")
    expect(plan(page)).to_contain_text("/colour There is no such field.")
    expect(page.locator("summary").filter(has_text="Everything as JSON")).to_contain_text("only here: colour")


def test_a_job_is_started_again_with_all_its_settings(page: Page, service: Service, dataset: dict[str, Any]) -> None:
    ended = service.ended(service.job(dataset, **EVERYTHING))
    page.goto(f"{service.address}/#/jobs/{ended['id']}")
    page.get_by_role("link", name="Start again").click()
    expect(page.get_by_label("Hidden layers")).to_have_value("12, 6")
    page.get_by_label("Epochs").fill("5")
    request = started(page, service)["request"]
    assert request == ended["request"] | {"training": ended["request"]["training"] | {"epochs": 5}}


def test_a_fork_trains_differently_and_is_started_again_as_what_it_was(
    page: Page, service: Service, dataset: dict[str, Any]
) -> None:
    parent = service.ended(service.job(dataset, name="parent", training={"epochs": 10, "l1": 0.01}))
    page.goto(f"{service.address}/#/jobs/{parent['id']}")
    page.get_by_role("button", name="Fork").click()
    page.get_by_label("Optimizer of the fork").select_option("momentum")
    unfold(page, "Against overfitting")
    page.get_by_label("L2", exact=True).fill("0.5")
    fork_json = page.get_by_label("The fork as JSON, as it is sent")
    sent = json.loads(fork_json.input_value())
    assert sent["training"] == {"epochs": 20, "optimizer": {"name": "momentum"}, "l2": 0.5}
    unfold(page, "The fork as JSON")
    fork_json.fill(json.dumps(sent | {"training": sent["training"] | {"epochs": 13}, "tags": {"from": "page"}}))
    expect(page.get_by_label("Up to epoch")).to_have_value("13")
    page.get_by_role("button", name="Start the fork").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("parent (fork)")
    fork = httpx.get(f"{service.address}/v1/jobs/{page.url.rpartition('/')[2]}").json()
    training = fork["resolved"]["training"]
    assert [training[name] for name in ("epochs", "l1", "l2")] == [13, 0.01, 0.5]
    assert (training["optimizer"]["name"], fork["tags"]) == ("momentum", {"from": "page"})

    page.get_by_role("link", name="Start again").click()
    expect(page.get_by_label("Optimizer", exact=True)).to_have_value("momentum")
    expect(plan(page)).to_contain_text("parameters")
    again = started(page, service)
    assert again["parent_job_id"] is None
    assert again["resolved"]["training"] == fork["resolved"]["training"]
    assert again["resolved"]["features"] == fork["resolved"]["features"]


def test_settings_of_a_fold_say_where_something_is_wrong(page: Page, service: Service, dataset: dict[str, Any]) -> None:
    page.goto(f"{service.address}/#/start/{dataset['id']}")
    fold = page.locator("summary").filter(has_text="Against overfitting")
    fold.click()
    page.get_by_label("L2", exact=True).fill("-1")
    expect(page.get_by_label("L2", exact=True)).to_have_attribute("aria-invalid", "true")
    fold.click()
    expect(fold).to_contain_text("something here cannot be used")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_label("L2", exact=True)).to_be_focused()
