"""Names of columns: every column gets one, and no two are alike."""

from collections import Counter
from collections.abc import Sequence

from app.contract.datasets import Notice
from app.errors import Fault
from app.tables.faults import MAX_FAULTS, listed, shown

MAX_NAME_LENGTH = 500


def place_name(place: int) -> str:
    """Name a column that has no name: `column_0` is the first."""
    return f"column_{place}"


def usable_names(sent: Sequence[str], faults: list[Fault]) -> tuple[tuple[str, ...], tuple[Notice, ...]]:
    """Name the columns as they were sent, where they can be told apart by that, and say which were renamed.

    A column without a name is named by its place; of columns that are named alike (`a`, `a`) the later ones are counted (`a_2`).
    A name that is too long is a fault.
    """
    names = [name.strip() for name in sent]
    faults += [
        Fault("", f"the name {shown(name)} is longer than {MAX_NAME_LENGTH} characters", "long_column_name")
        for name in names
        if len(name) > MAX_NAME_LENGTH
    ][:MAX_FAULTS]
    taken = {name for name in names if name}
    unnamed = {place: _free(place_name(place), taken) for place, name in enumerate(names) if not name}
    seen: set[str] = set()
    renamed: dict[int, tuple[str, str]] = {}
    counted = Counter[str]()
    for place, name in enumerate(names):
        if name in seen:
            renamed[place] = (name, _free(name, taken, counted))
        seen.add(name or unnamed[place])
    names = [renamed.get(place, ("", name or unnamed.get(place, "")))[1] for place, name in enumerate(names)]
    notices = []
    if unnamed:
        which = listed(f"column {place + 1} is named {shown(name)}" for place, name in unnamed.items())
        notices.append(Notice(code="unnamed_column", message=f"{which}, as it has no name."))
    if renamed:
        which = listed(f"column {place + 1} is named {shown(other)}" for place, (_, other) in renamed.items())
        first = next(iter(renamed.values()))[0]
        notices.append(
            Notice(code="renamed_column", message=f"{which}, as an earlier one has its name, {shown(first)}.")
        )
    return tuple(names), tuple(notices)


def _free(name: str, taken: set[str], counted: Counter[str] | None = None) -> str:
    """Give the name, or the first of `a_2`, `a_3`, … that is free, and take it; `counted` saves counting from 2 again."""
    found, count = name, 1 if counted is None else max(counted[name], 1)
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    if counted is not None:
        counted[name] = count
    taken.add(found)
    return found
