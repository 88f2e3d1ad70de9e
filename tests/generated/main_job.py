"""The main job by a generated client alone: upload, submit, wait, download, predict. Prints what came out as JSON."""

# ruff: noqa: T201
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from generated import Client
from generated.api.datasets import create_dataset
from generated.api.jobs import get_job, submit_job
from generated.api.models import download_weights_file, predict
from generated.models import CreateDatasetFilesBody, JobCreate, PredictRequest, WeightsFormat
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
weights = download_weights_file.sync(job.model_id, WeightsFormat.JSON, client=client)
bird = {
    "island": "Biscoe",
    "bill_length_mm": 47.5,
    "bill_depth_mm": 15.0,
    "flipper_length_mm": 217,
    "body_mass_g": 5000,
}
answer = predict.sync(job.model_id, client=client, body=PredictRequest.from_dict({"rows": [bird]}))
problem = get_job.sync("job_none", client=client)
print(
    json.dumps(
        {
            "status": job.status.value,
            "shapes": [[len(layer.weight), len(layer.weight[0])] for layer in weights.layers],
            "value": answer.predictions[0].value,
            "problem": problem.code,
        }
    )
)
