"""The asynchronous client: the same conversations as the blocking one's, driven without blocking."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from app.contract.jobs import Plan
from app.contract.system import Limits, Ready
from descent import operations
from descent.async_handles import AsyncDataset, AsyncJob, AsyncModel
from descent.client import SILENT_S, base_url_of
from descent.errors import Unreachable, from_answer
from descent.events import Event, Listener
from descent.flow import RETRIED, Call, Flow, Pause, Retries
from descent.pages import AsyncPages
from descent.sources import Table, Weights
from descent.threads import Ended, advance, in_thread
from descent.wording import DatasetOrId, JobOptions, quoted

T = TypeVar("T")


class AsyncClient:
    """Trains and uses models through a running service.

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
        self._http = httpx.AsyncClient(
            base_url=self.base_url, timeout=httpx.Timeout(timeout_s, connect=5.0), headers=dict(headers or {})
        )
        self.datasets = AsyncDatasets(self)
        self.jobs = AsyncJobs(self)
        self.models = AsyncModels(self)

    async def limits(self) -> Limits:
        """Give the sizes that this installation accepts."""
        return await self.run(operations.read(Limits, "/v1/limits", self.retries))

    async def ready(self) -> Ready:
        """Say whether database and workers answer."""
        answer = await self._send(Call("GET", "/readyz"))
        return Ready.model_validate_json(answer.content)

    async def is_alive(self) -> bool:
        """Say whether the service answers, asking once."""
        try:
            answer = await self._send(Call("GET", "/healthz", timeout_s=2.0))
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.text.find('"alive"') > 0

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self, flow: Flow[T]) -> T:
        """Drive a conversation to its end. What it reads, hashes and parses between its requests is done in a thread."""
        heard: httpx.Response | httpx.TransportError | None = None
        try:
            while True:
                step = await in_thread(advance, flow, heard)
                if isinstance(step, Ended):
                    return step.result
                heard = None
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    try:
                        heard = await self._send(step)
                    except httpx.TransportError as error:
                        heard = error
        finally:
            flow.close()

    async def _send(self, call: Call) -> httpx.Response:
        request = await in_thread(
            self._http.build_request,
            call.method,
            call.path,
            params=call.sent_params,
            json=call.json,
            content=_without_blocking(call.content()) if callable(call.content) else call.content,
            headers=dict(call.headers),
            timeout=httpx.USE_CLIENT_DEFAULT if call.timeout_s is None else httpx.Timeout(call.timeout_s, connect=5.0),
        )
        if call.sink is None:
            return await self._http.send(request)
        answer = await self._http.send(request, stream=True)
        try:
            if answer.status_code not in {200, 206}:
                await answer.aread()
                return answer
            write = call.sink(answer)
            async for piece in answer.aiter_bytes():
                await in_thread(write, piece)
        finally:
            await answer.aclose()
        return answer

    async def events(self, path: str) -> AsyncIterator[Event]:
        """Give a stream's events, connecting again where it was cut, without gap or duplicate."""
        listener = Listener()
        while not listener.is_done:
            listener.failures += 1
            answer = None
            try:
                timeout = httpx.Timeout(SILENT_S, connect=5.0)
                async with self._http.stream("GET", path, headers=listener.connect(), timeout=timeout) as answer:
                    if answer.status_code >= 400:
                        await answer.aread()
                        if answer.status_code not in RETRIED:
                            raise from_answer(answer, listener.failures)
                    elif answer.status_code == 204:
                        return
                    else:
                        async for piece in answer.aiter_bytes():
                            for event in listener.hear(piece):
                                yield event
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
            await asyncio.sleep(delay_s)


async def _without_blocking(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read a file's pieces in a thread."""
    while (piece := await in_thread(next, pieces, b"")) != b"":
        yield piece


class AsyncDatasets:
    """Tables that are stored."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(
        self,
        table: Table,
        *,
        name: str | None = None,
        format: str | None = None,
        kinds: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncDataset:
        """Send a table: a path, bytes, an open file, or columns by name. Large files go in pieces, and survive cut connections.

        Args:
            kinds: Overrides what is found in columns: `{"zip": "categorical"}`.
        """
        client = self._client
        flow = operations.create_dataset(
            AsyncDataset, table, client.retries, name=name, format=format, kinds=kinds, key=idempotency_key
        )
        return (await client.run(flow)).bind(client)

    def list(self, *, page_size: int = 100) -> AsyncPages[AsyncDataset]:
        """Iterate over all datasets, newest first."""
        return AsyncPages(self._client, AsyncDataset, "/v1/datasets", {"limit": page_size})

    async def get(self, dataset_id: str) -> AsyncDataset:
        """Give a dataset."""
        client = self._client
        return (
            await client.run(operations.read(AsyncDataset, f"/v1/datasets/{quoted(dataset_id)}", client.retries))
        ).bind(client)

    async def delete(self, dataset_id: str) -> None:
        """Delete a dataset that no job needs any more."""
        await self._client.run(operations.delete(f"/v1/datasets/{quoted(dataset_id)}", self._client.retries))


class AsyncJobs:
    """Requests to train."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(
        self,
        dataset: DatasetOrId | None = None,
        *,
        target: str | Sequence[str] | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJob:
        """Submit a network to be trained on a dataset. What is not named has the service's default."""
        client = self._client
        flow = operations.create_job(AsyncJob, dataset, target, options, client.retries, idempotency_key)
        return (await client.run(flow)).bind(client)

    async def plan(
        self,
        dataset: DatasetOrId | None = None,
        *,
        target: str | Sequence[str] | None = None,
        **options: Unpack[JobOptions],
    ) -> Plan:
        """Say what a job would be and cost, and what becomes of each column; nothing is stored."""
        return await self._client.run(operations.plan_job(dataset, target, options, self._client.retries))

    def list(
        self, *, status: str | None = None, tag: str | None = None, kind: str | None = None, page_size: int = 100
    ) -> AsyncPages[AsyncJob]:
        """Iterate over all jobs, newest first; `tag` is `key:value`."""
        params = {"limit": page_size, "status": status, "tag": tag, "kind": kind}
        return AsyncPages(self._client, AsyncJob, "/v1/jobs", params)

    async def get(self, job_id: str) -> AsyncJob:
        """Give a job as it is now."""
        client = self._client
        return (await client.run(operations.read(AsyncJob, f"/v1/jobs/{quoted(job_id)}", client.retries))).bind(client)

    async def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with its history. Its model stays."""
        await self._client.run(operations.delete(f"/v1/jobs/{quoted(job_id)}", self._client.retries))


class AsyncModels:
    """Trained networks with their preprocessing."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def list(self, *, page_size: int = 100) -> AsyncPages[AsyncModel]:
        """Iterate over all models, newest first."""
        return AsyncPages(self._client, AsyncModel, "/v1/models", {"limit": page_size})

    async def get(self, model_id: str) -> AsyncModel:
        """Give a model."""
        client = self._client
        return (await client.run(operations.read(AsyncModel, f"/v1/models/{quoted(model_id)}", client.retries))).bind(
            client
        )

    async def delete(self, model_id: str) -> None:
        """Delete a model and its weights."""
        await self._client.run(operations.delete(f"/v1/models/{quoted(model_id)}", self._client.retries))

    async def create(
        self, weights: Weights | None = None, *, idempotency_key: str | None = None, **description: Any
    ) -> AsyncModel:
        """Upload a network that was trained elsewhere.

        Args:
            weights: A `.npz` or safetensors file: its path, its bytes, or the open file; or arrays by name, such as a
                `state_dict`. None: they are in the description, as `layers`.
            description: The fields of `ModelCreate`: `task`, `n_inputs` or `inputs`, `classes`, `network`, ….
        """
        client = self._client
        flow = operations.create_model(AsyncModel, weights, description, client.retries, idempotency_key)
        return (await client.run(flow)).bind(client)
