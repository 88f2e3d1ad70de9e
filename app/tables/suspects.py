"""Columns that are left out unless they are asked for: identifiers, and copies of the target. Imports no polars."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from app.contract.datasets import Column, Kind, RoleHint
from app.tables.faults import shown

MIN_ROWS = 20
MIN_STRINGS = 10
EXPECTED_REPEATS = 5.0
_EXACT = 2.0**53
_NAMES = re.compile(r"(^|[^a-zA-Z0-9])(id|uuid|guid|idx|index|key|rowid|rownum)$|^(row|unnamed: ?0)$", re.IGNORECASE)
_CAMEL = re.compile(r"[a-z](Id|ID|Uuid|UUID|Key|Index)$")

ASK = "name it among the features to use it"


@dataclass(frozen=True)
class Suspects:
    """Columns that, by their statistics, may be identifiers or copies; a look at their values decides.

    Args:
        certain: Those that the statistics decide, and why.
        numbers: Identifiers if they hold whole numbers only; and why.
        copies: Columns that may hold the same as a target, and which.
    """

    certain: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)


def suspects(columns: Sequence[Column], targets: Collection[str], n_rows: int) -> Suspects:
    """Find them. A dataset that names its own targets names its features, too: then nothing is suspected.

    Whole numbers that differ in every row are an identifier if their range is so narrow that by chance some would be equal
    (n rows drawn from a range of r repeat about n² / 2r times), or if the column is named like one.
    """
    found = Suspects()
    if any(column.role_hint is RoleHint.TARGET for column in columns):
        return found
    wanted = [column for column in columns if column.name in targets]
    for column in columns:
        if column.name in targets:
            continue
        for target in wanted:
            if _may_be_equal(column, target):
                found.copies[column.name] = target.name
        if column.n_unique != n_rows or column.n_missing:
            continue
        if column.kind in {Kind.CATEGORICAL, Kind.TEXT} and n_rows >= MIN_STRINGS:
            what = "text" if column.kind is Kind.TEXT else "identifier-like"
            found.certain[column.name] = f"{what}: a different value in each of the {n_rows:,} rows; {ASK}"
        elif column.kind is Kind.NUMERIC and n_rows >= MIN_ROWS and _may_be_identifier(column, n_rows):
            found.numbers[column.name] = f"identifier-like: a different whole number in each row; {ASK}"
    return found


def copy_of(target: str) -> str:
    """Say why a copy is left out."""
    return f"leaks the target: the same values as {shown(target)} in every row"


def _may_be_identifier(column: Column, n_rows: int) -> bool:
    if column.min is None or column.max is None or max(abs(column.min), abs(column.max)) > _EXACT:
        return False
    named = _NAMES.search(column.name) or _CAMEL.search(column.name)
    return bool(named) or n_rows * n_rows / (2 * (column.max - column.min + 1)) > EXPECTED_REPEATS


def _may_be_equal(column: Column, target: Column) -> bool:
    same = (column.n_unique, column.n_missing) == (target.n_unique, target.n_missing) and column.n_unique > 1
    if column.kind in {Kind.NUMERIC, Kind.BOOLEAN}:
        moments = [(one.min, one.max, one.mean, one.std) for one in (column, target)]
        return same and column.kind is target.kind and moments[0] == moments[1]
    return same and column.kind is target.kind and column.categories == target.categories
