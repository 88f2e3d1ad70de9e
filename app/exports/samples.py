"""Rows to compare a file with the engine on: some of the dataset, and made ones with missing and unseen values."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.datasets import Kind
from app.errors import InvalidRequest
from app.exports.columns import kind_of
from app.tables.fitted import FittedInput, FittedPreprocessing
from app.tables.words import seconds

Row = dict[str, Any]
MOST_ROWS, MOST_CELLS = 64, 200_000
UNSEEN = "no such category"
ABOUT_NOW_S = 1.7e9


def sample_rows(preprocessing: FittedPreprocessing, table: Path | None) -> list[Row]:
    """Give rows as a client sends them to `/predict`; those that the model refuses are left out.

    Args:
        table: The dataset; None, or a path where nothing is any more: made rows must do.
    """
    n = max(2, min(MOST_ROWS, MOST_CELLS // max(len(preprocessing.inputs), 1))) // 2
    rows = made_rows(preprocessing, n)
    if table is not None and table.exists():
        from app.tables.reading import preview

        with suppress(FileNotFoundError):  # it may be deleted right now
            rows += [{name: row.get(name) for name in preprocessing.feature_names} for row in preview(table, n)]
    if _are_taken(preprocessing, rows):
        return rows
    return [row for row in rows if _are_taken(preprocessing, [row])]


def made_rows(preprocessing: FittedPreprocessing, n: int) -> list[Row]:
    """Give `n` rows of likely values. One has none of them, one has categories never seen; each column lacks in one more."""
    generator = np.random.Generator(np.random.PCG64(0))
    rows: list[Row] = [{} for _ in range(n)]
    for column, one in enumerate(preprocessing.inputs):
        lacking = {0, 2 + column % max(n - 2, 1)}
        for place, row in enumerate(rows):
            value = _value(one, place, float(generator.random()))
            row[one.name] = _missing(one, value) if place in lacking else value
    return rows


def _missing(one: FittedInput, otherwise: Any) -> Any:
    """Give what a missing value is, if there may be one; where "" is a category, that is what ONNX would take it for."""
    if one.categories is not None:
        return "" if "" in one.categories else None
    return otherwise if one.fill is None else None


def _value(one: FittedInput, place: int, chance: float) -> Any:
    if one.categories is not None:
        if place == 1 or not one.categories:
            return UNSEEN
        return one.categories[place % len(one.categories)]
    if one.kind is Kind.BOOLEAN:
        return chance < 0.5
    number = (one.offset + one.scale * (4 * chance - 2)) / one.unit
    if one.kind is Kind.DATETIME:
        return _time(number if abs(number) > 1e6 else ABOUT_NOW_S * chance)
    return number if np.isfinite(number) else one.offset / one.unit


def _time(number: float) -> str:
    """Give a time of the years that are written with four digits."""
    number = min(max(number, -6e10), 2.5e11)
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(number))).isoformat()


def _are_taken(preprocessing: FittedPreprocessing, rows: Sequence[Row]) -> bool:
    with_empty = [one.name for one in preprocessing.inputs if "" in (one.categories or ())]
    if any(row[name] is None for row in rows for name in with_empty):
        return False  # where "" is a category, ONNX has no way to say that a value is missing
    try:
        preprocessing.encode_rows(rows, "float32")
    except InvalidRequest:
        return False
    return True


def feeds(preprocessing: FittedPreprocessing, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """Give rows as the ONNX file takes them: one array `[N, 1]` a column."""
    fed = {}
    for one in preprocessing.inputs:
        values = [row[one.name] for row in rows]
        if kind_of(one) == "str":
            fed[one.name] = np.array(["" if value is None else value for value in values], object)[:, None]
        else:
            numbers = [np.nan if value is None else _NUMBER[one.kind](value) for value in values]
            fed[one.name] = np.array(numbers, np.float64)[:, None]
    return fed


_NUMBER: dict[Kind, Callable[[Any], Any]] = {Kind.NUMERIC: float, Kind.BOOLEAN: float, Kind.DATETIME: seconds}
