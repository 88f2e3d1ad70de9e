"""A network that was trained elsewhere is served, and trained on, as if it had been trained here."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service import Service, pointers, problem

NETWORK = {"hidden_layers": [{"units": 5, "batch_norm": True}, {"units": 4, "activation": "tanh"}]}
SPEC = {"task": "classification", "inputs": ["a", "b", "c"], "classes": ["no", "perhaps", "yes"], "network": NETWORK}
ROWS = np.random.default_rng(9).normal(size=(20, 3)).round(3)


def state_dict(dtype: str = "float32") -> dict[str, np.ndarray]:
    """What PyTorch gives of Sequential(Linear(3, 5), BatchNorm1d(5), ReLU(), Linear(5, 4), Tanh(), Linear(4, 3))."""
    draw = np.random.default_rng(8).normal
    shapes = {
        "0.weight": (5, 3),
        "0.bias": (5,),
        **{f"1.{name}": (5,) for name in ("weight", "bias", "running_mean", "running_var")},
        "3.weight": (4, 5),
        "3.bias": (4,),
        "5.weight": (3, 4),
        "5.bias": (3,),
    }
    arrays = {name: draw(size=shape).astype(dtype) for name, shape in shapes.items()}
    arrays["1.running_var"] = np.abs(arrays["1.running_var"]) + np.asarray(0.5, dtype)
    return {**arrays, "1.num_batches_tracked": np.array(3)}


def by_hand(state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The probabilities, written down as the layers say."""
    s = {name: array.astype(np.float64) for name, array in state.items()}
    z = x @ s["0.weight"].T + s["0.bias"]
    z = (z - s["1.running_mean"]) / np.sqrt(s["1.running_var"] + 1e-5) * s["1.weight"] + s["1.bias"]
    z = np.tanh(np.maximum(z, 0) @ s["3.weight"].T + s["3.bias"]) @ s["5.weight"].T + s["5.bias"]
    odds = np.exp(z - z.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def in_our_names(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    places = {"0": "layers.0", "1": "layers.0.batch_norm", "3": "layers.1", "5": "layers.2"}
    return {
        f"{places[name[0]]}{name[1:]}": array for name, array in state.items() if not name.endswith("batches_tracked")
    }


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def post(service: Service, spec: dict[str, Any], content: bytes, **headers: str) -> httpx.Response:
    form = {"model": (None, json.dumps(spec)), "file": ("weights", content)}
    return service.http.post("/v1/models", files=form, headers=headers)


def upload(service: Service, spec: dict[str, Any], content: bytes) -> dict[str, Any]:
    answer = post(service, spec, content)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def predict(service: Service, model_id: str, body: dict[str, Any]) -> list[Any]:
    answer = service.http.post(f"/v1/models/{model_id}/predict", json=body)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["predictions"])


FILES = {
    "safetensors of PyTorch": lambda: safetensors.numpy.save(state_dict()),
    "npz of PyTorch": lambda: npz(state_dict()),
    "safetensors in our names": lambda: safetensors.numpy.save(in_our_names(state_dict())),
    "npz in our names": lambda: npz(in_our_names(state_dict())),
}


@pytest.mark.parametrize("name", FILES)
def test_a_network_from_elsewhere_predicts_what_it_predicted_there(service: Service, name: str) -> None:
    model = upload(service, SPEC, FILES[name]())
    assert (model["job_id"], model["dataset_id"], model["metrics"], model["links"]["job"]) == (None, None, None, None)
    assert (model["epoch"], model["dtype"], model["network"]["output_activation"]) == (0, "float32", "softmax")
    assert model["environment"]["source"] == "upload"
    expected = by_hand(state_dict(), ROWS)
    for body in ({"inputs": ROWS.tolist()}, {"rows": [dict(zip("abc", row, strict=True)) for row in ROWS.tolist()]}):
        predictions = predict(service, model["id"], body)
        found = [[one["probabilities"][name] for name in SPEC["classes"]] for one in predictions]
        np.testing.assert_allclose(found, expected, atol=2e-6)
        assert [one["value"] for one in predictions] == [SPEC["classes"][best] for best in expected.argmax(axis=1)]


def test_an_upload_is_answered_listed_downloaded_and_deleted_like_any_model(service: Service) -> None:
    answer = post(service, {**SPEC, "name": "from elsewhere"}, npz(state_dict()))
    model = answer.json()
    assert answer.headers["Location"] == f"/v1/models/{model['id']}" == model["links"]["self"]
    assert service.http.get(model["links"]["self"]).json() == model
    assert service.http.get("/v1/models", params={"limit": 1}).json()["items"] == [model]
    with np.load(io.BytesIO(service.weights(model["id"]))) as archive:
        for name, array in in_our_names(state_dict()).items():
            np.testing.assert_array_equal(archive[name], array, strict=True)
    assert service.http.delete(model["links"]["self"]).status_code == 204
    assert service.http.get(model["links"]["self"]).status_code == 404
    assert not list((service.data_dir / "blobs" / "models").glob(model["id"]))


@pytest.mark.parametrize(
    ("sent", "asked", "dtype"),
    [("float64", None, "float64"), ("float16", None, "float32"), ("float64", "float32", "float32")],
)
def test_the_precision_is_that_of_the_weights_or_as_asked(
    service: Service, sent: str, asked: str | None, dtype: str
) -> None:
    state = state_dict(sent)
    model = upload(service, {**SPEC, "dtype": asked}, safetensors.numpy.save(state))
    assert model["dtype"] == dtype
    with np.load(io.BytesIO(service.weights(model["id"]))) as archive:
        np.testing.assert_array_equal(archive["layers.0.weight"], state["0.weight"].astype(dtype), strict=True)


def test_what_is_downloaded_can_be_uploaded_again(service: Service, penguins: str) -> None:
    """As JSON and as npz, from a network that was trained here: the same bits, and the same predictions."""
    trained = service.wait(
        service.submit(
            dataset_id=penguins,
            target="sex",
            features=["bill_length_mm", "bill_depth_mm"],
            preprocessing={"numeric": "none", "missing": "drop_row"},
            network={"hidden_layers": [6]},
            training={"epochs": 5},
        )["id"]
    )
    model_id, inputs = trained["model_id"], ["bill_length_mm", "bill_depth_mm"]
    classes = trained["resolved"]["classes"]
    spec = {"task": "classification", "inputs": inputs, "classes": classes, "network": {"hidden_layers": [6]}}
    layers = json.loads(service.weights(model_id, "json"))
    by_json = service.http.post("/v1/models", json={**spec, **layers})
    assert by_json.status_code == 201, by_json.text
    body = {"inputs": [[40.0, 17.0], [50.5, 19.25]]}
    for model in (by_json.json(), upload(service, spec, service.weights(model_id))):
        assert model["network"]["output_activation"] == "sigmoid"
        assert service.weights(model["id"]) == service.weights(model_id)
        assert predict(service, model["id"], body) == predict(service, model_id, body)


def test_a_regression_gives_the_numbers_of_its_outputs(service: Service) -> None:
    spec = {"task": "regression", "n_inputs": 2, "targets": ["u", "v"]}
    answer = service.http.post("/v1/models", json={**spec, "layers": [{"weight": [[1, 2], [3, -4]], "bias": [0.5, 0]}]})
    assert predict(service, answer.json()["id"], {"rows": [{"x0": 1, "x1": 10}]}) == [
        {"value": [21.5, -37.0], "probabilities": None}
    ]


def test_a_training_goes_on_from_a_network_from_elsewhere(service: Service) -> None:
    rows = "".join(f"{a},{b},{c},{['no', 'perhaps', 'yes'][i % 3]}\n" for i, (a, b, c) in enumerate(ROWS))
    dataset = service.upload(f"a,b,c,answer\n{rows}".encode())["id"]
    model = upload(service, SPEC, safetensors.numpy.save(state_dict()))
    job: dict[str, Any] = {"dataset_id": dataset, "target": "answer", "network": NETWORK, "validation": None}
    job |= {"preprocessing": {"numeric": "none"}, "initial_weights": {"model_id": model["id"]}}
    job |= {"training": {"epochs": 1, "optimizer": {"name": "adam", "learning_rate": 1e-9}}}
    done = service.wait(service.submit(**job)["id"])
    assert done["status"] == "succeeded"
    said = done["resolved"]["initial_weights"]
    assert (said["model_id"], said["sha256"]) == (model["id"], model["sha256"])
    with np.load(io.BytesIO(service.weights(done["model_id"]))) as archive:
        np.testing.assert_allclose(archive["layers.2.weight"], state_dict()["5.weight"], atol=1e-7)


def test_the_same_key_uploads_once(service: Service) -> None:
    content = npz(state_dict())
    first = post(service, SPEC, content, **{"Idempotency-Key": "a foreign model"})
    again = post(service, SPEC, content, **{"Idempotency-Key": "a foreign model"})  # with another boundary
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    other = post(service, {**SPEC, "name": "another"}, content, **{"Idempotency-Key": "a foreign model"})
    problem(other, 422, "idempotency_key_reused")
    other = post(service, SPEC, npz(in_our_names(state_dict())), **{"Idempotency-Key": "a foreign model"})
    problem(other, 422, "idempotency_key_reused")


def test_every_fault_of_the_weights_is_listed_at_once(service: Service) -> None:
    state = state_dict()
    state["0.weight"] = state["0.weight"].T.copy()
    state["1.running_var"][0] = -1
    state["3.bias"][1] = np.nan
    del state["5.bias"]
    state["7.weight"] = np.ones((2, 2), np.float32)
    answer = problem(post(service, SPEC, safetensors.numpy.save(state)), 422, "invalid_request")
    assert pointers(answer) == {"/file"}
    assert {error["message"].split("`")[1] for error in answer["errors"]} == {
        "0.weight",
        "1.running_var",
        "3.bias",
        "layers.2.bias",
        "7.weight",
    }


def test_every_fault_of_a_description_is_listed_at_once(service: Service) -> None:
    spec = {
        "task": "classification",
        "n_inputs": 3,
        "inputs": ["a", "a", "c"],
        "targets": ["c", "d"],
        "classes": ["x", 1, "x"],
        "network": {"hidden_layers": [999_999]},
    }
    answer = problem(post(service, spec, b"neither this nor that"), 422, "invalid_request")
    places = ("n_inputs", "inputs/1", "targets", "targets/0", "classes", "classes/2", "network/hidden_layers/0/units")
    assert pointers(answer) == {"/file", *(f"/model/{place}" for place in places)}
    spec = {"task": "regresion", "n_inputs": 0, "colour": 1, "network": {"activation": "rleu"}}
    answer = problem(post(service, spec, npz(state_dict())), 422, "invalid_request")
    assert pointers(answer) == {f"/model/{at}" for at in ("task", "n_inputs", "colour", "network/activation")}
    answer = problem(service.http.post("/v1/models", json=spec), 422, "invalid_request")
    assert pointers(answer) == {"/task", "/n_inputs", "/colour", "/network/activation"}
    answer = service.http.post("/v1/models", json={"task": "regression", "classes": ["a", "b"]})
    assert pointers(problem(answer, 422, "invalid_request")) == {"/n_inputs", "/classes", "/layers"}


def test_a_network_of_another_shape_is_refused_with_both_shapes(service: Service) -> None:
    answer = post(service, {**SPEC, "classes": ["no", "yes"]}, npz(state_dict()))
    detail = problem(answer, 422, "invalid_request")["detail"]
    assert "3-5-4-3" in detail
    assert "3-5-4-2" in detail
    layers = [{"weight": [[1, 2], [3]], "bias": [0, 0]}]
    answer = service.http.post("/v1/models", json={"task": "regression", "n_inputs": 2, "layers": layers})
    assert "/layers/0/weight" in pointers(problem(answer, 422, "invalid_request"))


def test_what_the_engine_cannot_have_is_pointed_at(service: Service) -> None:
    network = {"output_activation": "softmax", "initializer": "constant", "initializer_parameters": {"size": 1.0}}
    spec = {"task": "regression", "n_inputs": 1, "network": network}
    answer = service.http.post("/v1/models", json={**spec, "layers": [{"weight": [[1]], "bias": [1]}]})
    assert pointers(problem(answer, 422, "invalid_request")) == {
        "/network/output_activation",
        "/network/initializer_parameters/size",
    }


def test_more_outputs_than_anybody_reads_are_refused(service: Service) -> None:
    content = npz({"0.weight": np.zeros((20_000, 1), np.float32), "0.bias": np.zeros(20_000, np.float32)})
    answer = post(service, {"task": "regression", "n_inputs": 1}, content)
    assert pointers(problem(answer, 422, "invalid_request")) == {"/file"}


FORMS: dict[str, tuple[dict[str, Any], int, set[str]]] = {
    "no file": ({"model": (None, "{}")}, 422, {"/file"}),
    "no model": ({"file": ("f", b"x")}, 422, {"/model"}),
    "a part too many": ({"model": (None, "{}"), "file": ("f", b"x"), "colour": (None, "red")}, 422, {"/colour"}),
    "a file without a name": ({"model": (None, "{}"), "file": (None, b"x")}, 422, {"/file"}),
    "three files": ({name: (name, b"x") for name in ("model", "file", "other")}, 400, set()),
    "a model that is no JSON": ({"model": (None, "{"), "file": ("f", b"x")}, 400, set()),
    "a model that is deep": ({"model": (None, "[" * 100_000), "file": ("f", b"x")}, 400, set()),
    "a model that is a list": ({"model": (None, "[]"), "file": ("f", b"x")}, 422, {"/model"}),
    "a model that is no text": ({"model": (None, b"\xff\xfe"), "file": ("f", b"x")}, 400, set()),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_no_model_is_refused(service: Service, name: str) -> None:
    form, status, expected = FORMS[name]
    answer = service.http.post("/v1/models", files=form)
    assert pointers(problem(answer, status, answer.json()["code"])) == expected


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"null", "application/json", 422),
        (b'{"task": "regression", "name": "\\ud800", "n_inputs": 1}', "application/json", 422),
        (b"abc", "text/plain", 415),
        (b"abc", "multipart/form-data", 400),
        (b"abc", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x", 400),
        (b"", "multipart/form-data; boundary=x", 422),
        (b" " * (5 * 2**20), "application/json", 413),
    ],
)
def test_a_body_that_is_no_model_is_refused(service: Service, content: bytes, kind: str, status: int) -> None:
    answer = service.http.post("/v1/models", content=content, headers={"Content-Type": kind})
    problem(answer, status, answer.json()["code"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_sent_is_a_model_or_a_clear_4xx(service: Service, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(sorted(FILES)).map(lambda name: FILES[name]())))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    spec = {**SPEC, **data.draw(st.fixed_dictionaries({}, optional=DESCRIPTIONS))}
    answer = post(service, spec, bytes(content))
    if answer.status_code != 201:
        problem(answer, 422, "invalid_request")
        return
    assert np.isfinite(
        [one["probabilities"]["no"] for one in predict(service, answer.json()["id"], {"inputs": [[1, 2, 3]]})]
    )


DESCRIPTIONS = {
    "dtype": st.sampled_from([None, "float32", "float64", "int8"]),
    "classes": st.lists(st.text(min_size=1, max_size=3) | st.booleans() | st.integers() | st.floats(), max_size=4),
    "inputs": st.lists(st.text(max_size=3), max_size=4),
    "name": st.text(max_size=3),
    "network": st.fixed_dictionaries({"hidden_layers": st.lists(st.integers(-1, 6), max_size=3)}),
}


@pytest.mark.slow
def test_weights_larger_than_accepted_are_refused_with_bounded_memory(own_service: Service) -> None:
    own_service.environment["DESCENT_MAX_MODEL_BYTES"] = str(2**20)
    own_service.start_api()
    assert own_service.http.get("/v1/limits").json()["max_model_bytes"] == 2**20
    problem(post(own_service, SPEC, bytes(6 * 2**20)), 413, "too_large")

    def pieces() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(200):
            yield bytes(2**20)

    announced = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = own_service.http.post("/v1/models", content=pieces(), headers=announced)  # its length is not announced
    problem(answer, 413, "too_large")
    bomb = npz({"layers.0.weight": np.zeros((8_000, 8_000), np.float32)})
    assert len(bomb) < 2**20
    answer = problem(post(own_service, SPEC, bomb), 422, "invalid_request")
    assert "1,048,576 bytes" in answer["errors"][0]["message"]
    assert own_service.api is not None
    status = Path(f"/proc/{own_service.api.pid}/status").read_text()
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    assert peak_kib < 300 * 1024
