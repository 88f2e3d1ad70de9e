"""What every message shares: incoming ones refuse what they do not know, outgoing ones always carry every field."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, PlainSerializer, StringConstraints
from pydantic_core import CoreSchema, core_schema


def _as_they_are(schema: Any) -> None:
    if isinstance(schema, list | tuple):
        for part in schema:
            _as_they_are(part)
    elif isinstance(schema, dict):
        kind = schema.get("type")
        if kind in {"bool", "float"}:
            schema["strict"] = True
        elif kind == "int" and "strict" not in schema:
            number = {**schema}
            schema.clear()
            schema.update(core_schema.no_info_before_validator_function(_whole, {**number, "strict": True}))
            return
        for name, part in schema.items():
            if name not in {"metadata", "serialization", "default", "cls"}:
                _as_they_are(part)


def _whole(number: Any) -> Any:
    """Give 5 for 5.0, as JSON makes no difference between them."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


class Incoming(BaseModel):
    """A message from a client. Unknown fields, NaN and Infinity are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take numbers and truth values as what they are: `"5"` is no number, and 1 is not true. 5.0 is a whole number."""
        schema = handler(source)
        _as_they_are(schema)
        return schema


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
