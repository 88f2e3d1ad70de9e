"""Datasets, jobs and models as they were last heard of, with their verbs, for the asynchronous client."""

import time
from collections.abc import AsyncIterator
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
from descent.errors import WaitTimeout
from descent.handles import failure, model_id_of
from descent.preparing import Preparation
from descent.progress import Bar
from descent.threads import in_thread
from descent.wording import DatasetOrId, Json, quoted

if TYPE_CHECKING:
    from descent.async_client import AsyncClient


class AsyncDataset(contract_datasets.Dataset):
    """A stored table. It never changes."""

    _client: "AsyncClient" = PrivateAttr()

    def bind(self, client: "AsyncClient") -> Self:
        """Remember which service it is from."""
        self._client = client
        return self

    async def rows(self, limit: int = 20, offset: int = 0) -> list[dict[str, Any]]:
        """Give rows, as they were understood."""
        flow = operations.read(
            contract_datasets.Rows,
            f"/v1/datasets/{quoted(self.id)}/rows",
            self._client.retries,
            limit=limit,
            offset=offset,
        )
        return (await self._client.run(flow)).items

    async def profile(self, columns: list[str] | None = None) -> Profile:
        """Show how the values of each column are distributed."""
        return await self._client.run(operations.profile(self.id, columns, self._client.retries))

    async def delete(self) -> None:
        """Delete it, unless a job that has not ended needs it."""
        await self._client.datasets.delete(self.id)


class AsyncJob(contract_jobs.Job):
    """A request to train, as it was last heard of: `refresh`, `wait` and its verbs bring it up to date."""

    _client: "AsyncClient" = PrivateAttr()

    def bind(self, client: "AsyncClient") -> Self:
        """Remember which service it is from."""
        self._client = client
        return self

    def _take(self, fresh: contract_jobs.Job) -> Self:
        # The fields are frozen for everybody else.
        self.__dict__.update(fresh.__dict__)
        return self

    async def refresh(self) -> Self:
        """Bring it up to date."""
        return self._take(
            await self._client.run(operations.read(AsyncJob, f"/v1/jobs/{quoted(self.id)}", self._client.retries))
        )

    async def wait(self, timeout_s: float | None = None, *, progress: bool = False, check: bool = True) -> Self:
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
                self._take(await self._client.run(operations.poll_job(AsyncJob, self.id, left, self._client.retries)))
                bar.show(self)
        if check and self.status == Status.FAILED:
            raise failure(self)
        return self

    async def epochs(self) -> AsyncIterator[Epoch]:
        """Give each epoch from the first on, live, until the job has ended; no gap and no duplicate, whatever is cut."""
        async for event in self._client.events(f"/v1/jobs/{quoted(self.id)}/events"):
            if event.name == "epoch":
                yield Epoch.model_validate_json(event.data)
            elif event.name == "done":
                self._take(AsyncJob.model_validate_json(event.data))

    async def history(self) -> list[Epoch]:
        """Give the epochs that there are now."""
        return await self._client.run(operations.history(self.id, self._client.retries))

    async def cancel(self) -> Self:
        """Stop it. The weights so far are kept as a model, if an epoch has ended."""
        return await self._act("cancel")

    async def pause(self) -> Self:
        """Have it wait until it is resumed; it goes on to the same bits."""
        return await self._act("pause")

    async def resume(self) -> Self:
        """Have it go on."""
        return await self._act("resume")

    async def _act(self, verb: str) -> Self:
        return self._take(await self._client.run(operations.act_on_job(AsyncJob, self.id, verb, self._client.retries)))

    async def fork(
        self,
        *,
        checkpoint_id: str | None = None,
        training: TrainingChanges | Json | None = None,
        name: str | None = None,
        tags: dict[str, str] | None = None,
        priority: int | None = None,
    ) -> "AsyncJob":
        """Make a job that goes on from one of its checkpoints, and trains differently."""
        said = {"checkpoint_id": checkpoint_id, "training": training, "name": name, "tags": tags, "priority": priority}
        flow = operations.derive_job(AsyncJob, self.id, "fork", said, self._client.retries)
        return (await self._client.run(flow)).bind(self._client)

    async def verify(self) -> "AsyncJob":
        """Train it again, and compare every epoch; the `verification` of the job that this gives says what came out."""
        flow = operations.derive_job(AsyncJob, self.id, "verify", None, self._client.retries)
        return (await self._client.run(flow)).bind(self._client)

    async def checkpoints(self) -> list[Checkpoint]:
        """Give its stored states, newest first."""
        path = f"/v1/jobs/{quoted(self.id)}/checkpoints"
        return (await self._client.run(operations.read(Checkpoints, path, self._client.retries))).items

    async def model(self) -> "AsyncModel":
        """Give what it has made.

        Raises:
            NoModel: It has made none, or not yet.
        """
        if self.model_id is None:
            await self.refresh()
        return await self._client.models.get(model_id_of(self))

    async def delete(self) -> None:
        """Delete it, once it has ended. Its model stays."""
        await self._client.jobs.delete(self.id)


class AsyncModel(contract_models.Model):
    """A trained network with its preprocessing."""

    _client: "AsyncClient" = PrivateAttr()

    def bind(self, client: "AsyncClient") -> Self:
        """Remember which service it is from."""
        self._client = client
        return self

    async def predict(self, rows: Any) -> list[Prediction]:
        """Predict rows: objects by column name, a data frame, lists of numbers, or an array `(rows, features)`."""
        return await self._client.run(operations.predict(self.id, rows, self._client.retries))

    async def predict_dataset(self, dataset: DatasetOrId, path: str | Path) -> Path:
        """Predict a dataset into a file, CSV or (`.parquet`) Parquet."""
        return await self._client.run(operations.predict_dataset(self.id, dataset, path, self._client.retries))

    async def evaluate(self, dataset: DatasetOrId) -> Evaluation:
        """Measure it on a dataset that has its features and its target."""
        return await self._client.run(operations.evaluate(self.id, dataset, self._client.retries))

    async def importance(self, dataset: DatasetOrId, **options: Any) -> Importance:
        """Find out what each column matters; options are the fields of `ImportanceRequest`."""
        return await self._client.run(operations.importance(self.id, dataset, options, self._client.retries))

    async def hardest_rows(self, dataset: DatasetOrId, limit: int = 100) -> Losses:
        """Give the rows that cost it most."""
        return await self._client.run(operations.hardest_rows(self.id, dataset, limit, self._client.retries))

    async def weights(self, which: str | None = None) -> dict[str, np.ndarray]:
        """Give `layers.0.weight` `(units_out, units_in)`, `layers.0.bias`, …; `which` is `best` or `latest`."""
        return await self._client.run(operations.weights(self.id, which, self._client.retries))

    async def download(self, path: str | Path, *, format: str | None = None, which: str | None = None) -> Path:
        """Download it: `.onnx` (the whole model), `.npz`, `.safetensors` or `.json`. What was cut goes on, in another run, too."""
        return await self._client.run(operations.download(self.id, path, format, which, self._client.retries))

    async def card(self) -> str:
        """Give its card, in Markdown."""
        return await self._client.run(operations.text(f"/v1/models/{quoted(self.id)}/card", self._client.retries))

    def prepare(self, rows: Any) -> np.ndarray:
        """Give the inputs `(rows, inputs)` that the network has for rows, without asking the service; see `Preparation`."""
        return Preparation(self.preprocessing, self.dtype)(rows)

    async def to_torch(self) -> Any:
        """Make a `torch.nn.Sequential` that takes what `prepare` gives; see `foreign.to_torch`."""
        return await in_thread(foreign.to_torch, self, await self.weights())

    async def to_sklearn(self) -> Any:
        """Make a fitted `Pipeline` of scikit-learn that takes rows as `predict` does; see `foreign.to_sklearn`."""
        return await in_thread(foreign.to_sklearn, self, await self.weights())

    async def delete(self) -> None:
        """Delete it and its weights."""
        await self._client.models.delete(self.id)
