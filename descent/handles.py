"""Datasets, jobs and models as they were last heard of, with their verbs."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import PrivateAttr

from app.contract import datasets as contract_datasets
from app.contract import jobs as contract_jobs
from app.contract import models as contract_models
from app.contract.evaluation import Evaluation, Importance, Losses
from app.contract.jobs import Checkpoint, Checkpoints, Epoch, Status, TrainingChanges
from app.contract.models import Prediction
from app.contract.profiles import Profile
from descent import foreign, operations
from descent.errors import JobFailed, NoModel, WaitTimeout
from descent.preparing import Preparation
from descent.progress import Bar
from descent.wording import DatasetOrId, Json, quoted

if TYPE_CHECKING:
    from descent.client import Client


class Dataset(contract_datasets.Dataset):
    """A stored table. It never changes."""

    _client: "Client" = PrivateAttr()

    def bind(self, client: "Client") -> Self:
        """Remember which service it is from."""
        self._client = client
        return self

    def rows(self, limit: int = 20, offset: int = 0) -> list[dict[str, Any]]:
        """Give rows, as they were understood."""
        flow = operations.read(
            contract_datasets.Rows,
            f"/v1/datasets/{quoted(self.id)}/rows",
            self._client.retries,
            limit=limit,
            offset=offset,
        )
        return self._client.run(flow).items

    def profile(self, columns: list[str] | None = None) -> Profile:
        """Show how the values of each column are distributed."""
        return self._client.run(operations.profile(self.id, columns, self._client.retries))

    def delete(self) -> None:
        """Delete it, unless a job that has not ended needs it."""
        self._client.datasets.delete(self.id)


class Job(contract_jobs.Job):
    """A request to train, as it was last heard of: `refresh`, `wait` and its verbs bring it up to date."""

    _client: "Client" = PrivateAttr()

    def bind(self, client: "Client") -> Self:
        """Remember which service it is from."""
        self._client = client
        return self

    def _take(self, fresh: contract_jobs.Job) -> Self:
        # The fields are frozen for everybody else.
        self.__dict__.update(fresh.__dict__)
        return self

    def refresh(self) -> Self:
        """Bring it up to date."""
        return self._take(self._client.run(operations.read(Job, f"/v1/jobs/{quoted(self.id)}", self._client.retries)))

    def wait(self, timeout_s: float | None = None, *, progress: bool = False, check: bool = True) -> Self:
        """Wait until it has ended; a paused job is waited for, too.

        Args:
            timeout_s: None: as long as it takes.
            progress: Show a bar with loss and time left (on standard error, if that is a terminal).
            check: Raise `JobFailed` if it failed.

        Raises:
            WaitTimeout: It has not ended in time; it goes on.
            JobFailed: It failed.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with Bar(self, visible=progress) as bar:
            while not self.status.is_terminal:
                left = bar.poll_s if deadline is None else min(bar.poll_s, deadline - time.monotonic())
                if left <= 0:
                    raise WaitTimeout(f"{self.id} is {self.status} after {timeout_s} s; it goes on.")
                self._take(self._client.run(operations.poll_job(Job, self.id, left, self._client.retries)))
                bar.show(self)
        if check and self.status == Status.FAILED:
            raise failure(self)
        return self

    def epochs(self) -> Iterator[Epoch]:
        """Give each epoch from the first on, live, until the job has ended; no gap and no duplicate, whatever is cut."""
        for event in self._client.events(f"/v1/jobs/{quoted(self.id)}/events"):
            if event.name == "epoch":
                yield Epoch.model_validate_json(event.data)
            elif event.name == "done":
                self._take(Job.model_validate_json(event.data))

    def history(self) -> list[Epoch]:
        """Give the epochs that there are now."""
        return self._client.run(operations.history(self.id, self._client.retries))

    def cancel(self) -> Self:
        """Stop it. The weights so far are kept as a model, if an epoch has ended."""
        return self._act("cancel")

    def pause(self) -> Self:
        """Have it wait until it is resumed; it goes on to the same bits."""
        return self._act("pause")

    def resume(self) -> Self:
        """Have it go on."""
        return self._act("resume")

    def _act(self, verb: str) -> Self:
        return self._take(self._client.run(operations.act_on_job(Job, self.id, verb, self._client.retries)))

    def fork(
        self,
        *,
        checkpoint_id: str | None = None,
        training: TrainingChanges | Json | None = None,
        name: str | None = None,
        tags: dict[str, str] | None = None,
        priority: int | None = None,
    ) -> "Job":
        """Make a job that goes on from one of its checkpoints, and trains differently."""
        said = {"checkpoint_id": checkpoint_id, "training": training, "name": name, "tags": tags, "priority": priority}
        flow = operations.derive_job(Job, self.id, "fork", said, self._client.retries)
        return self._client.run(flow).bind(self._client)

    def verify(self) -> "Job":
        """Train it again, and compare every epoch; the `verification` of the job that this gives says what came out."""
        flow = operations.derive_job(Job, self.id, "verify", None, self._client.retries)
        return self._client.run(flow).bind(self._client)

    def checkpoints(self) -> list[Checkpoint]:
        """Give its stored states, newest first."""
        path = f"/v1/jobs/{quoted(self.id)}/checkpoints"
        return self._client.run(operations.read(Checkpoints, path, self._client.retries)).items

    def model(self) -> "Model":
        """Give what it has made.

        Raises:
            NoModel: It has made none, or not yet.
        """
        if self.model_id is None:
            self.refresh()
        return self._client.models.get(model_id_of(self))

    def delete(self) -> None:
        """Delete it, once it has ended. Its model stays."""
        self._client.jobs.delete(self.id)


def model_id_of(job: contract_jobs.Job) -> str:
    """Give the id of a job's model, or say why there is none."""
    if job.model_id is not None:
        return job.model_id
    if not job.status.is_terminal:
        raise NoModel(f"{job.id} is {job.status}: its model is there when it has ended. Call wait() first.")
    why = "" if job.error is None else f" {job.error.code}: {job.error.message}"
    raise NoModel(f"{job.id} has {job.status} and made no model.{why}")


def failure(job: contract_jobs.Job) -> JobFailed:
    """Give the exception of a job that failed."""
    assert job.error is not None
    return JobFailed(job.id, job.error.code, job.error.message, job.error.epoch)


class Model(contract_models.Model):
    """A trained network with its preprocessing."""

    _client: "Client" = PrivateAttr()

    def bind(self, client: "Client") -> Self:
        """Remember which service it is from."""
        self._client = client
        return self

    def predict(self, rows: Any) -> list[Prediction]:
        """Predict rows: objects by column name, a data frame, lists of numbers, or an array `(rows, features)`."""
        return self._client.run(operations.predict(self.id, rows, self._client.retries))

    def predict_dataset(self, dataset: DatasetOrId, path: str | Path) -> Path:
        """Predict a dataset into a file, CSV or (`.parquet`) Parquet."""
        return self._client.run(operations.predict_dataset(self.id, dataset, path, self._client.retries))

    def evaluate(self, dataset: DatasetOrId) -> Evaluation:
        """Measure it on a dataset that has its features and its target."""
        return self._client.run(operations.evaluate(self.id, dataset, self._client.retries))

    def importance(self, dataset: DatasetOrId, **options: Any) -> Importance:
        """Find out what each column matters; options are the fields of `ImportanceRequest`."""
        return self._client.run(operations.importance(self.id, dataset, options, self._client.retries))

    def hardest_rows(self, dataset: DatasetOrId, limit: int = 100) -> Losses:
        """Give the rows that cost it most."""
        return self._client.run(operations.hardest_rows(self.id, dataset, limit, self._client.retries))

    def weights(self, which: str | None = None) -> dict[str, np.ndarray]:
        """Give `layers.0.weight` `(units_out, units_in)`, `layers.0.bias`, …; `which` is `best` or `latest`."""
        return self._client.run(operations.weights(self.id, which, self._client.retries))

    def download(self, path: str | Path, *, format: str | None = None, which: str | None = None) -> Path:
        """Download it: `.onnx` (the whole model), `.npz`, `.safetensors` or `.json`. What was cut goes on, in another run, too."""
        return self._client.run(operations.download(self.id, path, format, which, self._client.retries))

    def card(self) -> str:
        """Give its card, in Markdown."""
        return self._client.run(operations.text(f"/v1/models/{quoted(self.id)}/card", self._client.retries))

    def prepare(self, rows: Any) -> np.ndarray:
        """Give the inputs `(rows, inputs)` that the network has for rows, without asking the service; see `Preparation`."""
        return Preparation(self.preprocessing, self.dtype)(rows)

    def to_torch(self) -> Any:
        """Make a `torch.nn.Sequential` that takes what `prepare` gives; see `foreign.to_torch`."""
        return foreign.to_torch(self, self.weights())

    def to_sklearn(self) -> Any:
        """Make a fitted `Pipeline` of scikit-learn that takes rows as `predict` does; see `foreign.to_sklearn`."""
        return foreign.to_sklearn(self, self.weights())

    def delete(self) -> None:
        """Delete it and its weights."""
        self._client.models.delete(self.id)
