"""The installation itself."""

from typing import Annotated, Literal

from pydantic import Field

from app.contract.base import Outgoing


class Alive(Outgoing):
    """The process answers."""

    status: Literal["alive"]


class Ready(Outgoing):
    """The parts that work is done with."""

    status: Literal["ready", "not_ready"]
    database: Annotated[bool, Field(description="It answers, and its schema is the one this version needs.")]
    workers: Annotated[int, Field(description="Workers that show a sign of life.")]


class Limits(Outgoing):
    """The sizes that this installation accepts."""

    max_dataset_bytes: int
    max_open_uploads: int
    upload_hours: int
    max_unpacked_bytes: int
    max_inline_bytes: int
    max_columns: int
    max_rows: int
    max_classes: int
    max_epochs: int
    max_layers: int
    max_units: int
    max_model_bytes: int
    max_predict_rows: int
    job_memory_bytes: int
