"""From a typed table to the arrays that a network is trained on. Everything is fitted on the training rows only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import DTypeLike, NDArray

from app.contract.preprocessing import ClassWeight, Preprocessing, Validation
from app.errors import Fault, InvalidRequest
from app.settings import MIB
from app.tables.choice import STRINGS, Choice, ColumnUse
from app.tables.faults import listed
from app.tables.fitted import Array, Codes, Fitted, FittedInput, FittedPreprocessing, FittedTarget, Numbers
from app.tables.reading import column_groups
from app.tables.scaling import affine
from app.tables.selection import Selection, class_values, numbers, open_table, places, select
from app.tables.weighting import check_sample_weights, fit_class_weights, row_weights

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


def fit(
    table: Path,
    choice: Choice,
    preprocessing: Preprocessing,
    *,
    validation: Validation | None,
    seed: int,
    one_output: bool,
    scale_targets: bool,
    class_weight: ClassWeight | None = None,
) -> Fitted:
    """Fit the preprocessing on the training rows.

    Args:
        class_weight: How much a row of each class counts; `balanced`: as much as it is rare.
        one_output: A target of two classes is one output, 1 for the second class, instead of one output a class.
        scale_targets: The numbers that a regression learns are standardized; predictions are scaled back.

    Raises:
        InvalidRequest: The training rows have too few values, or values too far apart.
    """
    uses = [choice.use(name) for name in choice.features]
    blank = FittedPreprocessing(
        choice.task,
        tuple(_blank_input(use) for use in uses),
        tuple(FittedTarget(name, choice.use(name).kind) for name in choice.targets),
        str(preprocessing.missing),
        sample_weight=choice.sample_weight,
    )
    selection = select(table, blank, validation=validation, seed=seed)
    _check_rows(selection)
    faults: list[Fault] = []
    warnings = selection.warnings()
    inputs = _fit_inputs(table, uses, selection, preprocessing, faults, warnings)
    targets = _fit_targets(table, blank, selection, scale_targets, faults)
    class_weights = fit_class_weights(class_weight, table, targets[0], selection, faults)
    if choice.sample_weight is not None:
        check_sample_weights(table, choice.sample_weight, selection, faults)
    if faults:
        raise InvalidRequest("the training rows cannot be learned from", faults)
    two = choice.task == "classification" and len(targets[0].classes or ()) == 2
    one_output = one_output and two
    fitted = replace(blank, inputs=inputs, targets=targets, one_output=one_output, class_weights=class_weights)
    n_validation = selection.n_validation - _n_unseen(table, fitted, selection, warnings)
    return Fitted(fitted, selection.n_train, n_validation, tuple(warnings))


def prepare(
    table: Path,
    fitted: FittedPreprocessing,
    *,
    validation: Validation | None,
    seed: int,
    dtype: DTypeLike,
    scratch: Path,
) -> Prepared:
    """Give the arrays: the same rows for the same seed, and the same bits.

    Up to 64 MiB they are made in memory; more is written to files in `scratch`, a chunk of rows at a time, and mapped.

    Raises:
        InvalidRequest: A value does not fit the precision of the network.
    """
    selection = select(table, fitted, validation=validation, seed=seed)
    roles = selection.roles(unseen=_unseen(table, fitted, selection))
    rows = {"train": int(np.count_nonzero(roles == 1)), "validation": int(np.count_nonzero(roles == 2))}
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
    _fill(arrays, table, fitted, roles, dtype)
    if mapped:
        arrays = {name: _mapped(array, scratch / f"{name}.npy") for name, array in arrays.items()}
    weights = row_weights(table, fitted, dtype)
    if weights is not None:
        arrays |= {"w_train": weights[roles == 1], "w_validation": weights[roles == 2]}
    if not rows["validation"]:
        return Prepared(arrays["x_train"], arrays["y_train"], None, None, arrays.get("w_train"))
    return Prepared(**arrays)


def _blank_input(use: ColumnUse) -> FittedInput:
    return FittedInput(use.name, use.kind, str(use.encoding), categories=() if use.kind in STRINGS else None)


def _check_rows(selection: Selection) -> None:
    wanted = 1 if selection.validation is None else 2
    if selection.n_kept < wanted:
        message = f"{selection.n_kept} of {selection.n_rows:,} rows can be used; at least {wanted} are needed"
        raise InvalidRequest(message, [Fault("/dataset_id", message, "too_few_rows")])


def _fit_inputs(
    table: Path,
    uses: Sequence[ColumnUse],
    selection: Selection,
    preprocessing: Preprocessing,
    faults: list[Fault],
    warnings: list[tuple[str, str]],
) -> tuple[FittedInput, ...]:
    fitted = []
    for use, values in _columns(table, uses, selection):
        if use.kind in STRINGS:
            found: list[str] = values.drop_nulls().unique().sort().to_list()
            fitted.append(FittedInput(use.name, use.kind, str(use.encoding), categories=tuple(found)))
            varies = len(found) > 1
        else:
            present = numbers(values)
            present = present[~np.isnan(present)]
            offset, scale, fill = affine(present, str(use.encoding), str(preprocessing.missing))
            fitted.append(FittedInput(use.name, use.kind, str(use.encoding), offset, scale, fill))
            varies = bool(present.size) and bool(present.min() < present.max())
            if not _finite(present, offset, scale):
                faults.append(
                    Fault("/features", f"the values of {use.name} are too far apart to be scaled", "out_of_range")
                )
        if not varies:
            warnings.append(("constant_in_training", f"{use.name} has fewer than two values in the training rows"))
    return tuple(fitted)


def _columns(table: Path, uses: Sequence[ColumnUse], selection: Selection) -> Iterator[tuple[ColumnUse, pl.Series]]:
    """Give each column's values in the training rows, reading a few columns at a time."""
    frame = open_table(table)
    by_name = {use.name: use for use in uses}
    for names in column_groups(list(by_name), selection.n_rows):
        held = frame.select(names).collect()
        for name in names:
            yield by_name[name], held[name].gather(selection.train)


def _finite(present: Numbers, offset: float, scale: float) -> bool:
    if not present.size:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        ends = (np.array([present.min(), present.max()]) - offset) / scale
    return bool(np.isfinite(ends).all())


def _fit_targets(
    table: Path, blank: FittedPreprocessing, selection: Selection, scaled: bool, faults: list[Fault]
) -> tuple[FittedTarget, ...]:
    held = open_table(table).select(one.name for one in blank.targets).collect()
    fitted = []
    for one in blank.targets:
        values = held[one.name].gather(selection.train)
        if blank.task == "classification":
            one = replace(one, classes=class_values(values))
            if len(one.classes or ()) < 2:
                message = f"the training rows have one class of {one.name} only"
                faults.append(Fault("/target", message, "constant_target"))
        elif scaled:
            present = numbers(values)
            offset, scale, _ = affine(present, "standardize", "mean")
            one = replace(one, offset=offset, scale=scale)
            if not _finite(present, offset, scale):
                faults.append(
                    Fault("/target", f"the values of {one.name} are too far apart to be scaled", "out_of_range")
                )
        fitted.append(one)
    return tuple(fitted)


def _unseen(table: Path, fitted: FittedPreprocessing, selection: Selection) -> NDArray[np.bool_] | None:
    """Tell which rows are of a class that no training row has; only a split that is not stratified leaves such."""
    if fitted.task == "regression" or selection.stratified or not selection.n_validation:
        return None
    target = fitted.targets[0]
    return places(open_table(table).select(target.name).collect()[target.name], target.classes or ()) < 0


def _n_unseen(table: Path, fitted: FittedPreprocessing, selection: Selection, warnings: list[tuple[str, str]]) -> int:
    unseen = _unseen(table, fitted, selection)
    n = 0 if unseen is None else int(np.count_nonzero(unseen[selection.held_out]))
    if n:
        warnings.append(("unseen_class", f"{n:,} validation rows of classes without a training row are left out"))
    return n


def _fill(
    arrays: dict[str, Array], table: Path, fitted: FittedPreprocessing, roles: NDArray[np.uint8], dtype: DTypeLike
) -> None:
    """Write the rows of each side in their order, a chunk of the table at a time."""
    frame = open_table(table).select(*(one.name for one in fitted.inputs), *(one.name for one in fitted.targets))
    at = {"train": 0, "validation": 0}
    n_rows = max(CHUNK_BYTES // (8 * (fitted.n_inputs + fitted.n_outputs)), 1)
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
                encoded[:, column] = (numbers(chunk[one.name]) - one.offset) / one.scale
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
