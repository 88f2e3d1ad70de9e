"""The rows of a table as a trained model takes them, a chunk at a time: memory does not grow with the table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from app.contract.datasets import Kind
from app.tables.fitted import Array, FittedInput, FittedPreprocessing, FittedTarget
from app.tables.preparation import encode_inputs, encode_targets
from app.tables.selection import Mask, numbers, open_table, places
from app.tables.words import Scalar, as_text, plain_number

MAX_ROWS = 65_536
CHUNK_BYTES = 16 << 20
MAX_NAME_LENGTH = 200
_EXACT = 2.0**53


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows.

    Args:
        start: Number of the first row in the table.
        x: The network's inputs.
        usable: Which rows have inputs that are all finite: no number is missing that the model's rule does not fill.
        y: What the network should answer, as in training; None where targets were not asked for.
        actual: The place of each row's class (-1: missing, or unseen in training), or its numbers in the scale of the outputs.
        has_target: Which rows have every target.
        unseen: Classes that the model does not know, as text, and how many rows are of each.
    """

    start: int
    x: Array
    usable: Mask
    y: Array | None = None
    actual: Array | None = None
    has_target: Mask | None = None
    unseen: Mapping[str, int] = field(default_factory=dict)


def chunk_rows(fitted: FittedPreprocessing) -> int:
    """How many rows are taken at a time: so many that their inputs stay small."""
    return max(min(MAX_ROWS, CHUNK_BYTES // (8 * (fitted.n_inputs + fitted.n_outputs))), 1)


def chunks(table: Path, fitted: FittedPreprocessing, dtype: str, *, with_targets: bool) -> Iterator[Chunk]:
    """Give all rows in their order."""
    frame = open_table(table)
    schema = frame.collect_schema()
    wanted: dict[str, FittedInput | FittedTarget] = {one.name: one for one in fitted.inputs}
    if with_targets:
        wanted |= {one.name: one for one in fitted.targets}
    typed = frame.select(_typed(name, schema[name], one) for name, one in wanted.items())
    n_rows = frame.select(pl.len()).collect().item()
    step = chunk_rows(fitted)
    for start in range(0, n_rows, step):
        held = typed.slice(start, step).collect()
        x = encode_inputs(held, fitted, dtype)
        usable: Mask = np.asarray(np.isfinite(x).all(axis=1))
        yield _labelled(start, x, usable, held, fitted, dtype) if with_targets else Chunk(start, x, usable)


def _labelled(start: int, x: Array, usable: Mask, held: pl.DataFrame, fitted: FittedPreprocessing, dtype: str) -> Chunk:
    y = encode_targets(held, fitted, dtype)
    if fitted.task == "classification":
        target = fitted.targets[0]
        values = held[target.name]
        actual, present = places(values, target.classes or ()), values.is_not_null().to_numpy()
        counts = values.filter(pl.Series(present & (actual < 0))).value_counts(name="").rows()
        return Chunk(start, x, usable, y, actual, present, {_word(value): count for value, count in counts})
    with np.errstate(over="ignore"):
        columns = [(numbers(held[one.name]) * one.unit - one.offset) / one.scale for one in fitted.targets]
    actual = np.column_stack(columns)
    return Chunk(start, x, usable, y, actual, np.asarray(~np.isnan(actual).any(axis=1)))


def _typed(name: str, dtype: pl.DataType, one: FittedInput | FittedTarget) -> pl.Expr:
    """Give a column in the type that it had in training: another dataset may hold the same values in another one."""
    column = pl.col(name)
    if isinstance(one, FittedInput):
        is_text, is_truth = one.categories is not None, False
    else:
        is_text, is_truth = (isinstance((one.classes or (None,))[0], kind) for kind in (str, bool))
    if is_text:
        return _text(column, dtype)
    if isinstance(one, FittedInput) and one.kind is Kind.DATETIME:
        return column if dtype == pl.Datetime else column.cast(pl.Null, strict=False).cast(pl.Datetime("us", "UTC"))
    if dtype == pl.String:  # without a single value
        column = column.cast(pl.Float64, strict=False)
    return column.cast(pl.Boolean if is_truth else pl.Float64)


def _word(value: Scalar) -> str:
    return as_text(plain_number(value) if isinstance(value, float) else value)[:MAX_NAME_LENGTH]


def _text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Give numbers as text, 3 and not 3.0 for a whole one."""
    if dtype != pl.Float64:
        return column.cast(pl.String)
    whole = (column == column.floor()) & (column.abs() < _EXACT)
    return pl.when(whole).then(column.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(column.cast(pl.String))
