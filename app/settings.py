"""What an installation can set, by environment variable (`DESCENT_DATA_DIR=/srv/descent`)."""

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "DESCENT_"
# Read by the client, which may run in the same shell.
FOR_OTHERS = {"DESCENT_URL"}
KIB, MIB, GIB = 2**10, 2**20, 2**30

Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1)]


def _memory_bytes() -> int:
    """Memory that this process may use: the machine's, or less in a container."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # there is no such file, or it says `max`
        return machine


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """Every setting, its default and its unit."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(default=Path("data"), description="Folder of the embedded database and of the stored files.")
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL address; without one, SQLite in `data_dir`. Secret: it holds a password."
    )
    blobs_url: str | None = Field(
        default=None,
        description="Where uploads and weights are: `s3://bucket/prefix` (with the usual AWS_… variables) or `file:///folder`; "
        "without it, a folder in `data_dir`.",
    )
    blob_cache_bytes: Bytes = Field(
        default=10 * GIB, description="Most copies of what is in S3 that each machine keeps in its `data_dir`."
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8000, ge=0, le=65535)
    owner: str = Field(default="local", description="Who owns what is stored, as long as there is one user.")

    worker_slots: Count = Field(default_factory=_cores, description="Trainings at once in a worker.")
    max_threads: Count = Field(
        default_factory=lambda given: max(1, _cores() // given.get("worker_slots", 1)),
        description="Most threads that a job with `threads: auto` gets; by default the cores that are there for each slot.",
    )
    jobs_per_owner: Count | None = Field(
        default=None, description="Trainings of one owner at once, over all workers; without it, as many as fit."
    )
    poll_interval_s: float = Field(default=0.02, gt=0, le=10, description="How often a worker looks for a queued job.")
    attempts: Count = Field(default=3, description="Runs of a job that may kill their process before it is given up.")
    job_memory_bytes: Bytes = Field(default_factory=lambda: _memory_bytes() // 2, description="Most memory of one job.")

    max_dataset_bytes: Bytes = Field(default=2 * GIB, description="Largest upload.")
    max_open_uploads: Count = Field(
        default=100, description="Most uploads in pieces, of one owner, that are not complete."
    )
    upload_hours: Count = Field(default=24, description="How long an upload in pieces is kept.")
    max_unpacked_bytes: Bytes = Field(default=8 * GIB, description="Most bytes that a packed upload may become.")
    max_inline_bytes: Bytes = Field(default=MIB, description="Largest `data` inside a job.")
    max_columns: Count = Field(default=20_000, description="Most columns of a dataset.")
    max_rows: Count = Field(default=1_000_000_000, description="Most rows of a dataset.")
    max_classes: Count = Field(default=1_000, description="Most classes of a classification.")
    max_epochs: Count = Field(default=10_000_000, description="Most epochs of a job.")
    max_layers: Count = Field(default=100, description="Most hidden layers of a network.")
    max_units: Count = Field(default=100_000, description="Most units of one layer.")
    max_model_bytes: Bytes = Field(default=128 * MIB, description="Largest weights of a model that is uploaded.")
    max_predict_rows: Count = Field(default=100_000, description="Most rows of one prediction.")
    dataset_predictions: Count = Field(
        default_factory=_cores, description="Datasets that are predicted or evaluated at once, each in its own process."
    )
    reader_memory_bytes: Bytes = Field(
        default_factory=lambda: min(4 * GIB, _memory_bytes() // 2),
        description="Most memory of a process that reads tables.",
    )
    read_timeout_s: float = Field(default=300, gt=0, description="Longest reading of one upload into a table.")
    export_timeout_s: float = Field(default=120, gt=0, description="Longest writing and checking of one model file.")
    idempotency_hours: Count = Field(default=24, description="How long an answer is kept under its Idempotency-Key.")

    @model_validator(mode="after")
    def _known_names_only(self) -> Self:
        """A misspelt variable must not be silently ignored."""
        known = {f"{PREFIX}{name}".upper() for name in type(self).model_fields} | FOR_OTHERS
        unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name.upper() not in known)
        if unknown:
            raise ValueError(f"unknown setting {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
        return self

    @field_validator("blobs_url")
    @classmethod
    def _known_store(cls, url: str | None) -> str | None:
        """Refuse what would otherwise be found wrong by the first upload."""
        if url is None:
            return None
        parts = urlsplit(url)
        is_s3, is_folder = parts.scheme == "s3" and parts.netloc, parts.scheme == "file" and parts.path.strip("/")
        if not (is_s3 or (is_folder and parts.netloc in {"", "localhost"})) or parts.query or parts.fragment:
            raise ValueError("give s3://bucket, s3://bucket/prefix or file:///folder")
        return url

    @property
    def database(self) -> str:
        """SQLAlchemy's address of the database."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'descent.db'}"

    @property
    def blob_dir(self) -> Path:
        """Where uploads and weights are stored, or the copies of what is in a bucket."""
        if self.blobs_url is not None and self.blobs_url.startswith("file:"):
            return Path(unquote(urlsplit(self.blobs_url).path))
        return self.data_dir.resolve() / "blobs"

    @property
    def bucket(self) -> tuple[str, str] | None:
        """Name and prefix of the bucket where uploads and weights are stored; None: they are in a folder."""
        if self.blobs_url is None or not self.blobs_url.startswith("s3:"):
            return None
        parts = urlsplit(self.blobs_url)
        return parts.netloc, unquote(parts.path).strip("/")


@cache
def settings() -> Settings:
    """Give the settings of this process, read once."""
    return Settings()
