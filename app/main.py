"""Assembles the API: `uvicorn app.main:app --http app.api.connection:Connection`."""

import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from app.api import (
    checkpoints,
    datasets,
    document,
    evaluation,
    events,
    foreign,
    jobs,
    models,
    problems,
    system,
    uploads,
    viewer,
)
from app.api.edge import Edge
from app.api.head import Head
from app.api.shared import SharedReads
from app.services.installation import Installation
from app.services.sweeping import Sweeper
from app.settings import Settings, settings
from app.store.identity import claim_at_start
from engine import __version__

WEB = Path(__file__).parent / "web"


def create_app(configured: Settings) -> FastAPI:
    """Put the parts together."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        installation = Installation.open(configured)
        claim_at_start(installation.database, installation.blobs)
        app.state.installation = installation
        app.state.shared_jobs = SharedReads()
        sweeper = Sweeper(installation)
        with_signals = threading.current_thread() is threading.main_thread()
        if with_signals:
            _before_shutdown(installation.changes.wake_all)
        try:
            yield
        finally:
            sweeper.end()
            installation.close()

    app = _Api(
        title="Descent",
        version=__version__,
        summary="Training as a service for multilayer perceptrons.",
        lifespan=lifespan,
        docs_url=None,  # our own, which works offline
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    problems.install(app)
    for room in (datasets, uploads, evaluation, events, checkpoints, jobs, models, foreign, system, viewer):
        app.include_router(room.router)
    app.mount("/", _Page(directory=WEB, html=True), name="web")
    return app


class _Page(StaticFiles):
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """Have browsers ask each time, so that after an upgrade none mixes old modules with new ones."""
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Give the OpenAPI document, complete."""
        if self.openapi_schema is None:
            made = super().openapi()
            foreign.describe(made)
            document.complete(made)
        assert self.openapi_schema is not None
        return self.openapi_schema

    def build_middleware_stack(self) -> ASGIApp:
        """Put our outermost layers around the framework's own, too."""
        return Edge(Head(super().build_middleware_stack()))


def _before_shutdown(act: Callable[[], None]) -> None:
    """Run `act` when the server is told to end.

    The server waits for every open answer before it ends the lifespan, and an event stream stays open until it is told.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def handle(number: int, frame: Any, before: Any = before) -> None:
            act()
            if callable(before):
                before(number, frame)

        signal.signal(number, handle)


def __getattr__(name: str) -> FastAPI:
    """Make `app` when it is asked for, so that importing this module reads no settings."""
    if name == "app":
        return create_app(settings())
    raise AttributeError(name)
