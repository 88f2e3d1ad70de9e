"""Tables a batch of rows at a time: made so for polars to stream, and looked at so."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

AT_ONCE = 1500  # polars plans for longer the more expressions there are, and the more columns for each time it plans

Batches = Callable[[], Iterator[pl.DataFrame]]


def streamed(batches: Batches, schema: pl.Schema) -> pl.LazyFrame:
    """Give a frame whose rows are made by calling `batches`, each time that they are read."""

    def generate(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        for batch in batches():
            chosen = batch if columns is None else batch.select(columns)
            chosen = chosen if n_rows is None else chosen.head(n_rows)
            n_rows = None if n_rows is None else n_rows - chosen.height
            yield chosen if predicate is None else chosen.filter(predicate)
            if n_rows == 0:
                return

    return register_io_source(generate, schema=schema)


def aggregated(frame: pl.DataFrame | pl.LazyFrame, expressions: Sequence[pl.Expr]) -> list[Any]:
    """Give the one value of each expression. What is not in memory is streamed."""
    numbered = [expression.alias(str(place)) for place, expression in enumerate(expressions)]
    if isinstance(frame, pl.DataFrame):
        return list(frame.select(numbered).row(0)) if numbered else []
    found: list[Any] = []
    for start in range(0, len(numbered), AT_ONCE):
        found += frame.select(numbered[start : start + AT_ONCE]).collect(engine="streaming").row(0)
    return found
