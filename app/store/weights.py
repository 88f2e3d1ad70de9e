"""Where the files of models are, and which of them no model will ever have.

In a folder, a run gives its files their keys inside the transaction that ends the job. A bucket takes them before it, so that
their keys say whose they are: no other run writes or removes them, and the model's row says which run's it has.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contract.jobs import TERMINAL
from app.store.session import Database
from app.store.tables import JobRow, ModelRow

LOOKED_UP_AT_ONCE = 500

One = TypeVar("One")


def model_of(job_id: str) -> str:
    """Give the id of the model that a job makes."""
    return "model_" + job_id.removeprefix("job_")


def all_of(model_id: str) -> str:
    """Under which key everything is that is stored of a model."""
    return f"models/{model_id}"


def folder(model_id: str, run: int | None) -> str:
    """Under which key its files are."""
    return all_of(model_id) if run is None else f"{all_of(model_id)}/{run}"


def files_of(row: ModelRow) -> str:
    """Under which key the files are that a model has."""
    return folder(row.id, row.files_of_run)


def of_no_job(database: Database, model_ids: Iterable[str]) -> Iterator[str]:
    """Leave out the models whose jobs have not ended: any moment, a run may give them the files that are there."""
    for some in _some_at_once(model_ids):
        with database.reading() as session:
            jobs = _not_ended(session, ["job_" + one.removeprefix("model_") for one in some])
        yield from (one for one in some if one not in {model_of(job_id) for job_id in jobs})


def of_lost_runs(database: Database, stored: Iterable[tuple[str, float]], before: float) -> set[str]:
    """Give the folders of runs whose job another one ended.

    Args:
        stored: Keys of files of models, and when each was last changed.
        before: What was changed later may be a run's that still works on it.
    """
    lost: set[str] = set()
    old = (key.split("/") for key, changed_at in stored if changed_at < before)
    for some in _some_at_once((parts[1], parts[2]) for parts in old if len(parts) == 4):
        query = select(ModelRow.id, ModelRow.files_of_run).where(ModelRow.id.in_({model_id for model_id, _ in some}))
        with database.reading() as session:
            run_of = {model_id: str(run) for model_id, run in session.execute(query)}
        lost |= {f"{all_of(model)}/{run}" for model, run in some if run_of.get(model, run) != run}
    return lost


def _not_ended(session: Session, job_ids: list[str]) -> set[str]:
    query = select(JobRow.id).where(JobRow.id.in_(job_ids), JobRow.status.not_in(TERMINAL))
    return set(session.scalars(query))


def _some_at_once(found: Iterable[One]) -> Iterator[list[One]]:
    rest = iter(found)
    while some := list(islice(rest, LOOKED_UP_AT_ONCE)):
        yield some
