"""What is stored as files lives in a bucket, and every machine needs only the addresses of database and bucket."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.blocks import run_by
from tests.s3 import Machines, Store, machines, store_in
from tests.service import PENGUINS, ROOT, Service, problem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

JOB: dict[str, Any] = {
    "target": "species",
    "network": {"hidden_layers": [16], "activation": "tanh"},
    "training": {"epochs": 60, "batch_size": 24, "seed": 5, "early_stopping": {"patience": 100}},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store_in(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def both(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines(tmp_path_factory.mktemp("machines"), store) as made:
        yield made.start()


def table(name: str) -> bytes:
    """Make bytes that no other test has."""
    return PENGUINS.read_bytes() + f"Adelie,{name},39.1,18.7,181,3750,male,2007\n".encode()


def files_below(service: Service) -> set[str]:
    folder = service.data_dir / "blobs"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def trained(both: Machines, content: bytes, **job: Any) -> dict[str, Any]:
    dataset = both.api.upload(content, "penguins.csv")["id"]
    ended = both.api.wait(both.api.submit(dataset_id=dataset, **{**JOB, **job})["id"])
    assert (ended["status"], ended["error"]) == ("succeeded", None)
    return ended


def test_a_job_is_trained_where_nothing_was_uploaded_and_comes_out_the_same(both: Machines, service: Service) -> None:
    """One machine takes the dataset, another trains on it, the first one gives the weights; every bit as from a folder."""
    ended = trained(both, PENGUINS.read_bytes())
    here = service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    expected = service.wait(service.submit(dataset_id=here, **JOB)["id"])
    for format in ("npz", "safetensors", "json", "onnx"):
        ours = both.api.weights(ended["model_id"], format)
        if format == "npz":
            assert ours == service.weights(expected["model_id"], format)
            stored = both.api.http.get(f"/v1/models/{ended['model_id']}").json()["sha256"]
            assert hashlib.sha256(ours).hexdigest() == stored
        assert ours == both.store.content(f"models/{ended['model_id']}/1/weights.{format}")
    for which in ("best", "latest"):
        answers = [
            one.http.get(f"/v1/models/{model}/weights", params={"which": which}).content
            for one, model in ((both.api, ended["model_id"]), (service, expected["model_id"]))
        ]
        assert answers[0] == answers[1]
    history = [(row["epoch"], row["train_loss"], row["validation_loss"]) for row in both.api.history(ended["id"])]
    assert history == [
        (row["epoch"], row["train_loss"], row["validation_loss"]) for row in service.history(expected["id"])
    ]


def test_a_third_machine_serves_what_the_others_stored(both: Machines) -> None:
    content = table("third")
    ended = trained(both, content)
    dataset, model = ended["resolved"]["dataset_id"], ended["model_id"]
    third = both.machine("c")
    third.start_api()
    assert third.http.get(f"/v1/datasets/{dataset}/content").content == content
    assert third.http.get(f"/v1/datasets/{dataset}/rows?limit=1").json()["items"]
    assert third.weights(model) == both.api.weights(model)
    for asked in ({"dataset_id": dataset}, {"dataset_id": dataset, "limit": 3}):
        verb = "losses" if "limit" in asked else "evaluate"
        answers = [one.http.post(f"/v1/models/{model}/{verb}", json=asked) for one in (third, both.api)]
        assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
        assert answers[0].json() == answers[1].json()
    row = {"island": "Biscoe", "bill_length_mm": 47.5, "flipper_length_mm": 217, "sex": None}
    asked = {"rows": [row | {"bill_depth_mm": 15.0, "body_mass_g": 5000, "year": 2008}]}
    answers = [one.http.post(f"/v1/models/{model}/predict", json=asked).json() for one in (third, both.api)]
    assert answers[0] == answers[1]


def test_what_is_deleted_leaves_nothing_in_the_bucket_and_on_no_machine_that_deletes(both: Machines) -> None:
    before, here = both.store.objects(), files_below(both.api)
    ended = trained(both, table("deleted"))
    both.api.weights(ended["model_id"], "onnx")
    layer = {"weight": np.ones((1, 2)).tolist(), "bias": [0.5]}
    sent = {"task": "regression", "inputs": ["a", "b"], "targets": ["c"], "layers": [layer]}
    uploaded = both.api.http.post("/v1/models", json=sent).json()["id"]
    new = both.store.objects() - before
    assert {key.split("/")[0] for key in new} == {"content", "datasets", "models"}
    for url in (
        f"/v1/models/{uploaded}",
        f"/v1/models/{ended['model_id']}",
        f"/v1/jobs/{ended['id']}",
        f"/v1/datasets/{ended['resolved']['dataset_id']}",
    ):
        assert both.api.http.delete(url).status_code == 204
    assert both.store.objects() == before
    assert files_below(both.api) == here


def test_equal_bytes_are_one_object_until_the_last_dataset_is_gone(both: Machines) -> None:
    content = table("shared")
    key = f"content/{hashlib.sha256(content).hexdigest()}"
    first, second = (both.api.upload(content, "shared.csv")["id"] for _ in range(2))
    assert both.api.http.delete(f"/v1/datasets/{first}").status_code == 204
    assert both.store.content(key) == content
    third = both.machine("d")
    third.start_api()
    assert third.http.delete(f"/v1/datasets/{second}").status_code == 204
    assert key not in both.store.objects()
    again = both.api.upload(content, "shared.csv")["id"]
    assert both.store.content(key) == content, "a copy that is here does not keep it from being stored again"
    assert third.http.get(f"/v1/datasets/{again}/content").content == content


def test_an_upload_in_pieces_ends_in_the_bucket(both: Machines) -> None:
    content = table("pieces")
    upload = both.api.http.post("/v1/uploads", json={"name": "pieces.csv"}).json()["id"]
    for start in range(0, len(content), 6000):
        piece = content[start : start + 6000]
        sent = both.api.http.patch(f"/v1/uploads/{upload}", headers={"Upload-Offset": str(start)}, content=piece)
        assert sent.status_code == 200, sent.text
    made = both.api.http.post(f"/v1/uploads/{upload}/complete").json()
    assert both.store.content(f"content/{made['sha256']}") == content
    assert not any("upload" in key for key in both.store.objects())


def test_a_damaged_copy_is_fetched_again_and_never_used(both: Machines) -> None:
    ended = trained(both, table("damaged copy"))
    dataset, model = ended["resolved"]["dataset_id"], ended["model_id"]
    expected = both.api.weights(model)
    for service, key in (
        (both.trains, f"datasets/{dataset}/table.arrow"),
        (both.api, f"datasets/{dataset}/table.arrow"),
        (both.api, f"models/{model}/1/weights.npz"),
    ):
        path = service.data_dir / "blobs" / key
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert both.api.weights(model) == expected
    again = both.api.wait(both.api.submit(dataset_id=dataset, **JOB)["id"])
    assert both.api.weights(again["model_id"]) == expected
    assert (both.trains.data_dir / "blobs" / f"datasets/{dataset}/table.arrow").read_bytes() == both.store.content(
        f"datasets/{dataset}/table.arrow"
    )


def test_a_damaged_object_is_told_by_name_and_nothing_is_made_of_it(both: Machines) -> None:
    ended = trained(both, table("damaged object"))
    dataset, model = ended["resolved"]["dataset_id"], ended["model_id"]
    both.api.weights(model, "onnx")
    both.store.damage(f"datasets/{dataset}/table.arrow")
    both.store.damage(f"content/{hashlib.sha256(table('damaged object')).hexdigest()}")
    both.store.damage(f"models/{model}/1/weights.npz")
    both.store.damage(f"models/{model}/1/weights.onnx")
    (both.trains.data_dir / "blobs" / f"datasets/{dataset}/table.arrow").unlink()
    failed = both.api.wait(both.api.submit(dataset_id=dataset, **JOB)["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "storage_error")
    assert both.api.history(failed["id"]) == []
    third = both.machine("e")
    third.start_api()
    problem(third.http.get(f"/v1/datasets/{dataset}/rows"), 500, "damaged_file")
    problem(third.http.get(f"/v1/datasets/{dataset}/content"), 500, "damaged_file")
    problem(third.http.get(f"/v1/models/{model}/weights"), 409, "export_failed")
    assert both.api.http.get(f"/v1/datasets/{dataset}/rows").status_code == 200, "the copy here is whole"


def examined(environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "app.doctor"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    found = {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}
    return dict(found["blobs"])


def test_the_doctor_looks_at_the_bucket(both: Machines) -> None:
    before = both.store.objects()
    environment = both.api.environment
    assert examined(environment)["status"] == "ok"
    assert both.store.objects() == before
    missing = examined(environment | {"DESCENT_BLOBS_URL": "s3://no-such-bucket"})
    assert (missing["status"], "bucket" in missing["helps"]) == ("bad", True)
    away = examined(environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert (away["status"], "AWS_ENDPOINT_URL" in away["helps"]) == ("bad", True)


def test_the_lines_of_the_page_find_database_and_bucket(both: Machines) -> None:
    (script,) = run_by("operations.md", __file__)
    environment = both.api.environment
    places = {
        "postgresql://descent@database.example/descent": environment["DESCENT_DATABASE_URL"],
        "s3://my-bucket/descent": environment["DESCENT_BLOBS_URL"],
        "http://minio.example:9000": environment["AWS_ENDPOINT_URL"],
        "descent doctor": f"{sys.executable} -m descent doctor --json",
    }
    for shown, ours in places.items():
        assert shown in script
        script = script.replace(shown, ours)
    plain = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=ROOT, env=plain, capture_output=True, text=True, check=True
    )
    found = {one["check"]: one["status"] for one in json.loads(done.stdout)}
    assert (found["database"], found["blobs"]) == ("ok", "ok")


def test_an_installation_moves_from_its_folder_into_a_bucket(store: Store, tmp_path: Path) -> None:
    """After which another machine has all of it, and the folder is no more than its copies."""
    folder, database = tmp_path / "here", f"sqlite:///{tmp_path / 'here' / 'descent.db'}"
    folder.mkdir()
    own = Service(folder, database, worker_slots="1")
    try:
        own.start()
        dataset = own.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
        model = own.wait(own.submit(dataset_id=dataset, **JOB)["id"])["model_id"]
        expected = own.weights(model)
    finally:
        own.close()
    into = {"DESCENT_BLOBS_URL": "s3://descent-test/some/where/moved", **store.environment}
    for n_files in ("3 files", "0 files"):
        command = [sys.executable, "-m", "app.fill_bucket"]
        done = subprocess.run(command, cwd=ROOT, env=own.environment | into, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(n_files), done.stdout
    (tmp_path / "there").mkdir()
    there = Service(tmp_path / "there", database)
    there.environment |= into
    try:
        there.start_api()
        assert there.weights(model) == expected
        assert there.http.get(f"/v1/datasets/{dataset}/content").content == PENGUINS.read_bytes()
        assert there.http.get(f"/v1/datasets/{dataset}/rows").status_code == 200
        assert there.http.delete(f"/v1/models/{model}").status_code == 204
    finally:
        there.close()
    assert not [key for key in store.objects() if key.startswith("moved/models/")]


def test_a_folder_elsewhere_is_named_by_url(tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    own = tmp_path / "own"
    own.mkdir()
    service = Service(own, f"sqlite:///{own / 'descent.db'}", blobs_url=elsewhere.as_uri())
    try:
        service.start_api()
        made = service.upload(PENGUINS.read_bytes(), "penguins.csv")
        assert (elsewhere / "content" / made["sha256"]).read_bytes() == PENGUINS.read_bytes()
        assert not (own / "blobs").exists()
    finally:
        service.close()
