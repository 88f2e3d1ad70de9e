"""How many jobs there are, for the operator: found without looking at those that have ended."""

from typing import cast

from sqlalchemy import Table, delete, func, insert, select
from sqlalchemy.orm import Session

from app.contract.jobs import TERMINAL, Status
from app.store.tables import NOT_ENDED, EndedJobsRow, JobRow

_NOTE = insert(cast("Table", EndedJobsRow.__table__))


def note_end(session: Session, status: Status) -> None:
    """Count a job that ends in this transaction. A row is added, so that no transaction waits for another."""
    session.execute(_NOTE, {"status": status, "number": 1})


def not_ended(session: Session) -> dict[str, int]:
    """Count the jobs of each status that is not the end, of all owners."""
    counts = session.execute(select(JobRow.status, func.count()).where(NOT_ENDED).group_by(JobRow.status))
    return dict.fromkeys((status for status in Status if status not in TERMINAL), 0) | {
        row[0]: row[1] for row in counts
    }


def ended(session: Session) -> dict[str, int]:
    """Give how many jobs have ever come to each end, deleted ones too."""
    sums = session.execute(select(EndedJobsRow.status, func.sum(EndedJobsRow.number)).group_by(EndedJobsRow.status))
    return dict.fromkeys(sorted(TERMINAL), 0) | {row[0]: int(row[1]) for row in sums}


def add_up(session: Session) -> None:
    """Put one row in the place of those of each status. Several may do so at once: each row is taken by one of them."""
    taken = session.execute(delete(EndedJobsRow).returning(EndedJobsRow.status, EndedJobsRow.number)).all()
    sums: dict[str, int] = {}
    for status, number in taken:
        sums[status] = sums.get(status, 0) + number
    if sums:
        session.execute(insert(EndedJobsRow), [{"status": status, "number": number} for status, number in sums.items()])
