"""Models of the service in other libraries, and networks of other libraries in the service."""

import asyncio
import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import descent
from descent import AsyncClient, Client, Dataset, Job, Model
from tests.client.proxy import Fault, Proxy
from tests.service import PENGUINS, Service

SEEN = {"island": "Biscoe", "sex": "male", "year": 2009}
BIRDS = [
    {**SEEN, "bill_length_mm": 47.5, "bill_depth_mm": 15.0, "flipper_length_mm": 217, "body_mass_g": 5000},
    {**SEEN, "bill_length_mm": None, "bill_depth_mm": 17.0, "flipper_length_mm": 190, "body_mass_g": None},
    {**SEEN, "island": "Atlantis", "sex": None, "bill_length_mm": 40, "bill_depth_mm": 18, "flipper_length_mm": 181,
     "body_mass_g": 3700},
]  # fmt: skip


@pytest.fixture(scope="module")
def normalised(service: Service) -> Model:
    """Give a model with everything that has to be carried: missing values, categories, normalised layers."""
    with Client(f"http://127.0.0.1:{service.port}") as client:
        layers = [{"units": 8, "activation": "tanh", "batch_norm": True}, {"units": 5, "activation": "tanh"}]
        job = client.jobs.create(
            client.datasets.create(PENGUINS),
            target="species",
            network={"hidden_layers": layers},
            training={"epochs": 15, "dtype": "float64"},
        )
        return client.models.get(job.wait(60).model().id)


def test_rows_are_prepared_as_the_service_does_it(client: Client, normalised: Model) -> None:
    model = client.models.get(normalised.id)
    inputs = model.prepare(BIRDS)
    assert inputs.shape == (3, model.network.input_width)
    # The paper's equations on the downloaded arrays; a normalised layer has its running statistics.
    weights = model.weights()
    a = inputs
    for i in range(3):
        z = a @ weights[f"layers.{i}.weight"].T + weights[f"layers.{i}.bias"]
        if i == 0:
            norm = {
                part: weights[f"layers.0.batch_norm.{part}"]
                for part in ("weight", "bias", "running_mean", "running_var")
            }
            z = norm["weight"] * (z - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5) + norm["bias"]
        a = np.tanh(z)
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    told = [list((one.probabilities or {}).values()) for one in model.predict(BIRDS)]
    np.testing.assert_allclose(told, expected, rtol=1e-12)


def test_rows_that_do_not_fit_are_not_prepared(client: Client, normalised: Model) -> None:
    model = client.models.get(normalised.id)
    with pytest.raises(descent.NotPrepared, match=r"/rows/0/sex: .*\n.*/rows/0/year"):
        model.prepare([{name: value for name, value in BIRDS[0].items() if name not in {"sex", "year"}}])


def test_a_pipeline_of_scikit_learn_takes_rows_with_categories_and_missing_values(
    client: Client, normalised: Model
) -> None:
    model = client.models.get(normalised.id)
    theirs = pickle.loads(pickle.dumps(model.to_sklearn()))
    ours = model.predict(BIRDS)
    assert theirs.predict(BIRDS).tolist() == [one.value for one in ours]
    names = [str(name) for name in theirs.classes_]
    probabilities = [[(one.probabilities or {})[name] for name in names] for one in ours]
    np.testing.assert_allclose(theirs.predict_proba(BIRDS), probabilities, atol=1e-12)


def test_what_scikit_learn_has_not_says_which_way_there_is(client: Client, birds: Dataset) -> None:
    job = client.jobs.create(
        birds, target="species", network={"hidden_layers": [4], "activation": "gelu"}, training={"epochs": 2}
    )
    with pytest.raises(descent.NotConverted, match=r"model\.onnx"):
        job.wait(60).model().to_sklearn()


def _arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    shapes = {"layers.0.weight": (4, 3), "layers.0.bias": (4,), "layers.1.weight": (2, 4), "layers.1.bias": (2,)}
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


def _npz(place: Path) -> Path:
    np.savez(place / "net.npz", **_arrays())  # type: ignore[arg-type]
    return place / "net.npz"


def _safetensors(place: Path) -> Path:
    safetensors.numpy.save_file(_arrays(), place / "net.safetensors")
    return place / "net.safetensors"


WAYS: dict[str, Callable[[Path], Any]] = {
    "npz": _npz,
    "safetensors": lambda place: str(_safetensors(place)),
    "bytes": lambda place: _npz(place).read_bytes(),
    "file": lambda place: BytesIO(_safetensors(place).read_bytes()),
    "arrays": lambda _place: _arrays(),
}
DESCRIPTION: dict[str, Any] = {
    "task": "classification",
    "n_inputs": 3,
    "classes": ["no", "yes"],
    "network": {"hidden_layers": [4], "activation": "tanh"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_network_from_elsewhere_is_uploaded(client: Client, tmp_path: Path, way: str) -> None:
    model = client.models.create(WAYS[way](tmp_path), **DESCRIPTION)
    for name, array in _arrays().items():
        np.testing.assert_array_equal(model.weights()[name], array)
    assert model.predict([[0.1, 0.2, 0.3]])[0].value in {"no", "yes"}


def test_an_upload_that_was_cut_makes_one_model(client: Client, far: Client, line: Proxy) -> None:
    before = len(list(client.models.list()))
    line.faults.append(Fault("unanswered"))
    far.models.create(_arrays(), **DESCRIPTION)
    assert len(list(client.models.list())) == before + 1


def test_the_asynchronous_client_uploads_a_network_and_makes_a_pipeline(service: Service, tmp_path: Path) -> None:
    async def go() -> None:
        async with AsyncClient(f"http://127.0.0.1:{service.port}") as client:
            model = await client.models.create(_npz(tmp_path), **DESCRIPTION)
            told = await model.predict([[0.1, 0.2, 0.3]])
            assert (await model.to_sklearn()).predict([[0.1, 0.2, 0.3]]).tolist() == [told[0].value]

    asyncio.run(go())


def test_faults_of_an_uploaded_network_are_told(client: Client) -> None:
    with pytest.raises(descent.InvalidRequest, match=r"layers\.1\.weight"):
        client.models.create({**_arrays(), "layers.1.weight": np.zeros((2, 5))}, **DESCRIPTION)


def test_the_weights_of_a_job_go_back(client: Client, ended: Job) -> None:
    model = ended.model()
    again = client.models.create(
        model.weights(),
        task="classification",
        n_inputs=model.network.input_width,
        classes=model.preprocessing["targets"][0]["classes"],  # type: ignore[index,call-overload]
        network={"hidden_layers": [4]},
        dtype=model.dtype,
    )
    inputs = model.prepare(BIRDS)
    for first, second in zip(model.predict(BIRDS), again.predict(inputs), strict=True):
        assert list((first.probabilities or {}).values()) == list((second.probabilities or {}).values())
