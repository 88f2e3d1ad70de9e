"""The outermost layer: a request id on every answer, and a problem body where anything inside answered with a bare error."""

import re
import secrets

from anyio import BrokenResourceError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import for_status

REQUEST_ID = "X-Request-Id"
# Nothing is loaded from elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class Edge:
    """Wraps the whole app, outside of the framework's own layers, some of which answer in plain text.

    Args:
        app: What is wrapped.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request in and its answer out."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            # No name has this character, and PostgreSQL takes no text with it.
            await for_status(404 if "\0" in scope["path"] else 400)(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get(REQUEST_ID))
        replaced = False

        async def answer(message: Message) -> None:
            nonlocal replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", POLICY)
                if message["status"] >= 400 and not headers.get("content-type", "").startswith("application/"):
                    replaced = True
                    kept = {n: v for n, v in headers.items() if n not in {"content-length", "content-type"}}
                    await for_status(message["status"], kept)(scope, receive, send)
                    return
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except* BrokenResourceError:
            pass  # the client of an event stream went away while the next event was on its way


def _request_id(sent: str | None) -> str:
    if sent is not None and re.fullmatch(r"[\x21-\x7e]{1,200}", sent):
        return sent
    return f"req_{secrets.token_hex(12)}"
