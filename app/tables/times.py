"""How times are spelled, and the moment that a text names. One rule for uploads and predictions; imports no polars.

Besides ISO 8601 these forms are read, each with or without a time of day (`10:00`, `10:00:00.5`, `10:00 PM`):
`2024/01/31`, `2024.01.31`, `31.01.2024` (the day is first), `31 Jan 2024`, `31-Jan-2024`, `Jan 31, 2024`,
`Wed, 31 Jan 2024 10:00:00 +0100` (RFC 2822), and `01/31/2024` or `31-01-2024`. Of these last the whole column decides whether
the day or the month is first, and a model reads them as the column was that it was trained on; of one alone a number above 12
decides. Years have four digits. Without a zone the time is UTC.
"""

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from app.contract.datasets import DateOrder

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

ISO_TIME = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_ISO_TIME = re.compile(ISO_TIME, re.ASCII)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

# The patterns mean the same to Python and to polars.
_CLOCK = (
    r"(?:(?:T|,? )(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:\.(?P<fraction>\d{1,6}))?)?"
    r"(?: ?(?P<half>[AaPp][Mm]))?)?"
)
_ZONE = r"(?: ?(?P<zone>GMT|UTC|Z|[+-]\d{4}))?$"
_MONTH = (
    r"(?P<word>(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?))\.?"
)
_WEEKDAY = r"^(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?"


class Form(StrEnum):
    """A way to write a time."""

    ISO = ISO_TIME
    YEAR_FIRST = r"^(?P<year>\d{4})[/.](?P<month>\d{1,2})[/.](?P<day>\d{1,2})" + _CLOCK + "$"
    DOTTED = r"^(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})" + _CLOCK + "$"
    NAMED = _WEEKDAY + r"(?P<day>\d{1,2})[ -]" + _MONTH + r"[ -](?P<year>\d{4})" + _CLOCK + _ZONE
    NAMED_FIRST = _WEEKDAY + _MONTH + r" (?P<day>\d{1,2}),? (?P<year>\d{4})" + _CLOCK + "$"
    DAY_FIRST = r"^(?P<day>\d{1,2})[/-](?P<month>\d{1,2})[/-](?P<year>\d{4})" + _CLOCK + "$"
    MONTH_FIRST = r"^(?P<month>\d{1,2})[/-](?P<day>\d{1,2})[/-](?P<year>\d{4})" + _CLOCK + "$"


_ORDERS = {DateOrder.DAY_FIRST: Form.DAY_FIRST, DateOrder.MONTH_FIRST: Form.MONTH_FIRST}
_COMPILED = {form: re.compile(form.value, re.ASCII) for form in Form}


def form_of(text: str) -> Form | None:
    """Give the form that a text is written in; of days and months as numbers alone, say `DAY_FIRST`."""
    text = text.strip()
    return next((form for form, pattern in _COMPILED.items() if pattern.match(text)), None)


def seconds(text: str, order: DateOrder | None = None) -> float | None:
    """Give the seconds from 1970 to the time that a text names (UTC unless it says otherwise), or None.

    None, too, if it cannot be told which of its numbers is the month: `01/02/2024`, without an `order`.
    """
    text = text.strip()
    form = form_of(text)
    if form is None:
        return None
    if form is not Form.DAY_FIRST:
        return _seconds(text, form)
    if order is not None:
        return _seconds(text, _ORDERS[order])
    found = {_seconds(text, Form.DAY_FIRST), _seconds(text, Form.MONTH_FIRST)} - {None}
    return found.pop() if len(found) == 1 else None


def _seconds(text: str, form: Form) -> float | None:
    match = _COMPILED[form].match(text)
    assert match is not None
    try:
        time = datetime.fromisoformat(text if form is Form.ISO else _iso(match.groupdict()))
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return ((time - _EPOCH) // _MICROSECOND) / 1e6
    except (ValueError, OverflowError):
        return None


def _iso(parts: dict[str, str | None]) -> str:
    """Write the parts of a time as ISO 8601 does."""
    month = parts.get("month") or str(MONTHS.index(str(parts["word"])[:3].lower()) + 1)
    hour = int(parts["hour"] or 0)
    if parts["half"] is not None:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of half a day")
        hour = hour % 12 + 12 * (parts["half"].lower() == "pm")
    fraction = (parts["fraction"] or "").ljust(6, "0")
    zone = parts.get("zone") or ""
    zone = "+00:00" if zone.isalpha() else zone
    date = f"{parts['year']}-{month:0>2}-{parts['day']!s:0>2}"
    return f"{date}T{hour:02}:{parts['minute'] or '00'}:{parts['second'] or '00'}.{fraction}{zone}"
