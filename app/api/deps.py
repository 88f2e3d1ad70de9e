"""What endpoints are given."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request

from app.api.shared import SharedReads
from app.services.installation import Installation
from app.services.once import RequestKey, fingerprint
from app.store.session import Session


# Not in a thread, as a plain function would be: on the way there and back it would wait for the other threads.
async def _installation(request: Request) -> Installation:
    installation = request.app.state.installation
    assert isinstance(installation, Installation)
    return installation


Installed = Annotated[Installation, Depends(_installation)]


async def _owner(installed: Installed) -> str:
    return installed.settings.owner


Owner = Annotated[str, Depends(_owner)]


async def _shared_jobs(request: Request) -> SharedReads[tuple[bool, str]]:
    shared = request.app.state.shared_jobs
    assert isinstance(shared, SharedReads)
    return shared


SharedJobs = Annotated[SharedReads[tuple[bool, str]], Depends(_shared_jobs)]


def _transaction(installed: Installed) -> Iterator[Session]:
    with installed.database.transaction() as session:
        yield session


def _reading(installed: Installed) -> Iterator[Session]:
    with installed.database.reading() as session:
        yield session


# With the scope "function" the commit comes before the answer; with the default one a failing commit is still a 2xx.
Transaction = Annotated[Session, Depends(_transaction, scope="function")]
Reading = Annotated[Session, Depends(_reading, scope="function")]

Limit = Annotated[int, Query(ge=1, le=100, description="Items on a page.")]
Cursor = Annotated[str | None, Query(max_length=100, description="`next_cursor` of the page before.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key with the same request gives the first answer again, for 24 hours.",
    ),
]


async def _request_key(
    request: Request, installed: Installed, owner: Owner, idempotency_key: IdempotencyKey = None
) -> RequestKey:
    body = await request.body() if idempotency_key is not None else b""
    asked = fingerprint(request.method, request.url.path, request.url.query, body)
    return RequestKey(owner, idempotency_key, asked, installed.settings.idempotency_hours)


Asked = Annotated[RequestKey, Depends(_request_key)]


async def _sent(request: Request) -> dict[str, Any]:
    """Give the JSON object that was sent; what is none is refused when it is validated, right after this."""
    with suppress(ValueError, RecursionError):
        body = await request.json()
        if isinstance(body, dict):
            return body
    return {}


Sent = Annotated[dict[str, Any], Depends(_sent)]
