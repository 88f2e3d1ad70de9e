"""How cells are spelled: missing values, truth values, and numbers as text. One rule for uploads and predictions.

Times are in `times.py`.
"""

from app.tables.times import seconds

__all__ = [
    "FALSE",
    "MISSING",
    "MISSING_NUMBERS",
    "TRUE",
    "Scalar",
    "as_text",
    "is_missing_number",
    "plain_number",
    "seconds",
    "truth",
]

SPREADSHEET_ERRORS = ("#n/a", "#na", "#n/a n/a", "#value!", "#div/0!", "#ref!", "#num!", "#name?", "#null!")
NOT_A_NUMBER = ("nan", "-nan", "nat", "1.#qnan", "1.#ind", "-1.#ind")
# What is missing in any column: nobody means a value by it.
MISSING = (
    *("", "?", "na", "n/a", "n.a.", "n.a", "<na>", "null", "(null)", "<null>", "\\n"),
    *NOT_A_NUMBER,
    *SPREADSHEET_ERRORS,
)
# What is missing among numbers, times and truth values only. Among words it may be a category: `none, one, two`, or `+, -`.
MISSING_NUMBERS = (*MISSING, "none", "nil", "-", "--", "---", ".", "..", "missing")
TRUE = ("true", "t", "yes")
FALSE = ("false", "f", "no")

_MISSING_NUMBERS = frozenset(MISSING_NUMBERS)
_EXACT = 2.0**53

Scalar = str | int | float | bool


def is_missing_number(text: str) -> bool:
    """Tell whether a text says, where a number, a time or a truth value is expected, that there is none."""
    return text.strip().lower() in _MISSING_NUMBERS


def truth(text: str) -> bool | None:
    """Give what a word says, or None if it is no truth value."""
    word = text.strip().lower()
    return True if word in TRUE else False if word in FALSE else None


def plain_number(value: float) -> int | float:
    """Give 3 for 3.0: the number as people write it."""
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def as_text(value: Scalar) -> str:
    """Give a JSON value as the text that stands for it: `true`, `3`, `0.5`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
