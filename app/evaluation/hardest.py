"""The rows of a dataset that a model finds hardest: those that cost it most."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from app.evaluation.measures import Counts, Scored, finite, scored
from app.evaluation.subject import Subject
from app.tables.reading import as_json
from app.tables.selection import open_table
from engine.classification import answers, of_actual

MAX_CELLS = 1 << 20
MAX_TEXT_LENGTH = 500


def hardest(table: Path, subject: Subject, limit: int) -> dict[str, Any]:
    """Give the `limit` rows of the largest loss, hardest first; of equal ones the first in the table."""
    counts = Counts()
    kept: Scored | None = None
    for rows in scored(table, subject, counts):
        if kept is not None and len(kept.rows) == limit:
            rows = rows.picked(np.flatnonzero(rows.costs > kept.costs[-1]))
        joined = rows if kept is None else kept.joined(rows)
        kept = joined.picked(np.lexsort((joined.rows, -joined.costs))[:limit])
    counts.check()
    assert kept is not None
    values = _values(table, kept.rows.tolist())
    said = _said(kept, subject)
    found = [
        {"row": row, "loss": finite(cost), **words, "values": values[row]}
        for row, cost, words in zip(kept.rows.tolist(), kept.costs.tolist(), said, strict=True)
    ]
    return {"n_rows": counts.n_rows, "n_evaluated": counts.n_used, "rows": found}


def _said(rows: Scored, subject: Subject) -> list[dict[str, Any]]:
    """Give what is predicted and what is right, in the words and units of the dataset."""
    fitted = subject.preprocessing
    if fitted.task == "classification":
        classes = fitted.targets[0].classes or ()
        chances = of_actual(rows.actual, rows.outputs).tolist() if subject.probabilities else [None] * len(rows.rows)
        places = zip(answers(rows.outputs).tolist(), rows.actual.tolist(), chances, strict=True)
        return [
            {"predicted": classes[said], "actual": classes[right], "probability": chance}
            for said, right, chance in places
        ]
    scale, offset, unit = (
        np.array([getattr(one, name) for one in fitted.targets]) for name in ("scale", "offset", "unit")
    )
    with np.errstate(over="ignore"):
        numbers = [(np.asarray(one, np.float64) * scale + offset) / unit for one in (rows.outputs, rows.actual)]
    predicted, actual = ([[finite(value) for value in row] for row in one.tolist()] for one in numbers)
    alone = len(fitted.targets) == 1
    return [
        {"predicted": said[0] if alone else said, "actual": right[0] if alone else right, "probability": None}
        for said, right in zip(predicted, actual, strict=True)
    ]


def _values(table: Path, rows: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Give some rows of the table, by their numbers; long text is cut, so that the answer stays small."""
    cut = pl.col(pl.String).str.head(MAX_TEXT_LENGTH)
    frame = open_table(table)
    step = max(MAX_CELLS // len(frame.collect_schema()), 1)
    found: dict[int, dict[str, Any]] = {}
    for _, group in groupby(sorted(rows), lambda row: row // step):
        some = list(group)
        held = frame.slice(some[0], some[-1] - some[0] + 1).collect()[[row - some[0] for row in some]]
        found.update(zip(some, as_json(held.lazy().with_columns(cut)), strict=True))
    return found
