"""How cells are spelled: missing values, truth values, times, and numbers as text. One rule for uploads and predictions."""

import re
from datetime import UTC, datetime, timedelta

MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "?")
TRUE = ("true", "t", "yes")
FALSE = ("false", "f", "no")

ISO_TIME = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_ISO_TIME = re.compile(ISO_TIME, re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EXACT = 2.0**53

Scalar = str | int | float | bool


def truth(text: str) -> bool | None:
    """Give what a word says, or None if it is no truth value."""
    word = text.strip().lower()
    return True if word in TRUE else False if word in FALSE else None


def seconds(text: str) -> float | None:
    """Give the seconds from 1970 to an ISO 8601 date or time (UTC unless it says otherwise), or None."""
    text = text.strip()
    if not _ISO_TIME.match(text):
        return None
    try:
        time = datetime.fromisoformat(text)
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return ((time - _EPOCH) // _MICROSECOND) / 1e6
    except (ValueError, OverflowError):
        return None


def plain_number(value: float) -> int | float:
    """Give 3 for 3.0: the number as people write it."""
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def as_text(value: Scalar) -> str:
    """Give a JSON value as the text that stands for it: `true`, `3`, `0.5`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
