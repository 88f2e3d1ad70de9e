"""The same request twice, the same answer twice, and only one effect."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel

from app.errors import KeyReused
from app.services.installation import now
from app.store import answers
from app.store.session import Session


@dataclass(frozen=True)
class Answer:
    """What was made, now or (`replayed`) by an earlier request with the same key.

    Args:
        object_id: Of what was made.
        body: The answer as JSON. An earlier one is given as it was stored: what an older version wrote stays readable.
        replayed: Whether it is an earlier one.
    """

    object_id: str
    body: str
    replayed: bool = False

    @classmethod
    def of(cls, object_id: str, made: BaseModel) -> "Answer":
        """Answer with what was made just now."""
        return cls(object_id, made.model_dump_json())


@dataclass(frozen=True)
class RequestKey:
    """The Idempotency-Key of a request, if it has one, and what was asked.

    Args:
        owner: Whose key it is.
        key: The header's value.
        fingerprint: Hash of the request.
        kept_hours: How long the answer is kept.
    """

    owner: str
    key: str | None
    fingerprint: str
    kept_hours: int = 24


def fingerprint(*parts: str | bytes) -> str:
    """Hash what makes a request the same request."""
    digest = hashlib.sha256()
    for part in parts:
        piece = part.encode() if isinstance(part, str) else part
        digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()


def once(session: Session, request: RequestKey, act: Callable[[], tuple[str, BaseModel]]) -> Answer:
    """Do `act`, which gives an id and an answer, unless it was done before under the same key.

    Raises:
        KeyReused: Another request came with this key in the last hours.
    """
    if request.key is None:
        return Answer.of(*act())
    answers.forget(session, before=now() - timedelta(hours=request.kept_hours))
    if answers.claim(session, request.owner, request.key, request.fingerprint, now()):
        answer = Answer.of(*act())
        answers.fill(session, request.owner, request.key, answer.object_id, answer.body)
        return answer
    earlier = replay(session, request)
    assert earlier is not None, "a claimed key has an answer once its transaction has ended"
    return earlier


def replay(session: Session, request: RequestKey) -> Answer | None:
    """Give the answer that is already under the key, if there is one.

    Raises:
        KeyReused: Another request came with this key.
    """
    row = None if request.key is None else answers.find(session, request.owner, request.key)
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        raise KeyReused("This Idempotency-Key came with another request in the last hours; use a new one.")
    assert row.object_id is not None
    assert row.body is not None
    return Answer(row.object_id, row.body, replayed=True)
