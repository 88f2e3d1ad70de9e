"""The blocking client."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from app.contract.jobs import Plan
from app.contract.system import Limits, Ready
from descent import operations
from descent.errors import Unreachable, from_answer
from descent.events import Event, Listener
from descent.flow import RETRIED, Call, Flow, Pause, Retries
from descent.handles import Dataset, Job, Model
from descent.pages import Pages
from descent.sources import Table, Weights
from descent.wording import DatasetOrId, JobOptions, quoted

T = TypeVar("T")
URL_VARIABLE = "DESCENT_URL"
DEFAULT_URL = "http://127.0.0.1:8000"
# The service gives a sign of life in an event stream at least every 15 s.
SILENT_S = 45.0


def base_url_of(given: str | None) -> str:
    """The address of the service: what is given, else `DESCENT_URL`, else this machine."""
    return (given or os.environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")


class Client:
    """Trains and uses models through a running service. It may be shared by threads.

    Args:
        base_url: Where it is; None: `DESCENT_URL`, else http://127.0.0.1:8000.
        timeout_s: Longest silence that is waited for; long work has its own.
        retries: How often what did not come through is sent again.
        headers: Sent with every request.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.base_url = base_url_of(base_url)
        self.retries = retries or Retries()
        self._http = httpx.Client(
            base_url=self.base_url, timeout=httpx.Timeout(timeout_s, connect=5.0), headers=dict(headers or {})
        )
        self.datasets = Datasets(self)
        self.jobs = Jobs(self)
        self.models = Models(self)

    def limits(self) -> Limits:
        """Give the sizes that this installation accepts."""
        return self.run(operations.read(Limits, "/v1/limits", self.retries))

    def ready(self) -> Ready:
        """Say whether database and workers answer."""
        answer = self._send(Call("GET", "/readyz"))
        return Ready.model_validate_json(answer.content)

    def is_alive(self) -> bool:
        """Say whether the service answers, asking once."""
        try:
            answer = self._send(Call("GET", "/healthz", timeout_s=2.0))
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.text.find('"alive"') > 0

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, flow: Flow[T]) -> T:
        """Drive a conversation to its end."""
        try:
            step = next(flow)
            while True:
                answer: httpx.Response | None = None
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    try:
                        answer = self._send(step)
                    except httpx.TransportError as error:
                        step = flow.throw(error)
                        continue
                step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def _send(self, call: Call) -> httpx.Response:
        request = self._http.build_request(
            call.method,
            call.path,
            params=call.sent_params,
            json=call.json,
            content=call.content() if callable(call.content) else call.content,
            headers=dict(call.headers),
            timeout=httpx.USE_CLIENT_DEFAULT if call.timeout_s is None else httpx.Timeout(call.timeout_s, connect=5.0),
        )
        if call.sink is None:
            return self._http.send(request)
        answer = self._http.send(request, stream=True)
        try:
            if answer.status_code not in {200, 206}:
                answer.read()
                return answer
            write = call.sink(answer)
            for piece in answer.iter_bytes():
                write(piece)
        finally:
            answer.close()
        return answer

    def events(self, path: str) -> Iterator[Event]:
        """Give a stream's events, connecting again where it was cut, without gap or duplicate."""
        listener = Listener()
        while not listener.is_done:
            listener.failures += 1
            answer = None
            try:
                timeout = httpx.Timeout(SILENT_S, connect=5.0)
                with self._http.stream("GET", path, headers=listener.connect(), timeout=timeout) as answer:
                    if answer.status_code >= 400:
                        answer.read()
                        if answer.status_code not in RETRIED:
                            raise from_answer(answer, listener.failures)
                    elif answer.status_code == 204:
                        return
                    else:
                        for piece in answer.iter_bytes():
                            yield from listener.hear(piece)
            except httpx.TransportError as error:
                cause: Exception | None = error
            else:
                cause = None
            if listener.is_done:
                return
            refused = answer if answer is not None and answer.status_code >= 400 else None
            delay_s = self.retries.delay_s(max(1, listener.failures), refused)
            if delay_s is None:
                raise Unreachable(f"GET {path}: cut {listener.failures} times in a row.") from cause
            time.sleep(delay_s)


class Datasets:
    """Tables that are stored."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        table: Table,
        *,
        name: str | None = None,
        format: str | None = None,
        kinds: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Dataset:
        """Send a table: a path, bytes, an open file, or columns by name. Large files go in pieces, and survive cut connections.

        Args:
            kinds: Overrides what is found in columns: `{"zip": "categorical"}`.
        """
        client = self._client
        flow = operations.create_dataset(
            Dataset, table, client.retries, name=name, format=format, kinds=kinds, key=idempotency_key
        )
        return client.run(flow).bind(client)

    def list(self, *, page_size: int = 100) -> Pages[Dataset]:
        """Iterate over all datasets, newest first."""
        return Pages(self._client, Dataset, "/v1/datasets", {"limit": page_size})

    def get(self, dataset_id: str) -> Dataset:
        """Give a dataset."""
        client = self._client
        return client.run(operations.read(Dataset, f"/v1/datasets/{quoted(dataset_id)}", client.retries)).bind(client)

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset that no job needs any more."""
        self._client.run(operations.delete(f"/v1/datasets/{quoted(dataset_id)}", self._client.retries))


class Jobs:
    """Requests to train."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        dataset: DatasetOrId | None = None,
        *,
        target: str | Sequence[str] | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submit a network to be trained on a dataset. What is not named has the service's default."""
        client = self._client
        flow = operations.create_job(Job, dataset, target, options, client.retries, idempotency_key)
        return client.run(flow).bind(client)

    def plan(
        self,
        dataset: DatasetOrId | None = None,
        *,
        target: str | Sequence[str] | None = None,
        **options: Unpack[JobOptions],
    ) -> Plan:
        """Say what a job would be and cost, and what becomes of each column; nothing is stored."""
        return self._client.run(operations.plan_job(dataset, target, options, self._client.retries))

    def list(
        self, *, status: str | None = None, tag: str | None = None, kind: str | None = None, page_size: int = 100
    ) -> Pages[Job]:
        """Iterate over all jobs, newest first; `tag` is `key:value`."""
        params = {"limit": page_size, "status": status, "tag": tag, "kind": kind}
        return Pages(self._client, Job, "/v1/jobs", params)

    def get(self, job_id: str) -> Job:
        """Give a job as it is now."""
        client = self._client
        return client.run(operations.read(Job, f"/v1/jobs/{quoted(job_id)}", client.retries)).bind(client)

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with its history. Its model stays."""
        self._client.run(operations.delete(f"/v1/jobs/{quoted(job_id)}", self._client.retries))


class Models:
    """Trained networks with their preprocessing."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, *, page_size: int = 100) -> Pages[Model]:
        """Iterate over all models, newest first."""
        return Pages(self._client, Model, "/v1/models", {"limit": page_size})

    def get(self, model_id: str) -> Model:
        """Give a model."""
        client = self._client
        return client.run(operations.read(Model, f"/v1/models/{quoted(model_id)}", client.retries)).bind(client)

    def delete(self, model_id: str) -> None:
        """Delete a model and its weights."""
        self._client.run(operations.delete(f"/v1/models/{quoted(model_id)}", self._client.retries))

    def create(
        self, weights: Weights | None = None, *, idempotency_key: str | None = None, **description: Any
    ) -> Model:
        """Upload a network that was trained elsewhere.

        Args:
            weights: A `.npz` or safetensors file: its path, its bytes, or the open file; or arrays by name, such as a
                `state_dict`. None: they are in the description, as `layers`.
            description: The fields of `ModelCreate`: `task`, `n_inputs` or `inputs`, `classes`, `network`, ….
        """
        client = self._client
        flow = operations.create_model(Model, weights, description, client.retries, idempotency_key)
        return client.run(flow).bind(client)
