"""Downloads of a trained model: every format at its address, checked, resumable, and never a file that is wrong."""

import io
import json
import re
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load

from app.errors import Unavailable
from app.services import exports
from app.store.session import Database
from app.store.tables import ModelRow
from tests.blocks import run_by
from tests.service import Service, pointers, problem

FORMATS = {
    "npz": "application/x-npz",
    "safetensors": "application/x-safetensors",
    "onnx": "application/x-onnx",
    "json": "application/json",
}


def trained(service: Service, dataset_id: str, **job: Any) -> dict[str, Any]:
    job = {"target": "species", "network": {"hidden_layers": [16]}, **job}
    job.setdefault("training", {"epochs": 40, "optimizer": {"name": "adam", "learning_rate": 0.01}})
    done = service.wait(service.submit(dataset_id=dataset_id, **job)["id"])
    assert done["status"] == "succeeded", done
    return dict(service.http.get(f"/v1/models/{done['model_id']}").json())


@pytest.fixture(scope="module")
def model(service: Service, penguins: str) -> dict[str, Any]:
    return trained(service, penguins, name="Vögel / no. 1")


def rows_of(service: Service, dataset_id: str, model: dict[str, Any], n: int = 300) -> list[dict[str, Any]]:
    rows = service.http.get(f"/v1/datasets/{dataset_id}/rows", params={"limit": n}).json()["items"]
    names = {one["name"] for one in model["preprocessing"]["inputs"]}
    return [{name: value for name, value in row.items() if name in names} for row in rows]


def predictions(service: Service, model: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(service.http.post(f"/v1/models/{model['id']}/predict", json={"rows": rows}).json()["predictions"])


def columns_of(session: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows as `docs/models.md` says."""
    columns = {}
    for one in session.get_inputs():
        values = [row[one.name] for row in rows]
        if one.type == "tensor(string)":
            columns[one.name] = np.array([["" if value is None else value] for value in values], object)
        else:
            columns[one.name] = np.array([[value] for value in values], np.float64)
    return columns


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_its_own_address_and_says_that_it_was_checked(
    service: Service, model: dict[str, Any], format: str
) -> None:
    answer = service.http.get(f"/v1/models/{model['id']}/weights.{format}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FORMATS[format]
    assert answer.headers["etag"] == f'"{sha256(answer.content).hexdigest()}"'
    both = f"attachment; filename=\"V_gel---no.-1.{format}\"; filename*=UTF-8''V%C3%B6gel---no.-1.{format}"
    assert answer.headers["content-disposition"] == both
    same = service.http.get(f"/v1/models/{model['id']}/weights", params={"format": format})
    by_accept = service.http.get(f"/v1/models/{model['id']}/weights", headers={"Accept": FORMATS[format]})
    assert answer.content == same.content == by_accept.content
    assert by_accept.headers["vary"] == "Accept"
    found = service.http.get(f"/v1/models/{model['id']}").json()["verified"]
    assert list(found) == list(FORMATS)
    assert found[format]["ok"]
    assert found[format]["n_rows"] == 64
    assert found[format]["max_difference"] <= (1e-5 if format == "onnx" else 0)


def test_a_model_is_not_said_to_be_checked_before_it_is(service: Service, penguins: str) -> None:
    fresh = trained(service, penguins, training={"epochs": 2})
    assert fresh["verified"] == dict.fromkeys(FORMATS)
    service.weights(fresh["id"], "safetensors")
    found = service.http.get(f"/v1/models/{fresh['id']}").json()["verified"]
    assert {format for format in FORMATS if found[format] is not None} == {"safetensors"}


def test_onnx_says_of_every_row_what_predict_says(service: Service, penguins: str, model: dict[str, Any]) -> None:
    rows = rows_of(service, penguins, model)
    assert any(None in row.values() for row in rows)
    rows += [{**rows[0], "island": "Atlantis"}, dict.fromkeys(rows[0])]
    session = onnxruntime.InferenceSession(service.weights(model["id"], "onnx"), providers=["CPUExecutionProvider"])
    value, probabilities = session.run(["value", "probabilities"], columns_of(session, rows))
    expected = predictions(service, model, rows)
    assert value.tolist() == [one["value"] for one in expected]
    np.testing.assert_allclose(probabilities, [list(one["probabilities"].values()) for one in expected], atol=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(expected[0]["probabilities"])


@pytest.mark.slow
@pytest.mark.parametrize("numeric", ["standardize", "minmax", "none"])
@pytest.mark.parametrize("missing", ["mean", "median", "constant", "drop_row"])
@pytest.mark.parametrize("categorical", ["one_hot", "ordinal", "drop"])
def test_onnx_agrees_with_every_way_to_prepare(
    service: Service, penguins: str, numeric: str, missing: str, categorical: str
) -> None:
    prepared = {"numeric": numeric, "missing": missing, "categorical": categorical}
    target = "sex" if missing == "mean" else "species"
    found = trained(service, penguins, target=target, preprocessing=prepared, training={"epochs": 1})
    rows = rows_of(service, penguins, found)
    if missing == "drop_row":
        rows = [row for row in rows if isinstance(row["body_mass_g"], int | float)]
    expected = predictions(service, found, rows)
    session = onnxruntime.InferenceSession(service.weights(found["id"], "onnx"), providers=["CPUExecutionProvider"])
    value, probabilities = session.run(["value", "probabilities"], columns_of(session, rows))
    assert value.tolist() == [one["value"] for one in expected]
    np.testing.assert_allclose(probabilities, [list(one["probabilities"].values()) for one in expected], atol=1e-5)


def test_onnx_of_a_regression_with_times_and_truth_values_is_in_the_unit_of_its_column(service: Service) -> None:
    lines = ["when,open,size,price"]
    lines += [
        f"2024-0{1 + i % 9}-11T10:{i % 60:02}:00Z,{('true', 'false', '')[i % 3]},{1e9 + i},{1e6 + 40 * i}"
        for i in range(200)
    ]
    dataset = service.upload("\n".join(lines).encode(), "prices.csv")["id"]
    found = trained(service, dataset, target="price", network={"hidden_layers": [8], "activation": "softplus"})
    rows = rows_of(service, dataset, found)
    expected = [one["value"] for one in predictions(service, found, rows)]
    session = onnxruntime.InferenceSession(service.weights(found["id"], "onnx"), providers=["CPUExecutionProvider"])
    times = np.array([row["when"].removesuffix("Z") for row in rows], "datetime64[us]").astype(np.int64) / 1e6
    columns = columns_of(session, [{**row, "when": time} for row, time in zip(rows, times, strict=True)])
    (value,) = session.run(["value"], columns)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert np.ptp(value) > 100


def test_safetensors_and_json_have_the_bits_of_the_npz(service: Service, model: dict[str, Any]) -> None:
    with np.load(io.BytesIO(service.weights(model["id"])), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    tensors = load(service.weights(model["id"], "safetensors"))
    layers = json.loads(service.weights(model["id"], "json"))["layers"]
    assert tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        _, i, part = name.split(".")
        assert tensors[name].tobytes() == array.tobytes() == np.array(layers[int(i)][part], np.float32).tobytes()


def test_best_and_latest_are_the_weights_of_their_epochs(service: Service, penguins: str) -> None:
    # A learning rate that is far too large: the last epoch is not the best one.
    training = {"epochs": 25, "optimizer": {"name": "adam", "learning_rate": 0.3}, "seed": 4}
    found = trained(service, penguins, training=training)
    versions = found["versions"]
    history = service.history(found["job_id"])
    best = min(history, key=lambda epoch: epoch["validation_loss"])["epoch"]
    assert (versions["best"]["epoch"], versions["latest"]["epoch"]) == (best, 25)
    assert best < 25
    restored = trained(
        service, penguins, training={**training, "early_stopping": {"monitor": "validation_loss", "patience": 25}}
    )
    assert restored["epoch"] == best
    contents = {}
    for which in ("best", "latest"):
        for format in FORMATS:
            parameters = {"which": which, "format": format}
            answer = service.http.get(f"/v1/models/{found['id']}/weights", params=parameters)
            twin = service.http.get(f"/v1/models/{restored['id']}/weights", params=parameters)
            assert answer.status_code == 200
            assert answer.content == twin.content, "it is the same training; only what is the model's own differs"
            assert f".{which}.{format}" in answer.headers["content-disposition"]
            contents[which, format] = answer.content
        assert sha256(contents[which, "npz"]).hexdigest() == versions[which]["sha256"]
    assert contents["latest", "npz"] == service.weights(found["id"])
    assert contents["best", "npz"] == service.weights(restored["id"])
    assert contents["best", "onnx"] == service.weights(restored["id"], "onnx")
    assert contents["best", "onnx"] != contents["latest", "onnx"]
    after = service.http.get(f"/v1/models/{found['id']}").json()
    assert after["versions"]["latest"]["verified"] == after["verified"]
    assert all(one["ok"] for one in after["versions"]["best"]["verified"].values())


def test_a_download_that_broke_off_goes_on(service: Service, model: dict[str, Any]) -> None:
    address = f"/v1/models/{model['id']}/weights.onnx"
    whole = service.http.get(address)
    etag = whole.headers["etag"]
    first = service.http.get(address, headers={"Range": "bytes=0-99"})
    rest = service.http.get(address, headers={"Range": "bytes=100-", "If-Range": etag})
    assert (first.status_code, rest.status_code) == (206, 206)
    assert rest.headers["content-range"] == f"bytes 100-{len(whole.content) - 1}/{len(whole.content)}"
    assert first.content + rest.content == whole.content
    other = service.http.get(address, headers={"Range": "bytes=100-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole.content), "the file is another one: all of it"
    assert service.http.get(address, headers={"If-None-Match": etag}).status_code == 304
    assert service.http.get(address, headers={"If-None-Match": '"another"'}).status_code == 200
    problem(service.http.get(address, headers={"Range": "bytes=99999999-"}), 416, "requested_range_not_satisfiable")


def test_what_there_is_not_is_a_problem(service: Service, model: dict[str, Any]) -> None:
    address = f"/v1/models/{model['id']}/weights"
    body = problem(service.http.get(address, params={"format": "pickle"}), 422, "invalid_request")
    assert body["errors"][0]["allowed"] == list(FORMATS)
    body = problem(service.http.get(address, params={"which": "worst"}), 422, "invalid_request")
    assert pointers(body) == {"?which"}
    problem(service.http.get(address + ".pickle"), 404, "not_found")
    problem(service.http.get(address, headers={"Accept": "text/html"}), 406, "not_acceptable")
    for path in ("weights", "weights.onnx", "card"):
        problem(service.http.get(f"/v1/models/model_none/{path}"), 404, "not_found")


def test_a_file_that_changed_on_the_disk_is_not_handed_out(service: Service, penguins: str) -> None:
    found = trained(service, penguins, training={"epochs": 2})
    folder = service.data_dir / "blobs" / "models" / found["id"]
    right = {format: service.weights(found["id"], format) for format in FORMATS}

    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    for format in ("onnx", "safetensors", "json"):
        spoil(folder / f"weights.{format}")
        assert service.weights(found["id"], format) == right[format], "it is written anew"
    spoil(folder / "weights.npz")
    (folder / "weights.onnx").unlink()
    for format in ("npz", "onnx"):
        body = problem(service.http.get(f"/v1/models/{found['id']}/weights.{format}"), 409, "export_failed")
        assert "damaged" in body["detail"]
    (folder / "weights.npz").write_bytes(right["npz"])
    assert service.weights(found["id"], "onnx") == right["onnx"]


def change_row(service: Service, model_id: str, **changes: Any) -> None:
    url = service.environment.get("DESCENT_DATABASE_URL") or f"sqlite:///{service.data_dir.resolve() / 'descent.db'}"
    with Database(url).transaction() as session:
        row = session.get(ModelRow, model_id)
        for name, value in changes.items():
            setattr(row, name, value)


def test_a_file_that_does_not_say_what_the_engine_says_is_never_handed_out(service: Service, penguins: str) -> None:
    found = trained(service, penguins, training={"epochs": 2})
    change_row(service, found["id"], dtype="float64")  # and so the stored file is not what the model is said to be
    for _ in range(2):
        body = problem(service.http.get(f"/v1/models/{found['id']}/weights.npz"), 409, "export_failed")
        assert "engine" in body["detail"]
    verified = service.http.get(f"/v1/models/{found['id']}").json()["verified"]
    assert verified["npz"]["ok"] is False
    assert "| WRONG: numpy" in service.http.get(f"/v1/models/{found['id']}/card").text
    change_row(service, found["id"], dtype="float32")
    service.weights(found["id"])
    assert service.http.get(f"/v1/models/{found['id']}").json()["verified"]["npz"]["ok"] is True


def test_a_model_from_before_these_files_has_its_own_weights_in_every_format(service: Service, penguins: str) -> None:
    found = trained(service, penguins, training={"epochs": 2})
    change_row(service, found["id"], versions=None, exports=None, training=None, dataset_sha256=None)
    assert service.http.get(f"/v1/models/{found['id']}").json()["versions"] is None
    for format in FORMATS:
        service.weights(found["id"], format)
    address = f"/v1/models/{found['id']}/weights.onnx"
    problem(service.http.get(address, params={"which": "best"}), 404, "version_not_kept")
    assert "not known" in service.http.get(f"/v1/models/{found['id']}/card").text


def test_who_waits_too_long_for_other_checks_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "TURN_S", 0.01)
    with exports._turn(), pytest.raises(Unavailable), exports._turn():
        pass
    with exports._turn():
        pass


def test_many_who_ask_at_once_for_a_new_file_get_the_same(service: Service, penguins: str) -> None:
    found = trained(service, penguins, training={"epochs": 2})
    answers: list[httpx.Response] = []

    def ask(format: str) -> None:
        answers.append(httpx.get(service.http.base_url.join(f"/v1/models/{found['id']}/weights.{format}"), timeout=60))

    threads = [threading.Thread(target=ask, args=(format,)) for format in [*FORMATS] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 16
    assert len({answer.headers["etag"] for answer in answers}) == 4
    verified = service.http.get(f"/v1/models/{found['id']}").json()["verified"]
    assert all(verified[format]["ok"] for format in FORMATS), "none of the notes is lost"


def test_a_deleted_model_leaves_no_file(service: Service, penguins: str) -> None:
    found = trained(service, penguins, training={"epochs": 3, "optimizer": {"name": "adam", "learning_rate": 1.0}})
    for format in FORMATS:
        service.weights(found["id"], format)
        assert (
            service.http.get(f"/v1/models/{found['id']}/weights.{format}", params={"which": "best"}).status_code == 200
        )
    folder = service.data_dir / "blobs" / "models" / found["id"]
    assert folder.exists()
    assert service.http.delete(f"/v1/models/{found['id']}").status_code == 204
    assert not folder.exists()


def test_a_model_can_be_had_after_its_dataset_is_gone(service: Service) -> None:
    lines = ["a,b,kind"] + [f"{i},{i * i % 7},{'xy'[i % 2]}" for i in range(40)]
    dataset = service.upload("\n".join(lines).encode(), "gone.csv")
    found = trained(service, dataset["id"], target="kind", training={"epochs": 2})
    assert service.http.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    service.weights(found["id"], "onnx")
    checked = service.http.get(f"/v1/models/{found['id']}").json()
    assert (checked["verified"]["onnx"]["ok"], checked["verified"]["onnx"]["n_rows"]) == (True, 32)
    assert checked["dataset_sha256"] == dataset["sha256"]


def test_the_card_tells_data_network_training_metrics_and_files(service: Service, penguins: str) -> None:
    found = trained(service, penguins, name="<b>*my*</b>|birds", training={"epochs": 3, "seed": 77})
    service.weights(found["id"], "onnx")
    answer = service.http.get(f"/v1/models/{found['id']}/card")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    card = answer.text
    assert card.startswith("# &lt;b&gt;\\*my\\*&lt;/b&gt;\\|birds\n")
    dataset = service.http.get(f"/v1/datasets/{penguins}").json()
    for wanted in (
        dataset["sha256"],
        found["sha256"],
        "| seed | 77 |",
        "| optimizer.name | adam |",
        "nn.Linear(10, 16)",
    ):
        assert wanted in card
    assert re.search(r"\| accuracy \| 0\.\d+ \|", card)
    assert re.search(r"\| onnx \| \S+ \| right: onnxruntime [\d.]+, 64 rows, largest difference \d\.\de-\d\d \|", card)
    assert "| numpy | 2." in card
    again = service.http.get(f"/v1/models/{found['id']}/card", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_blocks_of_the_documentation_run(
    service: Service, penguins: str, model: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = run_by("models.md", __file__)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    for format in ("npz", "onnx"):
        Path(f"model.{format}").write_bytes(service.weights(model["id"], format))
    onnx: dict[str, Any] = {}
    exec(blocks[0], onnx)
    (expected,) = predictions(service, model, onnx["rows"])
    assert onnx["value"].tolist() == [expected["value"]]
    assert onnx["classes"] == list(expected["probabilities"])
    probabilities = list(expected["probabilities"].values())
    np.testing.assert_allclose(onnx["probabilities"], [probabilities], atol=1e-5)

    row: list[float] = []
    for column in model["preprocessing"]["inputs"]:
        value = onnx["rows"][0][column["name"]]
        if column["encoding"] == "one_hot":
            row += [float(value == category) for category in column["categories"]]
        else:
            row.append(((column["fill"] if value is None else value) - column["offset"]) / column["scale"])
    plain: dict[str, Any] = {"x": np.array([row], np.float32)}
    exec(blocks[1], plain)
    np.testing.assert_allclose(plain["probabilities"], [probabilities], atol=1e-5)
