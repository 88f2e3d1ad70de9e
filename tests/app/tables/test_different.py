"""Counting different values of a streamed table."""

import numpy as np
import polars as pl

from app.tables import different


def test_streamed_values_are_counted_as_those_in_memory_are(tmp_path, monkeypatch):
    monkeypatch.setattr(different, "VALUES_AT_ONCE", 3_000)
    random = np.random.default_rng(0)
    n_rows = 20_000
    frame = pl.DataFrame(
        {
            "text": pl.Series(random.integers(0, 9_000, n_rows)).cast(pl.String),
            "zeros": random.choice([0.0, -0.0, 1.0], n_rows),
            "numbers": random.normal(size=n_rows).round(3),
            "truth": random.integers(0, 2, n_rows).astype(bool),
            "times": pl.Series(random.integers(0, 10_000, n_rows)).cast(pl.Datetime("us")),
            "nothing": pl.Series([None] * n_rows, dtype=pl.String),
        }
    ).with_columns(pl.when(pl.Series(random.random(n_rows) < 0.1)).then(None).otherwise(pl.all()).name.keep())
    frame.write_ipc(tmp_path / "table")
    expected = [len({*values} - {None}) for values in frame.to_dict(as_series=False).values()]
    counts = different.count_different(pl.scan_ipc(tmp_path / "table"), frame.columns, n_rows)
    assert counts == expected
    assert (counts[1], counts[-1]) == (2, 0)
