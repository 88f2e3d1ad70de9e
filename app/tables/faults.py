"""Collecting the faults of a request, and pointing at them."""

from collections.abc import Iterable

from app.errors import Fault

MAX_FAULTS = 100
MAX_ALLOWED = 50


def pointer(*parts: str | int) -> str:
    """Give the JSON pointer (RFC 6901) of a field: `/rows/3/bill_length_mm`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def listed(names: Iterable[str], most: int = 5) -> str:
    """Name the first few: `a, b, c and 7 more`."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def unknown_column(at: str, name: str, names: Iterable[str]) -> Fault:
    """Say that there is no such column, and which ones there are."""
    allowed = tuple(names)[:MAX_ALLOWED]
    return Fault(at, f"the dataset has no column {shown(name)}", "unknown_column", allowed)


def shown(text: object, most: int = 40) -> str:
    """Quote a value in a message, cut to a readable length."""
    text = str(text)
    return repr(text if len(text) <= most else text[: most - 1] + "…")
