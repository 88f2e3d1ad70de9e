"""What is shown of a dataset's columns beside what every answer says of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.contract.datasets import Column
from app.contract.profiles import Profile
from app.errors import Fault, InvalidRequest
from app.services import datasets
from app.services.installation import Installation
from app.services.once import fingerprint
from app.tables.faults import unknown_column

# Another number whenever an answer would be another one.
EDITION = "1"


@dataclass(frozen=True)
class Chosen:
    """Some columns of a dataset, which is to say all of an answer: a dataset never changes."""

    dataset_id: str
    n_rows: int
    columns: Sequence[Column]
    next_cursor: str | None

    @property
    def etag(self) -> str:
        """Name the answer."""
        return fingerprint(EDITION, self.dataset_id, self.next_cursor or "", *(one.name for one in self.columns))[:32]


def choose(
    installation: Installation,
    owner: str,
    dataset_id: str,
    *,
    names: Sequence[str] | None,
    cursor: str | None,
    limit: int,
) -> Chosen:
    """Choose the columns of these names, or all, and of these a page.

    Raises:
        InvalidRequest: The dataset has no such column, or there is no such page.
    """
    with installation.database.reading() as session:
        row = datasets.find(session, owner, dataset_id)
    columns = {column.name: column for column in datasets.columns_of(row)}
    wanted = list(columns) if names is None else list(dict.fromkeys(names))
    faults = [unknown_column("?columns", name, columns) for name in wanted if name not in columns]
    start = 0 if cursor is None else int(cursor) if cursor.isdecimal() and cursor.isascii() else -1
    if not 0 <= start < len(wanted):
        faults.append(Fault("?cursor", "It is none that an answer gave.", "not_allowed"))
    if faults:
        raise InvalidRequest("The columns cannot be shown.", faults)
    end = start + limit
    chosen = [columns[name] for name in wanted[start:end]]
    return Chosen(row.id, row.n_rows, chosen, str(end) if end < len(wanted) else None)


def compute(installation: Installation, chosen: Chosen) -> Profile:
    """Look at the columns. The process that reads uploads does it, so that no submission waits for it."""
    table = datasets.table_path(installation, chosen.dataset_id)
    profiles = installation.uploads.profile(table, chosen.columns)
    return Profile(n_rows=chosen.n_rows, columns=profiles, next_cursor=chosen.next_cursor)
