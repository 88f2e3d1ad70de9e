"""Conversations with the service, written once: as generators that name each step, and leave the waiting to a driver.

The blocking client and the asynchronous one drive the same conversations, so that retries, idempotency and resumed
transfers are the same in both.
"""

import random
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias, TypeVar

import httpx

from descent.errors import Unreachable, from_answer

T = TypeVar("T")
KEY = "Idempotency-Key"
# 500 is a bug and 507 a full disk: neither passes by asking again.
RETRIED = frozenset({408, 429, 502, 503, 504})


@dataclass(frozen=True)
class Call:
    """One request.

    Args:
        method: `GET`, `POST`, ….
        path: Below the base URL.
        params: Of the query; None is left out.
        json: The body, or `content`.
        content: The body as bytes, or a function that opens it anew for each attempt.
        headers: Beside those that every request has.
        keyed: Whether it makes something, and so gets an Idempotency-Key that all attempts share.
        timeout_s: Longest silence; None: the client's.
        sink: Where the body of a 200 or 206 goes, piece by piece, instead of into memory.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    content: bytes | Callable[[], Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    keyed: bool = False
    timeout_s: float | None = None
    sink: Callable[[httpx.Response], Callable[[bytes], object]] | None = None

    @property
    def sent_params(self) -> dict[str, Any]:
        """The query, without what is not given."""
        return {name: value for name, value in self.params.items() if value is not None}


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


Step: TypeAlias = Call | Pause
Flow: TypeAlias = Generator[Step, httpx.Response | None, T]


@dataclass(frozen=True)
class Retries:
    """How often, and after how long, a request is sent again.

    Args:
        most: Attempts beside the first.
        first_s: The wait before the second attempt; it doubles from there.
        longest_s: No wait is longer, unless the service asks for it by `Retry-After`.
        longest_asked_s: If the service asks for more than this, it is not asked again.
    """

    most: int = 4
    first_s: float = 0.25
    longest_s: float = 8.0
    longest_asked_s: float = 60.0

    def delay_s(self, attempt: int, answer: httpx.Response | None = None) -> float | None:
        """Say how long to wait after the `attempt`-th failure (from 1); None: give up.

        The wait is drawn at random, so that clients that failed together do not come back together.
        """
        if attempt > self.most:
            return None
        asked = None if answer is None else _retry_after_s(answer)
        if asked is not None:
            return asked * random.uniform(1.0, 1.1) if asked <= self.longest_asked_s else None  # noqa: S311
        return min(self.longest_s, self.first_s * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311


def _retry_after_s(answer: httpx.Response) -> float | None:
    said = answer.headers.get("retry-after", "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())


def ask(call: Call, retries: Retries) -> Flow[httpx.Response]:
    """Send a request until it is answered.

    Returns:
        An answer below 400. Its `extensions["attempts"]` counts how often it was asked.

    Raises:
        APIError: The service refused it.
        Unreachable: Nothing answered.
    """
    if call.keyed and KEY not in call.headers:
        call = replace(call, headers={**call.headers, KEY: secrets.token_hex(16)})
    attempt = 0
    while True:
        attempt += 1
        answer: httpx.Response | None = None
        try:
            answer = yield call
            assert answer is not None
            answer.extensions["attempts"] = attempt
            if answer.status_code < 400:
                return answer
            failure: Exception = from_answer(answer, attempt)
            delay_s = retries.delay_s(attempt, answer) if answer.status_code in RETRIED else None
        except httpx.TransportError as error:
            said = str(error) or type(error).__name__
            failure = Unreachable(f"{call.method} {call.path}: {said} ({attempt} attempts). Is the service running?")
            failure.__cause__ = error
            delay_s = None if isinstance(error, httpx.UnsupportedProtocol) else retries.delay_s(attempt)
        if delay_s is None:
            raise failure
        yield Pause(delay_s)
