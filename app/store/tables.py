"""The tables. Every object of a client has an `owner`, and every query filters by it."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    TypeDecorator,
    text,
)
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

# Word for word as in the index: a database takes that for this condition only.
NOT_ENDED = text("status NOT IN ('cancelled', 'failed', 'succeeded')")


class Row(DeclarativeBase):
    """A row of one of our tables."""

    type_annotation_map = {
        int: BigInteger,
        datetime: Utc,
        Json: JSON(none_as_null=True),
        list[Json]: JSON,
        bytes: LargeBinary,
    }


class IdentityRow(Row):
    """What this database is told from others by. There is one row, which is never changed."""

    __tablename__ = "identity"

    value: Mapped[str] = mapped_column(primary_key=True)


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

    __table_args__ = (Index("ix_datasets_owner_id", "owner", "id"), Index("ix_datasets_sha256", "sha256"))


class UploadRow(Row):
    """A dataset that is being sent in pieces; the bytes that came so far are a blob, or one for each piece in a bucket."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    name: Mapped[str]
    format: Mapped[str | None]
    kinds: Mapped[Json]
    separator: Mapped[str | None]
    encoding: Mapped[str | None]
    header: Mapped[str]
    size_bytes: Mapped[int | None]
    sha256: Mapped[str | None]
    offset: Mapped[int]
    dataset_id: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]

    __table_args__ = (Index("ix_uploads_owner_id", "owner", "id"), Index("ix_uploads_expires_at", "expires_at"))


class UploadPieceRow(Row):
    """Some bytes of an upload, as an object of a bucket; they start where the piece before ends."""

    __tablename__ = "upload_pieces"

    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    start: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    key: Mapped[str]


class JobRow(Row):
    """A request to train, and how far it has come.

    `run` is the fencing token: it grows each time a worker takes the job. `hand_over` grows each time the job is put into
    the queue: an older hand-over that is still there does nothing. `queued_at` is when the last one was.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    name: Mapped[str]
    tags: Mapped[Json]
    kind: Mapped[str] = mapped_column(default="training")
    status: Mapped[str]
    priority: Mapped[int] = mapped_column(default=0)
    queued_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    hand_over: Mapped[int] = mapped_column(default=1)
    dataset_id: Mapped[str] = mapped_column(String(40))
    request: Mapped[Json]
    resolved: Mapped[Json]
    preprocessing: Mapped[Json] = mapped_column(deferred=True)
    run: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    lost_runs: Mapped[int] = mapped_column(default=0)
    lost_because: Mapped[str | None]
    epoch: Mapped[int] = mapped_column(default=0)
    epochs: Mapped[int]
    trained_s: Mapped[float] = mapped_column(default=0.0)
    rows_per_s: Mapped[float | None]
    latest: Mapped[Json | None]
    best: Mapped[Json | None]
    stopped_because: Mapped[str | None]
    error: Mapped[Json | None]
    model_id: Mapped[str | None]
    parent_job_id: Mapped[str | None]
    parent_epoch: Mapped[int | None]
    verification: Mapped[Json | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_jobs_owner_kind_id", "owner", "kind", "id"),
        Index("ix_jobs_owner_kind_status_id", "owner", "kind", "status", "id"),
        Index("ix_jobs_dataset_id", "dataset_id"),
        Index("ix_jobs_parent_job_id", "parent_job_id"),
        Index("ix_jobs_queue", "owner", "status", "priority", "queued_at", "id"),
        Index("ix_jobs_not_ended", "status", sqlite_where=NOT_ENDED, postgresql_where=NOT_ENDED),
    )


class EndedJobsRow(Row):
    """A number of jobs that ended so: the sum over all rows is how many ever did."""

    __tablename__ = "ended_jobs"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    status: Mapped[str]
    number: Mapped[int]


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
    """The state from which a job goes on, written in the same transaction as the epochs it stands behind.

    `origin` tells whose state it is: null for the job's own; a fork starts with the `parent`'s, or with its `best` weights.
    """

    __tablename__ = "checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int]
    state: Mapped[bytes] = mapped_column(deferred=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    origin: Mapped[str | None]
    receipt: Mapped[Json | None]
    at: Mapped[datetime]


class KeptCheckpointRow(Row):
    """A state that is not overwritten: `kept` because the job asked for it, or the `start` of a fork.

    `best` is the epoch of the lowest loss until then, whose weights are in the state as well.
    """

    __tablename__ = "kept_checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[bytes] = mapped_column(deferred=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    origin: Mapped[str | None]
    best: Mapped[Json | None]
    at: Mapped[datetime]


class InitialWeightsRow(Row):
    """The weights that a job starts with, as `.npz`: its own copy, stored in the transaction that submits it."""

    __tablename__ = "initial_weights"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    content: Mapped[bytes]


class ModelRow(Row):
    """A trained network with its preprocessing; the weights are a blob. One without a job was uploaded.

    `versions` are the weights that are kept of the best and of the latest epoch, `exports` what the check of each file found, by
    its name, and `training` how it was trained: it outlives the job. `files_of_run` is the run whose files it has, where each run's
    have keys of their own.
    """

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
    metrics: Mapped[Json | None]
    monotone: Mapped[bool | None]
    environment: Mapped[Json]
    receipt: Mapped[Json | None]
    sha256: Mapped[str]
    size_bytes: Mapped[int]
    files_of_run: Mapped[int | None]
    versions: Mapped[Json | None]
    exports: Mapped[Json | None]
    dataset_sha256: Mapped[str | None]
    training: Mapped[Json | None]
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
