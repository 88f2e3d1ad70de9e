"""What would hold up the event loop, done in a thread."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

import httpx

from descent.flow import Flow, Step

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class Ended(Generic[T]):
    """The end of a conversation, and what came of it. A `StopIteration` cannot leave a thread."""

    result: T


def advance(flow: Flow[T], heard: httpx.Response | httpx.TransportError | None) -> Step | Ended[T]:
    """Go on to the next step of a conversation: with an answer, or with what was in its way; None begins it, or ends a pause."""
    try:
        return flow.throw(heard) if isinstance(heard, Exception) else flow.send(heard)
    except StopIteration as end:
        return Ended(end.value)


async def in_thread(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it in a thread. Who is cancelled waits until it has ended, so that nothing goes on behind his back."""
    work = asyncio.ensure_future(asyncio.to_thread(act, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # nobody else asks for it
        raise
