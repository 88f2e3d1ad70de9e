"""Problems: what went wrong, as RFC 9457 has it."""

from typing import Annotated

from pydantic import Field

from app.contract.base import Outgoing


class ProblemFault(Outgoing):
    """One fault of a request."""

    pointer: Annotated[str, Field(description="JSON pointer of the field; `?name` for a query parameter.")]
    message: str
    code: str
    allowed: Annotated[list[str] | None, Field(description="What would be accepted, for an enumeration.")]


class Problem(Outgoing):
    """An error body, `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(description="Stable name of the problem, for programs.")]
    errors: Annotated[list[ProblemFault], Field(description="Every fault of the request at once.")]
