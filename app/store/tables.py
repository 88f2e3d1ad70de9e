"""The tables. Every object of a client has an `owner`, and every query filters by it."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, ForeignKey, Index, LargeBinary, String, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Utc(TypeDecorator[datetime]):
    """A time in UTC. SQLite keeps no time zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Refuse a time without a time zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time needs a time zone")
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Give the time in UTC."""
        return value if value is None else value.replace(tzinfo=UTC)


Json = dict[str, Any]


class Row(DeclarativeBase):
    """A row of one of our tables."""

    type_annotation_map = {
        int: BigInteger,
        datetime: Utc,
        Json: JSON(none_as_null=True),
        list[Json]: JSON,
        bytes: LargeBinary,
    }


class DatasetRow(Row):
    """A stored upload; its bytes and the table read from them are blobs."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    name: Mapped[str]
    format: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    n_rows: Mapped[int]
    columns: Mapped[list[Json]]
    read: Mapped[Json]
    warnings: Mapped[list[Json]]
    created_at: Mapped[datetime]

    __table_args__ = (Index("ix_datasets_owner_id", "owner", "id"),)


class JobRow(Row):
    """A request to train, and how far it has come.

    `run` is the fencing token: it grows each time a worker takes the job.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    name: Mapped[str]
    tags: Mapped[Json]
    status: Mapped[str]
    dataset_id: Mapped[str] = mapped_column(String(40))
    request: Mapped[Json]
    resolved: Mapped[Json]
    preprocessing: Mapped[Json] = mapped_column(deferred=True)
    run: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    lost_runs: Mapped[int] = mapped_column(default=0)
    epoch: Mapped[int] = mapped_column(default=0)
    epochs: Mapped[int]
    rows_per_s: Mapped[float | None]
    latest: Mapped[Json | None]
    best: Mapped[Json | None]
    stopped_because: Mapped[str | None]
    error: Mapped[Json | None]
    model_id: Mapped[str | None]
    parent_job_id: Mapped[str | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_jobs_owner_id", "owner", "id"),
        Index("ix_jobs_owner_status_id", "owner", "status", "id"),
        Index("ix_jobs_dataset_id", "dataset_id"),
    )


class JobTagRow(Row):
    """One tag of a job, for `?tag=key:value`."""

    __tablename__ = "job_tags"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    owner: Mapped[str] = mapped_column(String(200))

    __table_args__ = (Index("ix_job_tags_owner_key_value", "owner", "key", "value", "job_id"),)


class EpochRow(Row):
    """One epoch of a job's history."""

    __tablename__ = "epochs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    train_loss: Mapped[float]
    validation_loss: Mapped[float | None]
    metrics: Mapped[Json]
    learning_rate: Mapped[float]
    gradient_norm: Mapped[float]
    duration_s: Mapped[float]
    line_search: Mapped[Json | None]
    at: Mapped[datetime]

    __table_args__ = ({"sqlite_with_rowid": False},)


class CheckpointRow(Row):
    """The state from which a job goes on, written in the same transaction as the epochs it stands behind."""

    __tablename__ = "checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int]
    state: Mapped[bytes]
    at: Mapped[datetime]


class ModelRow(Row):
    """A trained network with its preprocessing; the weights are a blob."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    name: Mapped[str]
    job_id: Mapped[str | None]
    dataset_id: Mapped[str | None]
    task: Mapped[str]
    network: Mapped[Json]
    preprocessing: Mapped[Json]
    dtype: Mapped[str]
    epoch: Mapped[int]
    metrics: Mapped[Json]
    monotone: Mapped[bool | None]
    environment: Mapped[Json]
    sha256: Mapped[str]
    size_bytes: Mapped[int]
    created_at: Mapped[datetime]

    __table_args__ = (Index("ix_models_owner_id", "owner", "id"), Index("ix_models_job_id", "job_id"))


class AnswerRow(Row):
    """The first answer that was given under an Idempotency-Key."""

    __tablename__ = "answers"

    owner: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str]
    object_id: Mapped[str | None]
    body: Mapped[str | None]
    created_at: Mapped[datetime]

    __table_args__ = (Index("ix_answers_created_at", "created_at"),)
