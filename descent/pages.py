"""Lists that come in pages."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from descent import operations

if TYPE_CHECKING:
    from descent.async_client import AsyncClient
    from descent.async_handles import AsyncDataset, AsyncJob, AsyncModel
    from descent.client import Client
    from descent.handles import Dataset, Job, Model

T = TypeVar("T", "Dataset", "Job", "Model")
A = TypeVar("A", "AsyncDataset", "AsyncJob", "AsyncModel")


class Pages(Generic[T]):
    """A list, newest first; iterating fetches one page after the other, when it is needed."""

    def __init__(self, client: "Client", kind: type[T], path: str, params: Mapping[str, Any]) -> None:
        self._client, self._path, self._params = client, path, params
        self._kind: type[T] = kind

    def pages(self) -> Iterator[list[T]]:
        """Give page by page."""
        cursor: str | None = None
        while True:
            flow = operations.read_page(self._kind, self._path, self._client.retries, **self._params, cursor=cursor)
            page = self._client.run(flow)
            yield [one.bind(self._client) for one in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page


class AsyncPages(Generic[A]):
    """A list, newest first; iterating fetches one page after the other, when it is needed."""

    def __init__(self, client: "AsyncClient", kind: type[A], path: str, params: Mapping[str, Any]) -> None:
        self._client, self._path, self._params = client, path, params
        self._kind: type[A] = kind

    async def pages(self) -> AsyncIterator[list[A]]:
        """Give page by page."""
        cursor: str | None = None
        while True:
            flow = operations.read_page(self._kind, self._path, self._client.retries, **self._params, cursor=cursor)
            page = await self._client.run(flow)
            yield [one.bind(self._client) for one in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return

    async def __aiter__(self) -> AsyncIterator[A]:
        async for page in self.pages():
            for one in page:
                yield one
