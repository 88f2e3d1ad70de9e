"""What can be done with jobs, as a client sees it."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.service import Service, events, pointers, problem

LONG = {"epochs": 10_000_000, "optimizer": {"name": "adam", "learning_rate": 0.001}}


def test_a_job_that_runs_is_cancelled_and_keeps_its_weights(service: Service, penguins: str) -> None:
    took_s: list[float] = []
    while min(took_s, default=3) >= 3 and len(took_s) < 5:  # others may have had the processor
        job = service.submit(dataset_id=penguins, target="species", training=LONG)
        service.wait_for_epoch(job["id"], 10)
        began_at = time.monotonic()
        assert service.http.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelling"
        job = service.wait(job["id"])
        took_s.append(time.monotonic() - began_at)
    assert min(took_s) < 3, took_s
    assert (job["status"], job["stopped_because"]) == ("cancelled", "cancelled")
    assert [row["epoch"] for row in service.history(job["id"])] == list(range(1, job["progress"]["epoch"] + 1))
    assert service.http.get(f"/v1/models/{job['model_id']}").json()["epoch"] == job["progress"]["epoch"]
    problem(service.http.post(f"/v1/jobs/{job['id']}/cancel"), 409, "illegal_transition")


def test_a_job_of_many_tiny_epochs_does_not_commit_each_one(service: Service, penguins: str) -> None:
    job = service.submit(dataset_id=penguins, target="species", training=LONG)
    job = service.wait_for_epoch(job["id"], 500)
    time.sleep(1.0)
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    job = service.wait(job["id"])
    rows = service.history(job["id"])
    assert len(rows) > 1000
    assert job["progress"]["rows_per_s"] > 10_000


def test_a_dataset_that_a_job_needs_is_not_deleted(service: Service) -> None:
    dataset = service.upload(b"a,b\n1,2\n2,4\n3,6\n4,8\n5,10\n")["id"]
    job = service.submit(dataset_id=dataset, target="b", training=LONG)
    problem(service.http.delete(f"/v1/datasets/{dataset}"), 409, "dataset_in_use")
    problem(service.http.delete(f"/v1/jobs/{job['id']}"), 409, "illegal_transition")
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    job = service.wait(job["id"])
    assert service.http.delete(f"/v1/datasets/{dataset}").status_code == 204
    problem(service.http.get(f"/v1/datasets/{dataset}"), 404, "not_found")
    assert service.http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    problem(service.http.get(f"/v1/jobs/{job['id']}"), 404, "not_found")
    assert not list(service.data_dir.glob(f"blobs/**/{dataset}*"))


def test_a_long_poll_answers_when_the_job_ends(service: Service, penguins: str) -> None:
    began_at = time.monotonic()
    job = service.submit(dataset_id=penguins, target="species", training={**LONG, "max_seconds": 1.0})
    answer = service.job(job["id"], wait_s=30)
    assert (answer["status"], answer["stopped_because"]) == ("succeeded", "max_seconds")
    assert 1 <= time.monotonic() - began_at < 28, "neither at once, nor when the poll gave up"


def test_a_long_poll_gives_up_after_its_time(service: Service, penguins: str) -> None:
    job = service.submit(dataset_id=penguins, target="species", training=LONG)
    began_at = time.monotonic()
    assert service.job(job["id"], wait_s=0.5)["status"] in {"queued", "running"}
    assert 0.4 < time.monotonic() - began_at < 20, "not when the job ends"
    service.http.post(f"/v1/jobs/{job['id']}/cancel")
    service.wait(job["id"])


def test_early_stopping_gives_the_weights_of_the_best_epoch(service: Service, penguins: str) -> None:
    training = {**LONG, "early_stopping": {"patience": 5}}
    job = service.wait(service.submit(dataset_id=penguins, target="species", training=training)["id"])
    assert job["stopped_because"] == "early_stopping"
    assert job["latest"]["epoch"] == job["best"]["epoch"] + 5
    model = service.http.get(f"/v1/models/{job['model_id']}").json()
    assert (model["epoch"], model["metrics"]) == (job["best"]["epoch"], job["best"])


def test_a_job_that_diverges_fails_by_name_and_keeps_the_last_finite_weights(service: Service) -> None:
    rows = "".join(f"{i},{i * i * 1000}\n" for i in range(50))
    dataset = service.upload(f"x,y\n{rows}".encode())["id"]
    job = service.submit(
        dataset_id=dataset,
        target="y",
        preprocessing={"numeric": "none"},
        validation=None,
        training={"optimizer": {"name": "gradient_descent", "learning_rate": 0.1}, "batch_size": "full"},
    )
    job = service.wait(job["id"])
    assert (job["status"], job["stopped_because"]) == ("failed", "diverged")
    assert job["error"]["code"] == "diverged"
    assert job["error"]["epoch"] == job["progress"]["epoch"] + 1
    if job["progress"]["epoch"]:
        assert b"NaN" not in service.weights(job["model_id"], "json")
    assert len(service.history(job["id"])) == job["progress"]["epoch"] > 0


def test_events_tell_every_epoch_once_and_go_on_where_a_client_left_off(service: Service, penguins: str) -> None:
    job = service.submit(dataset_id=penguins, target="species", training={"epochs": 300})
    heard: list[tuple[str, str, dict]] = []
    with service.http.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        for event in events(stream):
            heard.append(event)
            if sum(name == "epoch" for name, _, _ in heard) == 100:
                break
    headers = {"Last-Event-ID": heard[-1][1]}
    with service.http.stream("GET", f"/v1/jobs/{job['id']}/events", headers=headers) as stream:
        heard += events(stream)
    epochs = [data for name, _, data in heard if name == "epoch"]
    assert epochs == service.history(job["id"])
    assert [row["epoch"] for row in epochs] == list(range(1, 301))
    statuses = [data["status"] for name, _, data in heard if name == "status"]
    assert statuses == [status for status in ("queued", "running", "succeeded") if status in statuses]
    assert statuses[-1] == "succeeded"
    name, last_id, last = heard[-1]
    assert (name, last["status"]) == ("done", "succeeded")
    over = service.http.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": last_id})
    assert over.status_code == 204


def test_history_comes_in_pages_thinned_out_and_as_csv(service: Service, penguins: str) -> None:
    job = service.wait(service.submit(dataset_id=penguins, target="species", training={"epochs": 250})["id"])
    url = f"/v1/jobs/{job['id']}/epochs"
    page = service.http.get(url, params={"after": 41, "limit": 100}).json()
    assert [page["items"][0]["epoch"], page["items"][-1]["epoch"], page["next_after"]] == [42, 141, 141]
    thin = service.http.get(url, params={"max_points": 20}).json()["items"]
    assert len(thin) <= 20
    assert (thin[0]["epoch"], thin[-1]["epoch"]) == (1, 250)
    part = service.http.get(url, params={"after": 99, "until": 200, "max_points": 20}).json()["items"]
    assert 10 < len(part) <= 20
    assert (part[0]["epoch"], part[-1]["epoch"]) == (100, 200)
    last = service.http.get(url, params={"after": 190, "until": 200, "limit": 5}).json()
    assert ([one["epoch"] for one in last["items"]], last["next_after"]) == ([191, 192, 193, 194, 195], 195)
    assert service.http.get(url, params={"after": 195, "until": 200}).json()["next_after"] is None
    assert service.http.get(url, params={"after": 200, "until": 100, "max_points": 20}).json()["items"] == []
    table = service.http.get(url, headers={"Accept": "text/csv"}).text.splitlines()
    assert len(table) == 251
    cut = service.http.get(url, params={"until": 9}, headers={"Accept": "text/csv"}).text.splitlines()
    assert cut == table[:10]
    assert table[0].startswith("epoch,train_loss,validation_loss,accuracy,")


def test_lists_have_pages_and_filters(service: Service, penguins: str) -> None:
    ids = [
        service.submit(dataset_id=penguins, target="sex", tags={"team": team}, training={"epochs": 1})["id"]
        for team in ("botany", "zoology", "botany")
    ]
    for job_id in ids:
        service.wait(job_id)
    tagged = service.http.get("/v1/jobs", params={"tag": "team:botany"}).json()
    assert [job["id"] for job in tagged["items"]] == [ids[2], ids[0]]
    first = service.http.get("/v1/jobs", params={"limit": 2, "status": "succeeded"}).json()
    second = service.http.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["items"]] == [ids[2], ids[1]]
    assert second["items"][0]["id"] == ids[0]
    assert service.http.get("/v1/jobs", params={"tag": "team:nobody"}).json() == {"items": [], "next_cursor": None}
    problem(service.http.get("/v1/jobs", params={"limit": 1000}), 422, "invalid_request")
    for room in ("datasets", "models"):
        page = service.http.get(f"/v1/{room}", params={"limit": 1}).json()
        assert len(page["items"]) == 1


def test_what_a_client_has_already_is_not_sent_again(service: Service, penguins: str) -> None:
    job = service.wait(service.submit(dataset_id=penguins, target="species", training={"epochs": 1})["id"])
    for url in (
        f"/v1/jobs/{job['id']}",
        f"/v1/datasets/{penguins}",
        f"/v1/models/{job['model_id']}",
        f"/v1/models/{job['model_id']}/weights",
        f"/v1/models/{job['model_id']}/weights?format=json",
        f"/v1/datasets/{penguins}/content",
    ):
        etag = service.http.get(url).headers["etag"]
        again = service.http.get(url, headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b""), url
        assert again.headers["etag"] == etag
        assert service.http.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_weights_come_by_accept_and_nothing_else_is_promised(service: Service, penguins: str) -> None:
    job = service.wait(service.submit(dataset_id=penguins, target="species", training={"epochs": 1})["id"])
    url = f"/v1/models/{job['model_id']}/weights"
    assert service.http.get(url, headers={"Accept": "application/json"}).json()["layers"]
    assert service.http.get(url).content[:2] == b"PK"
    assert service.http.get(url).headers["content-disposition"] == 'attachment; filename="species-from-penguins.npz"'
    problem(service.http.get(url, headers={"Accept": "image/png"}), 406, "not_acceptable")
    refused = problem(service.http.get(url, params={"format": "pickle"}), 422, "invalid_request")
    assert refused["errors"][0]["allowed"] == ["npz", "safetensors", "onnx", "json"]


def test_a_deleted_model_is_gone_with_its_files(service: Service, penguins: str) -> None:
    job = service.wait(service.submit(dataset_id=penguins, target="species", training={"epochs": 1})["id"])
    url = f"/v1/models/{job['model_id']}"
    service.weights(job["model_id"], "json")
    assert service.http.delete(url).status_code == 204
    problem(service.http.get(url), 404, "not_found")
    assert not list(service.data_dir.glob(f"blobs/**/{job['model_id']}*"))


def test_the_same_key_gives_the_first_answer_again(service: Service, penguins: str) -> None:
    body = {"dataset_id": penguins, "target": "species", "training": {"epochs": 1}}
    headers = {"Idempotency-Key": "once-only"}
    first = service.http.post("/v1/jobs", json=body, headers=headers)
    again = service.http.post("/v1/jobs", json=body, headers=headers)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Location"] == first.headers["Location"]
    problem(service.http.post("/v1/jobs", json={**body, "name": "x"}, headers=headers), 422, "idempotency_key_reused")


def test_the_same_key_at_once_makes_one_job(service: Service, penguins: str) -> None:
    body = {"dataset_id": penguins, "target": "species", "tags": {"race": "one"}, "training": {"epochs": 1}}

    def submit(_: int) -> str:
        answer = service.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "raced"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(submit, range(16)))
    assert len(ids) == 1
    assert len(service.http.get("/v1/jobs", params={"tag": "race:one"}).json()["items"]) == 1


def test_the_same_key_makes_one_dataset(service: Service) -> None:
    headers = {"Idempotency-Key": "one-dataset"}
    answers = [
        service.http.post("/v1/datasets", params={"name": "a.csv"}, content=b"a,b\n1,2\n3,4\n", headers=headers)
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    other = service.http.post("/v1/datasets", params={"name": "a.csv"}, content=b"a,b\n1,2\n", headers=headers)
    problem(other, 422, "idempotency_key_reused")


def test_every_answer_has_a_request_id(service: Service) -> None:
    assert service.http.get("/healthz").headers["X-Request-Id"].startswith("req_")
    sent = {"X-Request-Id": "mine-42"}
    assert service.http.get("/v1/jobs/job_none", headers=sent).headers["X-Request-Id"] == "mine-42"


@pytest.mark.parametrize("seed", [None, 7])
def test_the_seed_that_was_drawn_is_told(service: Service, penguins: str, seed: int | None) -> None:
    training = {"epochs": 1, "seed": seed}
    drawn = service.submit(dataset_id=penguins, target="species", training=training)["resolved"]["training"]["seed"]
    assert drawn == seed if seed is not None else isinstance(drawn, int)


def test_every_fault_of_a_job_is_told_at_once(service: Service, penguins: str) -> None:
    answer = service.http.post(
        "/v1/jobs",
        json={
            "dataset_id": penguins,
            "target": 3,
            "colour": "red",
            "network": {"hidden_layers": [0, {"units": 4, "activation": "tahn"}]},
            "training": {"epochs": 0, "optimizer": {"name": "adm"}, "batch_size": "all"},
        },
    )
    body = problem(answer, 422, "invalid_request")
    assert pointers(body) == {
        "/target",
        "/colour",
        "/network/hidden_layers/0",
        "/network/hidden_layers/1/activation",
        "/training/epochs",
        "/training/optimizer/name",
        "/training/batch_size",
    }
    allowed = {error["pointer"]: error["allowed"] for error in body["errors"]}
    assert "tanh" in allowed["/network/hidden_layers/1/activation"]
    assert "adam" in allowed["/training/optimizer/name"]


def test_rows_count_by_their_column_and_their_class(service: Service) -> None:
    """A row that counts nothing might as well not be there."""
    rows = [(i % 7, i % 5, int(i % 7 > 3)) for i in range(40)]
    noise = [(i % 7, i % 5, int(i % 7 <= 3)) for i in range(40)]
    weighted = "a,b,y,w\n" + "".join(f"{a},{b},{y},1\n" for a, b, y in rows)
    weighted += "".join(f"{a},{b},{y},0\n" for a, b, y in noise)
    dataset = service.upload(weighted.encode())["id"]
    job = {
        "dataset_id": dataset,
        "target": "y",
        "validation": None,
        "training": {"epochs": 300, "batch_size": "full", "optimizer": {"name": "adam", "learning_rate": 0.05}},
        "network": {"hidden_layers": [8]},
    }
    without = service.wait(service.submit(**job, features=["a", "b"])["id"])
    by_column = service.wait(service.submit(**job, sample_weight="w")["id"])
    assert by_column["resolved"]["features"] == ["a", "b"]
    assert without["latest"]["train_loss"] > 0.6, "the noise contradicts the rows"
    assert by_column["latest"]["train_loss"] < 0.05
    by_class = service.submit(**job, class_weight={"1": 2.0})
    assert by_class["resolved"]["class_weight"] == {"0": 1.0, "1": 2.0}
    assert service.wait(by_class["id"])["status"] == "succeeded"
    refused = service.http.post("/v1/jobs", json={**job, "class_weight": {"2": 2.0}, "sample_weight": "z"})
    assert "/sample_weight" in pointers(problem(refused, 422, "invalid_request"))
