"""Every way of holding out rows, over HTTP."""

from typing import Any

import pytest

from tests.service import Service, pointers, problem

ROWS = "who,when,fold,x,y\n" + "".join(
    f"{'abcdefg'[i % 7]},2024-0{1 + i % 6}-1{i % 9},{('train', 'test', 'train')[i % 3]},{(i * 37) % 101 / 7},{'uv'[i % 2]}\n"
    for i in range(210)
)
LATER = "who,when,fold,x,y\n" + "".join(
    f"{'xyz'[i % 3]},2025-0{1 + i % 6}-1{i % 9},new,{(i * 17) % 91 / 3},{'uv'[i % 2]}\n" for i in range(40)
)
QUICK = {"epochs": 3}


@pytest.fixture(scope="module")
def dataset(service: Service) -> str:
    return str(service.upload(ROWS.encode(), "rows.csv")["id"])


@pytest.fixture(scope="module")
def later(service: Service) -> str:
    return str(service.upload(LATER.encode(), "later.csv")["id"])


WAYS: dict[str, tuple[dict[str, Any], int | None, str | None]] = {
    "at random": ({"fraction": 0.1, "stratify": False}, 21, None),
    "by group": ({"group_column": "who", "fraction": 0.3}, 60, "who"),
    "by time": ({"time_column": "when"}, None, "when"),
    "by a column": ({"column": "fold"}, 70, "fold"),
    "by values of a column": ({"column": "who", "values": ["a", "b"]}, 60, "who"),
}


@pytest.mark.parametrize("name", WAYS)
def test_rows_are_held_out_as_asked(service: Service, dataset: str, name: str) -> None:
    way, n_held_out, column = WAYS[name]
    job = service.submit(dataset_id=dataset, target="y", validation=way, training=QUICK)
    resolved = job["resolved"]
    assert resolved["validation"].items() >= way.items()
    assert resolved["n_train_rows"] + resolved["n_validation_rows"] == 210
    assert resolved["n_validation_rows"] == (n_held_out or resolved["n_validation_rows"]) > 0
    assert column not in resolved["features"]
    job = service.wait(job["id"])
    assert job["status"] == "succeeded"
    assert job["latest"]["validation_loss"] is not None


def test_a_network_is_validated_on_another_dataset_which_is_kept_as_long(service: Service, dataset: str) -> None:
    other = service.upload(LATER.encode(), "other.csv")["id"]
    way = {"dataset_id": other}
    job = service.submit(dataset_id=dataset, target="y", validation=way, training={"epochs": 10_000_000})
    assert (job["resolved"]["n_train_rows"], job["resolved"]["n_validation_rows"]) == (210, 40)
    assert "when.time" in job["resolved"]["inputs"]
    problem(service.http.delete(f"/v1/datasets/{other}"), 409, "dataset_in_use")
    service.wait_for_epoch(job["id"], 1)
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    job = service.wait(job["id"])
    assert job["best"]["validation_loss"] is not None
    assert service.http.delete(f"/v1/datasets/{other}").status_code == 204
    again = service.http.post("/v1/jobs", json={"dataset_id": dataset, "target": "y", "validation": way})
    assert pointers(problem(again, 422, "invalid_request")) == {"/validation/dataset_id"}


BAD: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no such column": ({"validation": {"group_column": "whom"}}, {"/validation/group_column"}),
    "two ways at once": ({"validation": {"group_column": "who", "column": "fold"}}, {"/validation"}),
    "an unknown field": ({"validation": {"share": 0.2}}, {"/validation/share"}),
    "a field of another way": ({"validation": {"time_column": "when", "stratify": True}}, {"/validation/stratify"}),
    "times that are none": ({"validation": {"time_column": "who"}}, {"/validation/time_column"}),
    "all of the rows": ({"validation": {"group_column": "who", "fraction": 1}}, {"/validation/fraction"}),
    "a dataset that is not there": ({"validation": {"dataset_id": "ds_none"}}, {"/validation/dataset_id"}),
    "no object": ({"validation": 0.2}, {"/validation"}),
    "no name": ({"validation": {"column": ""}}, {"/validation/column"}),
    "no values": ({"validation": {"column": "fold", "values": []}}, {"/validation/values"}),
    "several at once": (
        {"target": "z", "features": ["q"], "validation": {"dataset_id": "ds_none"}},
        {"/target", "/features/0", "/validation/dataset_id"},
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_rows_that_cannot_be_held_out_as_asked_are_a_clear_fault(service: Service, dataset: str, name: str) -> None:
    change, expected = BAD[name]
    answer = service.http.post("/v1/jobs", json={"dataset_id": dataset, "target": "y", **change})
    assert pointers(problem(answer, 422, "invalid_request")) == expected, answer.text


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*WAYS, "another dataset"])
def test_a_worker_that_goes_away_changes_no_bit_whatever_way_rows_are_held_out(one_slot: Service, name: str) -> None:
    dataset = one_slot.upload(ROWS.encode())["id"]
    way = {"dataset_id": one_slot.upload(LATER.encode())["id"]} if name == "another dataset" else WAYS[name][0]
    job: dict[str, Any] = {
        "dataset_id": dataset, "target": "y", "validation": way, "features": ["who", "when", "x"],
        "network": {"hidden_layers": [16], "activation": "elu"}, "training": {"batch_size": 24},
    }  # fmt: skip
    job = one_slot.lasting(3, **job)
    outcomes = []
    for kills in (0, 2):
        job_id, seen = one_slot.submit(**job)["id"], 0
        for _ in range(kills):
            found = one_slot.wait_for_epoch(job_id, seen + 200)
            assert found["status"] == "running", "the job ended before it could be killed"
            seen = found["progress"]["epoch"]
            one_slot.kill_worker(one_slot.workers[0])
            one_slot.start_worker()
        done = one_slot.wait(job_id)
        assert done["status"] == "succeeded"
        history = [(row["epoch"], row["train_loss"], row["validation_loss"]) for row in one_slot.history(job_id)]
        outcomes.append((one_slot.weights(done["model_id"]), history))
    assert done["attempt"] == 3, "the job was not disturbed"
    assert outcomes[0] == outcomes[1]
