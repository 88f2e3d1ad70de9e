"""What every message shares: incoming ones refuse what they do not know, outgoing ones always carry every field."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints


class Incoming(BaseModel):
    """A message from a client. Unknown fields, NaN and Infinity are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Outgoing(BaseModel):
    """A message to a client. No field has a default, so that none is ever left out."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


def _utc_text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(_utc_text, return_type=str, when_used="json"),
    Field(description="UTC, ISO 8601, ending in `Z`."),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=500)]


Item = TypeVar("Item")


class Page(Outgoing, Generic[Item]):
    """One page of a list, newest first."""

    items: list[Item]
    next_cursor: Annotated[str | None, Field(description="Give it as `?cursor=`; null on the last page.")]
