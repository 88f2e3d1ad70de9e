"""One reading for all who ask for the same thing at the same time."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from fastapi.concurrency import run_in_threadpool

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Reads each thing once for all who ask for it while it is being read for somebody before them.

    Nobody is given what was read before he asked: who comes while a reading is under way gets the next one. So the more there
    are who ask, the fewer readings each of them costs. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[T]] = {}
        self._next: dict[Hashable, asyncio.Task[T]] = {}

    async def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """Give what a reading that begins from now on finds, or raise what it raises.

        Args:
            key: What is read; whoever gives the same one must read the same.
            read: Reads it, in a thread.
        """
        task = self._next.get(key)
        if task is None:
            task = asyncio.create_task(self._read_next(key, self._running.get(key), read))
            self._next[key] = task
        return await asyncio.shield(task)  # a client that goes away takes nothing from the others

    async def _read_next(self, key: Hashable, before: "asyncio.Task[T] | None", read: Callable[[], T]) -> T:
        if before is not None:
            await asyncio.wait([before])
        task = self._running[key] = self._next.pop(key)
        try:
            return await run_in_threadpool(read)
        finally:
            if self._running[key] is task:
                del self._running[key]
