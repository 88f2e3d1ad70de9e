"""Fitting the preprocessing, on the training rows only."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import DTypeLike

from app.contract.datasets import Kind
from app.contract.preprocessing import AnyValidation, ClassWeight, Missing, Numeric, Preprocessing
from app.errors import Fault, InvalidRequest
from app.tables.calendar import CYCLES, DAY_S, TREND, place_in
from app.tables.choice import STRINGS, Choice, ColumnUse
from app.tables.division import Division
from app.tables.faults import shown
from app.tables.fitted import Fitted, FittedInput, FittedPreprocessing, FittedTarget, Numbers
from app.tables.reading import column_groups
from app.tables.scaling import Affine, affine
from app.tables.selection import class_values, numbers, places, read_columns
from app.tables.weighting import check_sample_weights, fit_class_weights


def fit(
    table: Path,
    choice: Choice,
    preprocessing: Preprocessing,
    *,
    validation: AnyValidation | None,
    seed: int,
    one_output: bool,
    scale_targets: bool,
    class_weight: ClassWeight | None = None,
    validation_table: Path | None = None,
    dtype: DTypeLike = np.float64,
) -> Fitted:
    """Fit the preprocessing on the training rows.

    Args:
        validation_table: The table that the rows for validation are in, if it is another one.
        dtype: Precision of the network, which every value has to fit.
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
    rows = Division.choose(table, validation_table, blank, validation, seed)
    selection = rows.selection
    rows.check(validation)
    faults: list[Fault] = []
    warnings = rows.warnings()
    inputs = _fit_inputs(rows, uses, preprocessing, np.dtype(dtype), faults, warnings)
    targets = _fit_targets(rows, blank, scale_targets, np.dtype(dtype), faults)
    class_weights = fit_class_weights(class_weight, table, targets[0], selection, faults)
    if choice.sample_weight is not None:
        for one in rows.parts:
            check_sample_weights(one.table, choice.sample_weight, one.selection, faults)
    if faults:
        raise InvalidRequest("the training rows cannot be learned from", faults)
    two = choice.task == "classification" and len(targets[0].classes or ()) == 2
    one_output = one_output and two
    fitted = replace(blank, inputs=inputs, targets=targets, one_output=one_output, class_weights=class_weights)
    n_unseen = sum(one.n_unseen(fitted) for one in rows.parts)
    if n_unseen:
        warnings.append(
            ("unseen_class", f"{n_unseen:,} validation rows of classes without a training row are left out")
        )
    counts = _class_counts(rows, targets[0])
    return Fitted(fitted, selection.n_train, rows.n_validation - n_unseen, tuple(warnings), counts)


def _class_counts(rows: Division, target: FittedTarget) -> tuple[int, ...] | None:
    if target.classes is None:
        return None
    values = read_columns(rows.parts[0].table, [target.name])[target.name].gather(rows.selection.train)
    return tuple(np.bincount(places(values, target.classes), minlength=len(target.classes)).tolist())


def _blank_input(use: ColumnUse) -> FittedInput:
    return FittedInput(use.name, use.kind, str(use.encoding), categories=() if use.kind in STRINGS else None)


def _fit_inputs(
    rows: Division,
    uses: Sequence[ColumnUse],
    preprocessing: Preprocessing,
    dtype: DTypeLike,
    faults: list[Fault],
    warnings: list[tuple[str, str]],
) -> tuple[FittedInput, ...]:
    fitted = {}
    for use, train, held_out in _columns(rows, uses):
        if use.kind in STRINGS:
            found: list[str] = train.drop_nulls().unique().sort().to_list()
            fitted[use.name] = FittedInput(use.name, use.kind, str(use.encoding), categories=tuple(found))
            varies = len(found) > 1
        else:
            present = _present(train)
            one = _scaled(use, present, preprocessing)
            fitted[use.name] = one
            varies = bool(present.size) and bool(present.min() < present.max())
            sides = {"training": present, "validation": np.concatenate([_present(values) for values in held_out])}
            scaling = Affine(one.offset, one.scale, unit=one.unit)
            faults += _range_faults("/features", use.name, scaling, sides, dtype)
        if not varies:
            warnings.append(("constant_in_training", f"{use.name} has fewer than two values in the training rows"))
    return tuple(fitted[use.name] for use in uses)


def _columns(rows: Division, uses: Sequence[ColumnUse]) -> Iterator[tuple[ColumnUse, pl.Series, list[pl.Series]]]:
    """Give each column's values in the training rows and in those held out, reading a few columns at a time."""
    by_name = {use.name: use for use in uses}
    n_rows = sum(one.selection.n_rows for one in rows.parts)
    for names in column_groups(list(by_name), n_rows):
        held = [read_columns(one.table, names) for one in rows.parts]
        for name in names:
            held_out = [frame[name].gather(one.selection.held_out) for frame, one in zip(held, rows.parts, strict=True)]
            yield by_name[name], held[0][name].gather(rows.selection.train), held_out


def _present(values: pl.Series) -> Numbers:
    found = numbers(values)
    return found[~np.isnan(found)]


def _scaled(use: ColumnUse, present: Numbers, preprocessing: Preprocessing) -> FittedInput:
    """Fit a column of numbers or times.

    As they are (`none`), times are days since the earliest; `constant` puts the earliest in place of a missing one.
    """
    scaling = affine(present, str(use.encoding), str(preprocessing.missing))
    parts: tuple[str, ...] = ()
    if use.kind is Kind.DATETIME:
        earliest = float(present.min()) if present.size else 0.0
        if preprocessing.numeric is Numeric.NONE:
            scaling = replace(scaling, offset=earliest, scale=DAY_S)
        if preprocessing.missing is Missing.CONSTANT:
            scaling = replace(scaling, fill=earliest)
        cycles = (cycle for cycle in CYCLES if present.size and np.ptp(place_in(cycle, present)))
        parts = (TREND, *cycles)
    return FittedInput(
        use.name,
        use.kind,
        str(use.encoding),
        scaling.offset,
        scaling.scale,
        scaling.fill,
        unit=scaling.unit,
        parts=parts,
        date_order=use.date_order,
    )


def _range_faults(at: str, name: str, scaling: Affine, sides: dict[str, Numbers], dtype: DTypeLike) -> list[Fault]:
    """Tell on which sides the values, once scaled, do not fit into the precision of the network."""
    return [
        Fault(
            at,
            f"the values of {shown(name)} in the {side} rows, scaled as the training rows are, do not fit into "
            f"{np.dtype(dtype).name}",
            "out_of_range",
        )
        for side, present in sides.items()
        if not scaling.fits(present, dtype)
    ]


def _fit_targets(
    rows: Division, blank: FittedPreprocessing, scaled: bool, dtype: DTypeLike, faults: list[Fault]
) -> tuple[FittedTarget, ...]:
    names = [one.name for one in blank.targets]
    held = [read_columns(one.table, names) for one in rows.parts]
    fitted = []
    for one in blank.targets:
        train = held[0][one.name].gather(rows.selection.train)
        if blank.task == "classification":
            one = replace(one, classes=class_values(train))
            if len(one.classes or ()) < 2:
                message = f"the training rows have one class of {one.name} only"
                faults.append(Fault("/target", message, "constant_target"))
        else:
            present = _present(train)
            scaling = affine(present, "standardize" if scaled else "none", "mean")
            one = replace(one, offset=scaling.offset, scale=scaling.scale, unit=scaling.unit)
            held_out = [
                _present(frame[one.name].gather(part.selection.held_out))
                for frame, part in zip(held, rows.parts, strict=True)
            ]
            sides = {"training": present, "validation": np.concatenate(held_out)}
            faults += _range_faults("/target", one.name, scaling, sides, dtype)
        fitted.append(one)
    return tuple(fitted)
