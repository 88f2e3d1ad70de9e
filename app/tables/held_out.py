"""What speaks against a way of holding out rows, seen from the columns alone. Imports no polars."""

from collections.abc import Collection, Mapping, Sequence

from app.contract.datasets import Column, Kind
from app.contract.preprocessing import (
    AnyValidation,
    ColumnValidation,
    GroupValidation,
    Missing,
    TimeValidation,
)
from app.errors import Fault
from app.tables.faults import MAX_ALLOWED, MAX_FAULTS, shown, unknown_column
from app.tables.words import as_text, plain_number

NUMERIC = frozenset({Kind.NUMERIC, Kind.BOOLEAN})
STRINGS = frozenset({Kind.CATEGORICAL, Kind.TEXT})
AT = "/validation/dataset_id"

WHY = {
    "group_column": "rows of one value are on the same side of the validation",
    "time_column": "the latest rows are held out for validation",
    "column": "says which rows are held out for validation",
}


def dividing_column(validation: AnyValidation | None) -> tuple[str, str] | None:
    """Give the field that names a column which divides the rows, and that column; None if there is none."""
    match validation:
        case GroupValidation(group_column=name):
            return "group_column", name
        case TimeValidation(time_column=name):
            return "time_column", name
        case ColumnValidation(column=name):
            return "column", name
        case _:
            return None


def validation_faults(
    validation: AnyValidation | None, by_name: Mapping[str, Column], taken: Collection[str]
) -> list[Fault]:
    """Tell what speaks against the column that is to divide the rows; `taken` are the target and the weight."""
    dividing = dividing_column(validation)
    if dividing is None:
        return []
    field, name = dividing
    at = f"/validation/{field}"
    if name not in by_name:
        return [unknown_column(at, name, by_name)]
    if name in taken:
        return [Fault(at, f"column {shown(name)} is the target, or the weight of its row", "column_is_used")]
    column = by_name[name]
    if field == "time_column" and column.kind not in {Kind.DATETIME, Kind.NUMERIC}:
        return [Fault(at, f"column {shown(name)} is {column.kind}; times or numbers are needed", "not_ordered")]
    if column.n_unique < 2:
        message = f"column {shown(name)} has fewer than two different values: one side would be empty"
        return [Fault(at, message, "one_group" if field == "group_column" else "constant_column")]
    if isinstance(validation, ColumnValidation):
        if column.kind is Kind.DATETIME:
            message = f"column {shown(name)} holds times; name it as `time_column`"
            return [Fault(at, message, "datetime_column")]
        if validation.values is None and column.kind is Kind.NUMERIC:
            message = f"column {shown(name)} holds numbers; say which of them mean validation"
            return [Fault("/validation/values", message, "needs_values")]
        return _value_faults(validation, column)
    return []


def _value_faults(validation: ColumnValidation, column: Column) -> list[Fault]:
    """Tell which values the column does not have, where all that it has are known."""
    known = column.categories or []
    if validation.values is None or len(known) < column.n_unique:
        return []
    return [
        Fault(
            f"/validation/values/{i}",
            f"column {shown(column.name)} has no value {shown(value)}",
            "unknown_value",
            tuple(known[:MAX_ALLOWED]),
        )
        for i, value in enumerate(validation.values)
        if not spellings(value) & set(known)
    ]


def spellings(value: str | float | bool) -> set[str]:
    """Give the texts that a value stands for: 3 for 3.0, and for true both `true` and `1`."""
    if isinstance(value, bool):
        return {as_text(value), str(int(value))}
    return {as_text(plain_number(value) if isinstance(value, float) else value)}


def dataset_faults(
    columns: Sequence[Column],
    needed: Sequence[Column],
    *,
    targets: Collection[str],
    features: Collection[str],
    missing: Missing,
) -> list[Fault]:
    """Tell what another dataset lacks for its rows to be validated on.

    A column without any value fits every kind, but for a target. Numbers may stand in for categories, as the text that they
    are written as.

    Args:
        needed: The columns of the dataset that is trained on which the training uses.
    """
    there = {column.name: column for column in columns}
    targets, features = frozenset(targets), frozenset(features)
    faults = []
    for column in needed:
        name, other = shown(column.name), there.get(column.name)
        if other is None:
            faults.append(Fault(AT, f"the dataset has no column {name}", "lacking_column"))
        elif not other.n_unique:
            if column.name not in features:
                faults.append(Fault(AT, f"column {name} has no values in the dataset", "empty_column"))
        elif not _compatible(column.kind, other.kind):
            message = f"column {name} is {other.kind} in the dataset, and {column.kind} where it is trained on"
            faults.append(Fault(AT, message, "incompatible_kind"))
        elif column.name not in targets and column.name not in features:
            faults += _weight_faults(other)
    gaps = [
        column.name
        for column in needed
        if column.name in features and column.kind not in STRINGS and column.name in there
        if there[column.name].n_missing
    ]
    if missing is Missing.ERROR and gaps:
        message = f"values are missing in {', '.join(gaps[:5])} of the dataset to validate on"
        faults.append(Fault("/preprocessing/missing", message, "missing_values"))
    return faults[:MAX_FAULTS]


def _weight_faults(column: Column) -> list[Fault]:
    if column.n_missing or (column.min is not None and column.min < 0):
        message = f"column {shown(column.name)} of the dataset has missing or negative weights"
        return [Fault(AT, message, "unusable_weight")]
    return []


def _compatible(kind: Kind, other: Kind) -> bool:
    if kind in NUMERIC:
        return other in NUMERIC
    if kind is Kind.DATETIME:
        return other is Kind.DATETIME
    return other is not Kind.DATETIME
