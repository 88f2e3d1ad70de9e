"""The main job by a generated client alone: upload, submit, poll, history, download, predict. Prints what came out as JSON."""

# ruff: noqa: T201
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from generated import Client
from generated.api.datasets import create_dataset
from generated.api.jobs import get_job, list_epochs, submit_job
from generated.api.models import download_json, download_npz, predict
from generated.models import CreateDatasetFilesBody, JobCreate, PredictRequest
from generated.types import File

url, table = sys.argv[1:]
client: Any = Client(base_url=url, timeout=90, raise_on_unexpected_status=True)
form = CreateDatasetFilesBody(file=File(BytesIO(Path(table).read_bytes()), "penguins.csv", "text/csv"))
dataset = create_dataset.sync(client=client, body=form)
training = {"epochs": 30, "optimizer": {"name": "adam", "learning_rate": 0.01}}
body = {"dataset_id": dataset.id, "target": "species", "network": {"hidden_layers": [16]}, "training": training}
job = submit_job.sync(client=client, body=JobCreate.from_dict(body))
while job.status.value in {"queued", "running"}:
    job = get_job.sync(job.id, client=client, wait_s=30.0)
history = list_epochs.sync(job.id, client=client, after=20)
weights = download_json.sync(job.model_id, client=client)
with ZipFile(download_npz.sync(job.model_id, client=client).payload) as npz:
    arrays = sorted(npz.namelist())
bird = {
    "island": "Biscoe",
    "bill_length_mm": 47.5,
    "bill_depth_mm": 15.0,
    "flipper_length_mm": 217,
    "body_mass_g": 5000,
    "sex": None,
    "year": 2009,
}
answer = predict.sync(job.model_id, client=client, body=PredictRequest.from_dict({"rows": [bird]}))
problem = get_job.sync("job_none", client=client)
print(
    json.dumps(
        {
            "status": job.status.value,
            "epochs": [row.epoch for row in history.items],
            "arrays": arrays,
            "shapes": [[len(layer.weight), len(layer.weight[0])] for layer in weights.layers],
            "value": answer.predictions[0].value,
            "problem": problem.code,
        }
    )
)
