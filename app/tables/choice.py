"""Which columns a network learns from and what it learns, and why. Imports no polars: a request is checked with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from app.contract.datasets import Column, DateOrder, Kind, RoleHint
from app.contract.preprocessing import AnyValidation, Categorical, Missing, Preprocessing, Task
from app.errors import Fault, InvalidRequest
from app.tables.calendar import CYCLES
from app.tables.faults import MAX_FAULTS, listed, pointer, shown, unknown_column
from app.tables.held_out import WHY, dividing_column, validation_faults

NUMBERS = frozenset({Kind.NUMERIC, Kind.BOOLEAN, Kind.DATETIME})
STRINGS = frozenset({Kind.CATEGORICAL, Kind.TEXT})


@dataclass(frozen=True)
class ColumnUse:
    """What becomes of a column.

    Args:
        encoding: How it becomes numbers: `standardize`, `minmax`, `none`, `one_hot`, `ordinal` for a feature; `classes`,
            `boolean`, `numeric` for a target, `weight`, `split`; None for an unused column.
        width: How many numbers a row it becomes. For `one_hot` and times an upper bound: the training rows count.
        why: The reason, for people.
        date_order: What comes first in dates of numbers alone.
    """

    name: str
    kind: Kind
    role: Literal["feature", "target", "weight", "split", "unused"]
    used: bool
    encoding: str | None
    width: int
    why: str
    date_order: DateOrder | None = None


@dataclass(frozen=True)
class Choice:
    """The columns of a training. `features` and `targets` are in the order in which the network has them."""

    task: Literal["classification", "regression"]
    columns: tuple[ColumnUse, ...]
    targets: tuple[str, ...]
    features: tuple[str, ...]
    sample_weight: str | None = None

    def use(self, name: str) -> ColumnUse:
        """Give what becomes of one column."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, ColumnUse]:
        return {use.name: use for use in self.columns}


def choose(
    columns: Sequence[Column],
    *,
    target: str | Sequence[str],
    features: Sequence[str] | None,
    task: Task,
    preprocessing: Preprocessing,
    max_classes: int,
    sample_weight: str | None = None,
    validation: AnyValidation | None = None,
    set_aside: Mapping[str, str] | None = None,
) -> Choice:
    """Choose the columns that are used.

    With `features` None, every usable column is a feature, except those that the upload itself calls targets, the one that
    divides the rows for validation, and those that are `set_aside` (and why), if others are left.

    Raises:
        InvalidRequest: With every fault of the request at once.
    """
    faults: list[Fault] = []
    by_name = {column.name: column for column in columns}
    targets = _targets(target, by_name, faults)
    resolved = _task(task, targets, faults)
    for at, column in targets.items():
        faults += _target_faults(at, column, resolved, task, max_classes)
    names = {column.name for column in targets.values()}
    faults += _weight_faults(sample_weight, by_name, names, features or ())
    faults += validation_faults(validation, by_name, names | {sample_weight or ""})
    wanted = None if features is None else _wanted(features, by_name, names, faults)
    dividing = dividing_column(validation)
    special = {} if dividing is None else {dividing[1]: _split_use(by_name.get(dividing[1]), WHY[dividing[0]])}
    if sample_weight in by_name:
        special[sample_weight] = _weight_use(by_name[sample_weight])
    asked = None if wanted is None else set(wanted.values())
    uses = [_use(column, names, asked, preprocessing, resolved, special) for column in columns]
    if wanted is None and set_aside:
        uses = _without(uses, set_aside, by_name)
    faults += _feature_faults(uses, wanted, by_name, preprocessing, complete=not faults)
    if faults:
        raise InvalidRequest("the columns cannot be used as asked", faults[:MAX_FAULTS])
    used = {use.name: use for use in uses if use.role == "feature" and use.used}
    in_order = list(used) if wanted is None else [name for name in wanted.values() if name in used]
    return Choice(
        resolved, tuple(uses), tuple(column.name for column in targets.values()), tuple(in_order), sample_weight
    )


def _targets(target: str | Sequence[str], by_name: dict[str, Column], faults: list[Fault]) -> dict[str, Column]:
    """Give the target columns by their pointers."""
    named = {"/target": target} if isinstance(target, str) else {pointer("target", i): t for i, t in enumerate(target)}
    if not named:
        faults.append(Fault("/target", "name at least one column", "no_target"))
    found: dict[str, Column] = {}
    for at, name in named.items():
        if name not in by_name:
            faults.append(unknown_column(at, name, by_name))
        elif by_name[name] in found.values():
            faults.append(Fault(at, f"column {shown(name)} is named twice", "duplicate_column"))
        else:
            found[at] = by_name[name]
    return found


def _task(task: Task, targets: dict[str, Column], faults: list[Fault]) -> Literal["classification", "regression"]:
    if task is Task.CLASSIFICATION:
        if len(targets) > 1:
            message = "a classification has one target; several targets are a regression"
            faults.append(Fault("/task", message, "several_targets"))
        return "classification"
    only = next(iter(targets.values())) if len(targets) == 1 else None
    if task is Task.AUTO and only is not None and only.kind in STRINGS | {Kind.BOOLEAN}:
        return "classification"
    return "regression"


def _target_faults(at: str, column: Column, resolved: str, task: Task, max_classes: int) -> list[Fault]:
    name, n = shown(column.name), column.n_unique
    if n == 0:
        return [Fault(at, f"column {name} has no values", "constant_target")]
    if n == 1:
        return [Fault(at, f"column {name} has one value only: there is nothing to learn", "constant_target")]
    if resolved == "regression":
        if column.kind in {Kind.NUMERIC, Kind.BOOLEAN}:
            return []
        return [Fault(at, f"column {name} is {column.kind}; a regression needs numbers", "not_numeric")]
    if column.kind is Kind.DATETIME:
        return [Fault(at, f"column {name} holds times; they are no classes", "datetime_target")]
    if n > max_classes:
        message = f"column {name} has {n:,} different values; at most {max_classes:,} classes are accepted"
        return [Fault(at, message, "too_many_classes")]
    if column.kind is Kind.TEXT and task is Task.AUTO:
        message = f"column {name} is text: {n:,} different values; set task to classification if they are classes"
        return [Fault(at, message, "text_target")]
    return []


def _wanted(
    features: Sequence[str], by_name: dict[str, Column], targets: set[str], faults: list[Fault]
) -> dict[str, str]:
    """Give the names of the features by their pointers."""
    wanted: dict[str, str] = {}
    seen: set[str] = set()
    for i, name in enumerate(features):
        at = pointer("features", i)
        if name not in by_name:
            faults.append(unknown_column(at, name, by_name))
        elif name in targets:
            faults.append(Fault(at, f"column {shown(name)} is the target", "target_is_feature"))
        elif name in seen:
            faults.append(Fault(at, f"column {shown(name)} is named twice", "duplicate_column"))
        else:
            wanted[at] = name
        seen.add(name)
    return wanted


def _use(
    column: Column,
    targets: set[str],
    asked: set[str] | None,
    preprocessing: Preprocessing,
    task: str,
    special: Mapping[str, ColumnUse | None],
) -> ColumnUse:
    if column.name in targets:
        return _target_use(column, task)
    if (use := special.get(column.name)) is not None and column.name not in (asked or set()):
        return use
    if asked is not None and column.name not in asked:
        return _unused(column, "not among the features")
    if asked is None and column.role_hint is RoleHint.TARGET:
        return _unused(column, "the dataset calls it a target")
    return _feature_use(column, preprocessing, asked=asked is not None)


def _weight_faults(
    name: str | None, by_name: dict[str, Column], targets: set[str], features: Sequence[str]
) -> list[Fault]:
    """Tell what speaks against a column as the weight of its row."""
    at = "/sample_weight"
    if name is None:
        return []
    if name not in by_name:
        return [unknown_column(at, name, by_name)]
    column = by_name[name]
    if name in targets or name in features:
        return [Fault(at, f"column {shown(name)} is the target, or a feature", "weight_is_used")]
    if column.kind not in {Kind.NUMERIC, Kind.BOOLEAN}:
        return [Fault(at, f"column {shown(name)} is {column.kind}; a weight is a number", "not_numeric")]
    if column.n_missing:
        return [Fault(at, f"column {shown(name)} has {column.n_missing:,} missing values", "missing_values")]
    if column.min is not None and column.min < 0:
        return [Fault(at, f"column {shown(name)} has negative values", "negative_weight")]
    return []


def _weight_use(column: Column) -> ColumnUse:
    why = "the weight of its row"
    return ColumnUse(column.name, column.kind, "weight", used=True, encoding="weight", width=0, why=why)


def _split_use(column: Column | None, why: str) -> ColumnUse | None:
    if column is None:
        return None
    return ColumnUse(column.name, column.kind, "split", used=True, encoding="split", width=0, why=why)


def _without(uses: list[ColumnUse], set_aside: Mapping[str, str], by_name: Mapping[str, Column]) -> list[ColumnUse]:
    """Leave some features out, unless no other is left."""
    left = [
        _unused(by_name[use.name], set_aside[use.name])
        if use.role in {"feature", "unused"} and use.name in set_aside
        else use
        for use in uses
    ]
    if any(use.role == "feature" for use in left):
        return left
    return [
        _unused(by_name[use.name], set_aside[use.name]) if use.role == "unused" and use.name in set_aside else use
        for use in uses
    ]


def _unused(column: Column, why: str) -> ColumnUse:
    return ColumnUse(column.name, column.kind, "unused", used=False, encoding=None, width=0, why=why)


def _target_use(column: Column, task: str) -> ColumnUse:
    if task == "classification":
        encoding, width, why = "classes", column.n_unique, f"{column.n_unique} classes"
    else:
        encoding, width = ("boolean" if column.kind is Kind.BOOLEAN else "numeric"), 1
        why = "a number is learned"
    if column.n_missing:
        why += f"; {column.n_missing:,} rows without one are left out"
    return ColumnUse(column.name, column.kind, "target", used=True, encoding=encoding, width=width, why=why)


def _feature_use(column: Column, preprocessing: Preprocessing, *, asked: bool) -> ColumnUse:
    n, most = column.n_unique, preprocessing.max_categories
    if n == 0:
        return _unused(column, "empty: no values")
    if n == 1:
        return _unused(column, "constant: one value only")
    if column.kind in NUMBERS:
        why = f"{column.kind}: {preprocessing.numeric}"
        if column.n_missing:
            why += f"; {column.n_missing:,} missing: {preprocessing.missing}"
        width = 1
        if column.kind is Kind.DATETIME:
            width += 2 * len(CYCLES)
            why += f"; {', '.join(CYCLES)} as sine and cosine, where they vary"
        encoding = str(preprocessing.numeric)
        return ColumnUse(column.name, column.kind, "feature", True, encoding, width, why, column.date_order)
    if n > most:
        return _unused(column, f"{column.kind}: {n:,} different values, more than max_categories ({most:,})")
    if column.kind is Kind.TEXT and not asked:
        return _unused(column, f"text: {n:,} different values; name it among the features to use them as categories")
    if preprocessing.categorical is Categorical.DROP:
        return _unused(column, f"{column.kind}: categorical columns are dropped")
    one_hot = preprocessing.categorical is Categorical.ONE_HOT
    why = f"{column.kind}: {n:,} categories"
    encoding = str(preprocessing.categorical)
    return ColumnUse(column.name, column.kind, "feature", True, encoding, n if one_hot else 1, why)


def _feature_faults(
    uses: list[ColumnUse],
    wanted: dict[str, str] | None,
    by_name: dict[str, Column],
    preprocessing: Preprocessing,
    *,
    complete: bool,
) -> list[Fault]:
    faults = []
    by_use = {use.name: use for use in uses}
    for at, name in (wanted or {}).items():
        column, use = by_name[name], by_use[name]
        dropped = column.kind in STRINGS and preprocessing.categorical is Categorical.DROP
        if not use.used and column.n_unique < 2:
            faults.append(Fault(at, f"column {shown(name)}: {use.why}", "constant_column"))
        elif not use.used and not dropped:
            faults.append(Fault(at, f"column {shown(name)}: {use.why}", "too_many_categories"))
    used = [use for use in uses if use.role == "feature" and use.used]
    gaps = [use.name for use in used if use.kind in NUMBERS and by_name[use.name].n_missing]
    if preprocessing.missing is Missing.ERROR and gaps:
        message = f"values are missing in {listed(gaps)}"
        faults.append(Fault("/preprocessing/missing", message, "missing_values"))
    if not used and complete and not faults:
        reasons = listed(f"{use.name} ({use.why})" for use in uses if use.role == "unused")
        faults.append(Fault("/features", f"no column is left to learn from: {reasons}", "no_usable_features"))
    return faults
