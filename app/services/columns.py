"""Which columns a job learns from, and which other dataset it is validated on."""

from collections.abc import Mapping, Sequence

from app.contract.datasets import Column, RoleHint
from app.contract.jobs import JobCreate
from app.contract.preprocessing import DatasetValidation
from app.errors import DescentError, Fault, InvalidRequest
from app.services import datasets
from app.services.installation import Installation
from app.store.tables import DatasetRow
from app.tables.choice import Choice, choose
from app.tables.held_out import dataset_faults
from app.tables.suspects import suspects


def other_dataset(installation: Installation, owner: str, job: JobCreate) -> DatasetRow | Fault | None:
    """Give the other dataset whose rows are validated on, or what is wrong with it."""
    if not isinstance(job.validation, DatasetValidation):
        return None
    with installation.database.reading() as session:
        try:
            return datasets.find(session, owner, job.validation.dataset_id)
        except DescentError as error:
            return Fault("/validation/dataset_id", error.detail, error.code)


def left_out_by_default(
    installation: Installation, dataset: DatasetRow, columns: Sequence[Column], job: JobCreate
) -> dict[str, str]:
    """Find the columns that are no features unless they are asked for."""
    if job.features is not None:
        return {}
    targets = targets_of(job, columns)
    found = suspects(columns, {targets} if isinstance(targets, str) else set(targets), dataset.n_rows)
    if not (found.numbers or found.copies):
        return dict(found.certain)
    return installation.tables.confirm(datasets.table_path(installation, dataset.id), found)


def choose_columns(
    installation: Installation,
    job: JobCreate,
    columns: Sequence[Column],
    set_aside: Mapping[str, str],
    other: DatasetRow | Fault | None,
) -> Choice:
    """Choose the columns; what is wrong with them and with the dataset to validate on is said at once."""
    faults = [other] if isinstance(other, Fault) else []
    try:
        choice = choose(
            columns,
            target=targets_of(job, columns),
            features=job.features,
            task=job.task,
            preprocessing=job.preprocessing,
            max_classes=installation.settings.max_classes,
            sample_weight=job.sample_weight,
            validation=job.validation,
            set_aside=set_aside,
        )
    except InvalidRequest as error:
        raise InvalidRequest(error.detail, [*error.faults, *faults]) from None
    if isinstance(other, DatasetRow):
        names = {*choice.features, *choice.targets, choice.sample_weight}
        faults += dataset_faults(
            datasets.columns_of(other),
            [column for column in columns if column.name in names],
            targets=choice.targets,
            features=choice.features,
            missing=job.preprocessing.missing,
        )
    if faults:
        raise InvalidRequest("the rows to validate on cannot be used", faults)
    return choice


def targets_of(job: JobCreate, columns: Sequence[Column]) -> str | Sequence[str]:
    """Give the columns to predict: those that are named, or those that inline data call so."""
    if job.target is not None:
        return job.target
    named = [column.name for column in columns if column.role_hint is RoleHint.TARGET]
    return named[0] if len(named) == 1 else named
