"""Predictions of all rows of a table, as a stream of CSV or Parquet: a line a row, in the order of the rows."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source
from typing_extensions import Buffer

from app.contract.evaluation import PredictionsFormat
from app.evaluation.rows import MAX_ROWS, chunk_rows, chunks
from app.evaluation.subject import Subject
from app.tables.fitted import Array, FittedPreprocessing
from app.tables.selection import Mask
from app.tables.words import Scalar
from engine.classification import answers

PIECE_BYTES = 256 << 10
CSV_ROWS = 4_096
Send = Callable[[bytes], None]


def predict(send: Send, table: Path, subject: Subject, format: PredictionsFormat) -> None:
    """Send the predictions, piece by piece.

    A row that cannot be predicted (a number is too far from those that the model was trained on) has no value and no
    probabilities.
    """
    with io.BufferedWriter(_Pieces(send), PIECE_BYTES) as file:
        match format:
            case PredictionsFormat.CSV:
                for place, frame in enumerate(_frames(table, subject)):
                    frame.write_csv(file, include_header=place == 0, batch_size=CSV_ROWS)
            case PredictionsFormat.PARQUET:
                _write_parquet(file, table, subject)


def names(fitted: FittedPreprocessing, *, probabilities: bool) -> list[str]:
    """Give the names of the columns: the targets, then `p_setosa` and so on; a name that is taken gets an underscore more."""
    found = [one.name for one in fitted.targets]
    for label in (fitted.classes or ()) if probabilities else ():
        name = f"p_{label}"
        while name in found:
            name += "_"
        found.append(name)
    return found


def _write_parquet(file: IO[bytes], table: Path, subject: Subject) -> None:
    frames = _frames(table, subject)
    first = next(frames)

    def produce(
        _columns: list[str] | None, _predicate: pl.Expr | None, _n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        yield first
        yield from frames

    register_io_source(produce, schema=first.schema).sink_parquet(file, row_group_size=MAX_ROWS, maintain_order=True)


class _Pieces(io.RawIOBase):
    """A file that sends what is written to it."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def writable(self) -> bool:
        return True

    def write(self, piece: Buffer) -> int:
        content = bytes(piece)
        self._send(content)
        return len(content)


def _frames(table: Path, subject: Subject) -> Iterator[pl.DataFrame]:
    fitted = subject.preprocessing
    scorer = subject.scorer(chunk_rows(fitted))
    columns = names(fitted, probabilities=subject.probabilities)
    for chunk in chunks(table, fitted, subject.dtype, with_targets=False):
        outputs = scorer.outputs(chunk.x)
        good = chunk.usable & np.isfinite(outputs).all(axis=1)
        series = (
            _classes(outputs, good, subject) if fitted.task == "classification" else _numbers(outputs, good, fitted)
        )
        yield pl.DataFrame([one.alias(name) for one, name in zip(series, columns, strict=True)])


def _classes(outputs: Array, good: Mask, subject: Subject) -> list[pl.Series]:
    places = answers(outputs)
    values = class_series(subject.preprocessing.targets[0].classes or ())
    if not subject.probabilities:
        return [_blank(values.gather(places), good)]
    chances = np.asarray(outputs, np.float64)
    if chances.shape[1] == 1:
        chances = np.column_stack([1 - chances[:, 0], chances[:, 0]])
    return [_blank(values.gather(places), good), *(_blank(pl.Series(one), good) for one in chances.T.copy())]


def class_series(classes: tuple[Scalar, ...]) -> pl.Series:
    """Give classes in one type: truth values, strings, whole numbers or numbers."""
    whole = all(isinstance(value, int) for value in classes)
    return pl.Series(classes) if whole or isinstance(classes[0], str) else pl.Series([float(one) for one in classes])


def _numbers(outputs: Array, good: Mask, fitted: FittedPreprocessing) -> list[pl.Series]:
    found = []
    for place, one in enumerate(fitted.targets):
        with np.errstate(over="ignore", invalid="ignore"):
            values = (np.asarray(outputs[:, place], np.float64) * one.scale + one.offset) / one.unit
        found.append(_blank(pl.Series(values), good & np.isfinite(values)))
    return found


def _blank(values: pl.Series, good: Mask) -> pl.Series:
    """Leave out the values of rows that are not good."""
    return values if good.all() else values.set(pl.Series(~good), None)
