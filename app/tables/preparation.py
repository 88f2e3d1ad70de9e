"""From a typed table to the arrays that a network is trained on. Everything is fitted on the training rows only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import DTypeLike, NDArray

from app.contract.preprocessing import AnyValidation
from app.errors import Fault, InvalidRequest
from app.settings import MIB
from app.tables.division import Division
from app.tables.faults import listed
from app.tables.fitted import Array, Codes, Fitted, FittedPreprocessing
from app.tables.fitting import fit
from app.tables.selection import numbers, open_table, places
from app.tables.weighting import row_weights

__all__ = ["Fitted", "Prepared", "encode_inputs", "encode_targets", "fit", "prepare"]

MAX_IN_MEMORY_BYTES = 64 * MIB
CHUNK_BYTES = 16 * MIB


@dataclass(frozen=True)
class Prepared:
    """The arrays of a training, C-ordered, in memory or mapped from files; `w` is how much each row counts, if that differs."""

    x_train: Array
    y_train: Array
    x_validation: Array | None
    y_validation: Array | None
    w_train: Array | None = None
    w_validation: Array | None = None


def prepare(
    table: Path,
    fitted: FittedPreprocessing,
    *,
    validation: AnyValidation | None,
    seed: int,
    dtype: DTypeLike,
    scratch: Path,
    validation_table: Path | None = None,
) -> Prepared:
    """Give the arrays: the same rows for the same seed, and the same bits.

    Up to 64 MiB they are made in memory; more is written to files in `scratch`, a chunk of rows at a time, and mapped.

    Raises:
        InvalidRequest: A value does not fit the precision of the network.
    """
    parts = [
        (one.table, one.selection.roles(unseen=one.unseen(fitted)))
        for one in Division.choose(table, validation_table, fitted, validation, seed).parts
    ]
    counts = np.sum([np.bincount(roles, minlength=3) for _, roles in parts], axis=0).tolist()
    rows = {"train": counts[1], "validation": counts[2]}
    width = fitted.n_inputs + fitted.n_outputs
    mapped = sum(rows.values()) * width * np.dtype(dtype).itemsize > MAX_IN_MEMORY_BYTES
    arrays: dict[str, Array] = {}
    for side, n_rows in rows.items():
        for letter, columns in (("x", fitted.n_inputs), ("y", fitted.n_outputs)):
            name, shape = f"{letter}_{side}", (n_rows, columns)
            path = scratch / f"{name}.npy"
            arrays[name] = (
                np.lib.format.open_memmap(path, "w+", dtype, shape) if mapped and n_rows else np.empty(shape, dtype)
            )
    _fill(arrays, parts, fitted, dtype)
    if mapped:
        arrays = {name: _mapped(array, scratch / f"{name}.npy") for name, array in arrays.items()}
    weighed = [(row_weights(one, fitted, dtype), roles) for one, roles in parts]
    for name, role in (("w_train", 1), ("w_validation", 2)):
        found = [weights[roles == role] for weights, roles in weighed if weights is not None]
        if found:
            arrays[name] = np.concatenate(found)
    if not rows["validation"]:
        return Prepared(arrays["x_train"], arrays["y_train"], None, None, arrays.get("w_train"))
    return Prepared(**arrays)


def _fill(
    arrays: dict[str, Array],
    parts: Sequence[tuple[Path, NDArray[np.uint8]]],
    fitted: FittedPreprocessing,
    dtype: DTypeLike,
) -> None:
    """Write the rows of each side in their order, a chunk of a table at a time."""
    names = [*(one.name for one in fitted.inputs), *(one.name for one in fitted.targets)]
    at = {"train": 0, "validation": 0}
    n_rows = max(CHUNK_BYTES // (8 * (fitted.n_inputs + fitted.n_outputs)), 1)
    for table, roles in parts:
        frame = open_table(table).select(names)
        for start in range(0, len(roles), n_rows):
            chunk = frame.slice(start, n_rows).collect()
            x, y = encode_inputs(chunk, fitted, dtype), encode_targets(chunk, fitted, dtype)
            for side, role in (("train", 1), ("validation", 2)):
                mask = roles[start : start + n_rows] == role
                end = at[side] + int(np.count_nonzero(mask))
                for letter, values in (("x", x), ("y", y)):
                    written = arrays[f"{letter}_{side}"][at[side] : end]
                    np.compress(mask, values, axis=0, out=written)
                    _check_finite(written, fitted, letter, dtype)
                at[side] = end


def encode_inputs(chunk: pl.DataFrame, fitted: FittedPreprocessing, dtype: DTypeLike) -> Array:
    """Give the network's inputs for rows of a table; NaN where a number is missing and nothing stands in for it."""
    raw = np.empty((chunk.height, len(fitted.numeric)))
    for column, one in enumerate(fitted.numeric):
        raw[:, column] = numbers(chunk[one.name])
    codes: list[Codes] = [places(chunk[one.name], one.categories or ()) for one in fitted.categorical]
    return fitted.assemble(raw, codes, dtype)


def encode_targets(chunk: pl.DataFrame, fitted: FittedPreprocessing, dtype: DTypeLike) -> Array:
    """Give what the network should answer for rows of a table; all 0 for a class that is missing or unknown."""
    encoded = np.zeros((chunk.height, fitted.n_outputs), dtype)
    for column, one in enumerate(fitted.targets):
        if one.classes is None:
            with np.errstate(over="ignore"):
                encoded[:, column] = (numbers(chunk[one.name]) * one.unit - one.offset) / one.scale
            continue
        codes = places(chunk[one.name], one.classes)
        if fitted.one_output:
            encoded[:, 0] = codes == 1
        else:
            rows = np.flatnonzero(codes >= 0)
            encoded[rows, codes[rows]] = 1
    return encoded


def _check_finite(written: Array, fitted: FittedPreprocessing, letter: str, dtype: DTypeLike) -> None:
    if np.isfinite(written).all():
        return
    columns = np.flatnonzero(~np.isfinite(written).all(axis=0)).tolist()
    names = fitted.input_names if letter == "x" else tuple(one.name for one in fitted.targets)
    message = f"values of {listed(names[column] for column in columns)} do not fit into {np.dtype(dtype).name}"
    raise InvalidRequest(message, [Fault("/features" if letter == "x" else "/target", message, "out_of_range")])


def _mapped(array: Array, path: Path) -> Array:
    """Map a written file for reading only."""
    if not isinstance(array, np.memmap):
        return array
    array.flush()
    mapped: Array = np.load(path, mmap_mode="r")
    return mapped
