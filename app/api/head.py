"""HEAD: what GET would answer, without its body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _Enough(Exception):
    """The headers are sent, and nobody waits for the rest."""


class Head:
    """Wraps an app whose routes know GET alone: HEAD is answered with the headers of GET (RFC 9110, 9.3.2).

    What would follow the headers is not made: neither a file nor a stream of events is read.

    Args:
        app: What is wrapped.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request in and its answer out."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_start(message: Message) -> None:
            await send(message)
            await send({"type": "http.response.body"})
            raise _Enough

        # A range is one of a body (RFC 9110, 14.2).
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        try:
            await self.app({**scope, "method": "GET", "headers": headers}, receive, send_start)
        except* _Enough:
            pass
