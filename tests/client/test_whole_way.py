"""From a table to predictions with the client, against the real service."""

import asyncio
import gzip
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import descent
from descent import AsyncClient, Client, Dataset, HiddenLayer, Job, Network, Training, Validation, optimizer
from tests.client.conftest import FEW_EPOCHS
from tests.service import PENGUINS, Service


def test_a_table_becomes_a_model_that_predicts(client: Client, tmp_path: Path) -> None:
    dataset = client.datasets.create(PENGUINS, name="birds")
    assert (dataset.name, dataset.n_rows) == ("birds", 344)
    assert dataset.rows(1)[0]["species"] == "Adelie"
    assert [column.name for column in dataset.profile(["year", "sex"]).columns] == ["year", "sex"]
    job = client.jobs.create(
        dataset,
        target="species",
        network=Network(hidden_layers=[HiddenLayer(units=16, activation="tanh")]),
        training=Training(epochs=80, optimizer=optimizer("adam", learning_rate=0.01)),
        validation=Validation(fraction=0.25),
        tags={"made": "whole-way"},
    )
    assert job.request["network"] == {"hidden_layers": [{"units": 16, "activation": "tanh"}]}
    assert [row.epoch for row in job.epochs()] == list(range(1, 81))
    assert job.status == "succeeded"
    model = job.wait(60).model()
    assert model.metrics is not None
    assert model.metrics.metrics["accuracy"] > 0.95
    rows = [{name: value for name, value in row.items() if name != "species"} for row in dataset.rows(5)]
    assert [one.value for one in model.predict(rows)] == ["Adelie"] * 5
    evaluation = model.evaluate(dataset)
    assert evaluation.task == "classification"
    assert evaluation.accuracy > 0.95
    assert len(model.predict_dataset(dataset, tmp_path / "all.csv").read_text().splitlines()) == 345
    assert model.weights()["layers.0.weight"].shape == (16, 10)
    onnxruntime.InferenceSession(model.download(tmp_path / "model.onnx"))
    assert model.download(tmp_path / "model.onnx").exists()
    assert [path.name for path in tmp_path.glob(".*")] == []
    assert "species" in model.card()


def test_the_asynchronous_client_goes_the_same_way(service: Service, tmp_path: Path) -> None:
    async def go() -> None:
        async with AsyncClient(f"http://127.0.0.1:{service.port}") as client:
            dataset = await client.datasets.create(PENGUINS)
            plan = await client.jobs.plan(dataset, target="species", **FEW_EPOCHS)
            assert plan.resolved.classes == ["Adelie", "Chinstrap", "Gentoo"]
            job = await client.jobs.create(dataset, target="species", **FEW_EPOCHS)
            assert [row.epoch async for row in job.epochs()] == list(range(1, 21))
            model = await (await job.wait(60)).model()
            assert (await model.weights())["layers.1.bias"].shape == (3,)
            assert (await model.download(tmp_path / "model.npz")).stat().st_size == model.size_bytes
            evaluation = await model.evaluate(dataset)
            assert evaluation.n_evaluated == 344
            assert job.id in [one.id async for one in client.jobs.list(page_size=2)]
            with pytest.raises(descent.NotFound):
                await client.models.get("model_none")

    asyncio.run(go())


def test_columns_arrays_and_missing_values_are_sent(client: Client) -> None:
    dataset = client.datasets.create({"a": np.arange(4), "b": [1.5, None, math.nan, 2.5], "c": ["x", "y", "x", "y"]})
    assert [(column.name, column.n_missing) for column in dataset.columns] == [("a", 0), ("b", 2), ("c", 0)]


def test_jobs_are_paused_resumed_forked_verified_and_cancelled(client: Client, birds: Dataset, ended: Job) -> None:
    fork = ended.fork(training={"epochs": 25}, name="longer").wait(60)
    assert (fork.parent_job_id, [row.epoch for row in fork.history()]) == (ended.id, [21, 22, 23, 24, 25])
    assert len(ended.checkpoints()) >= 1
    verification = ended.verify().wait(60).verification
    assert verification is not None
    assert verification.answer == "identical"
    endless = client.jobs.create(birds, target="species", training={"epochs": 1_000_000})
    next(endless.epochs())
    endless.pause()
    while endless.refresh().status != "paused":
        pass
    assert endless.resume().status in {"queued", "running"}
    endless.cancel().wait(30)
    assert (endless.status, endless.stopped_because) == ("cancelled", "cancelled")
    assert endless.model().epoch >= 1


def test_a_plan_costs_nothing(client: Client, birds: Dataset) -> None:
    before = [job.id for job in client.jobs.list()]
    plan = client.jobs.plan(birds, target="body_mass_g", network={"hidden_layers": [8]})
    assert plan.resolved.task == "regression"
    assert [job.id for job in client.jobs.list()] == before


def test_pages_give_every_item_once(client: Client, birds: Dataset) -> None:
    for number in range(3):
        client.datasets.create({"a": [number, 1, 2]})
    everything = [dataset.id for dataset in client.datasets.list()]
    assert [dataset.id for dataset in client.datasets.list(page_size=1)] == everything
    assert len(set(everything)) == len(everything) >= 4


@pytest.mark.parametrize("target", ["two", "three", "number"])
def test_a_model_of_scikit_learn_predicts_the_same(client: Client, target: str) -> None:
    X = np.random.default_rng(0).normal(size=(60, 3)) * 10 + 5
    targets = {
        "two": X[:, 0] > 5,
        "three": np.array(["b", "c", "a"])[(X[:, 0] > 5).astype(int) + (X[:, 1] > 5)],
        "number": X[:, 0] * 3 + 100,
    }
    dataset = client.datasets.create({"p": X[:, 0], "q": X[:, 1], "r": X[:, 2], "t": targets[target]})
    job = client.jobs.create(
        dataset,
        target="t",
        network={"hidden_layers": [5, 4], "activation": "tanh"},
        training={"dtype": "float64", "epochs": 10},
    )
    model = job.wait(60).model()
    theirs, ours = model.to_sklearn(), model.predict(X)
    if model.task == "classification":
        names = [str(name).lower() if target == "two" else str(name) for name in theirs.classes_]
        probabilities = [[(one.probabilities or {})[name] for name in names] for one in ours]
        np.testing.assert_allclose(theirs.predict_proba(X), probabilities, atol=1e-12)
        assert theirs.predict(X).tolist() == [one.value for one in ours]
    else:
        np.testing.assert_allclose(theirs.predict(X), [one.value for one in ours], rtol=1e-12)


def test_a_job_is_not_waited_for_longer_than_asked(client: Client, birds: Dataset) -> None:
    job = client.jobs.create(birds, target="species", training={"epochs": 1_000_000})
    with pytest.raises(descent.WaitTimeout, match="goes on"):
        job.wait(0.2)
    with pytest.raises(descent.NoModel, match=r"wait\(\)"):
        job.model()
    job.cancel().wait(30)


@pytest.mark.parametrize("name", ["birds.csv.gz", "birds.data", "birds.tsv"])
def test_the_format_of_a_file_is_left_to_the_service(client: Client, tmp_path: Path, name: str) -> None:
    table = PENGUINS.read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(table) if name.endswith("gz") else table.replace(b",", b"\t"))
    assert client.datasets.create(path).n_rows == 344
