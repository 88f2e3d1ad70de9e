"""Tables that are made a batch of rows at a time, for polars to stream."""

from collections.abc import Callable, Iterator

import polars as pl
from polars.io.plugins import register_io_source

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
