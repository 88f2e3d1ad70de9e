"""Errors have types, and say all that is wrong and what helps."""

import subprocess
import sys

import pytest

import descent
from descent import Client, Dataset, Job
from tests.client.conftest import FEW_EPOCHS
from tests.service import ROOT


def test_every_fault_is_in_the_message(client: Client, birds: Dataset) -> None:
    with pytest.raises(descent.InvalidRequest) as caught:
        client.jobs.create(birds, target="species", training={"epochs": 0, "optimizer": {"name": "adm"}})
    assert isinstance(caught.value, ValueError)
    assert (caught.value.status, caught.value.code) == (422, "invalid_request")
    assert {fault.pointer for fault in caught.value.faults} == {"/training/epochs", "/training/optimizer/name"}
    for word in ("/training/epochs", "/training/optimizer/name", "adamw"):
        assert word in str(caught.value)
    assert caught.value.request_id


@pytest.mark.parametrize("kind", [descent.NotFound, LookupError, descent.APIError, descent.DescentError])
def test_what_is_not_there_is_not_found(client: Client, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"client\.jobs\.list"):
        client.jobs.get("job_none")
    with pytest.raises(kind):
        client.datasets.delete("ds_none")


def test_an_ended_job_cannot_be_paused(ended: Job) -> None:
    with pytest.raises(descent.IllegalTransition, match="forked"):
        ended.pause()


def test_a_dataset_in_use_is_kept(client: Client, birds: Dataset) -> None:
    job = client.jobs.create(birds, target="species", training={"epochs": 10_000_000})
    with pytest.raises(descent.DatasetInUse, match="cancel them"):
        birds.delete()
    job.cancel().wait(90)
    birds.delete()


def test_a_key_is_for_one_request(client: Client, birds: Dataset) -> None:
    first = client.jobs.create(birds, target="species", idempotency_key=f"mine-{birds.id}", **FEW_EPOCHS)
    again = client.jobs.create(birds, target="species", idempotency_key=f"mine-{birds.id}", **FEW_EPOCHS)
    assert first.id == again.id
    with pytest.raises(descent.KeyReused):
        client.jobs.create(birds, target="island", idempotency_key=f"mine-{birds.id}", **FEW_EPOCHS)
    first.wait(60)


def test_a_failed_job_raises_what_happened(client: Client, birds: Dataset) -> None:
    job = client.jobs.create(
        birds,
        target="body_mass_g",
        training={"optimizer": {"name": "gradient_descent", "learning_rate": 1e6}, "epochs": 50},
    )
    with pytest.raises(descent.JobFailed, match="diverged") as caught:
        job.wait(60)
    assert (caught.value.job_id, caught.value.code) == (job.id, "diverged")
    assert job.wait(check=False).status == "failed"


def test_what_is_no_table_is_refused(client: Client) -> None:
    with pytest.raises(descent.UnsupportedFormat, match="format="):
        client.datasets.create(b"%PDF-1.7\n", name="table.xyz")
    with pytest.raises(descent.UnreadableDataset):
        client.datasets.create(b"{", name="table.json")
    with pytest.raises(FileNotFoundError):
        client.datasets.create("no/such/file.csv")


def test_nothing_heavy_is_imported_with_the_client() -> None:
    heavy = {"sklearn", "torch", "polars", "sqlalchemy", "fastapi", "onnx", "app.store"}
    code = f"import sys, descent; print(*sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_without_scikit_learn_the_estimators_say_what_to_install() -> None:
    code = "import sys; sys.modules['sklearn.base'] = None; sys.modules['sklearn'] = None\nfrom descent import DescentClassifier"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install scikit-learn" in done.stderr


@pytest.mark.parametrize("id", ["job_none?wait_s=60", "job_none#1", "job_ü", "a b", "%2e%2e"])
def test_an_id_is_one_segment_of_the_path_whatever_is_in_it(client: Client, id: str) -> None:
    with pytest.raises(descent.NotFound):
        client.jobs.get(id)


@pytest.mark.parametrize("id", ["", ".", "..", "../models", "job_none/cancel"])
def test_what_cannot_be_an_id_is_refused_before_it_is_sent(client: Client, id: str) -> None:
    with pytest.raises(ValueError, match="is no id"):
        client.datasets.delete(id)
