"""Datasets: rows that were uploaded, and what was found in their columns."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from app.contract.base import Outgoing, Time


class Format(StrEnum):
    """A format in which a dataset can be sent."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"
    NPZ = "npz"
    NPY = "npy"


class Compression(StrEnum):
    """How a dataset was packed when it was sent."""

    GZIP = "gzip"
    ZSTD = "zstd"


class Header(StrEnum):
    """Whether the first line of a CSV file names the columns."""

    TRUE = "true"
    FALSE = "false"
    AUTO = "auto"


class Kind(StrEnum):
    """What the values of a column are."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    TEXT = "text"


class RoleHint(StrEnum):
    """What a column looks like it is for."""

    TARGET = "target"


class DateOrder(StrEnum):
    """What comes first in a date of numbers alone, such as `01/02/2024`."""

    DAY_FIRST = "day_first"
    MONTH_FIRST = "month_first"


class Column(Outgoing):
    """One column of a dataset, as found over all of its rows."""

    name: str
    kind: Kind
    n_missing: Annotated[int, Field(ge=0, description="Cells that hold no value.")]
    n_unique: Annotated[int, Field(ge=0, description="Different values, missing ones not counted.")]
    min: Annotated[float | None, Field(description="Smallest value of a numeric or boolean column.")]
    max: Annotated[float | None, Field(description="Largest value of a numeric or boolean column.")]
    mean: Annotated[float | None, Field(description="Mean of the values that are there.")]
    std: Annotated[float | None, Field(description="Standard deviation (population) of the values that are there.")]
    categories: Annotated[
        list[str] | None, Field(description="The values of a categorical or boolean column, sorted; at most 1,000.")
    ]
    date_order: Annotated[
        DateOrder | None,
        Field(
            description="What comes first in the dates of a datetime column, if they are numbers alone: `01/02/2024`."
        ),
    ]
    role_hint: Annotated[RoleHint | None, Field(description="`target` for a column that inline data named so.")]


class ReadAs(Outgoing):
    """How the bytes were understood; null where the format leaves nothing to understand."""

    encoding: Annotated[
        str | None, Field(description="Of a text format: `utf-8`, `cp1252`, `utf-16`; guessed or as told.")
    ]
    separator: Annotated[str | None, Field(description="Between the values of a CSV file.")]
    has_header: Annotated[bool | None, Field(description="Whether the first line of a CSV file names the columns.")]
    compression: Annotated[Compression | None, Field(description="How the upload was packed.")]


class Notice(Outgoing):
    """What the sender of a dataset should know of how it was read."""

    code: Annotated[str, Field(description="Stable name of the kind of notice: `renamed_column`.")]
    message: str


class Dataset(Outgoing):
    """A stored table. It never changes."""

    id: Annotated[str, Field(pattern="^ds_")]
    name: str
    format: Format
    size_bytes: Annotated[int, Field(ge=0, description="Of the bytes as they were sent.")]
    sha256: Annotated[str, Field(description="Of the bytes as they were sent, in hexadecimal.")]
    n_rows: Annotated[int, Field(ge=1)]
    created_at: Time
    columns: list[Column]
    read: ReadAs
    warnings: Annotated[list[Notice], Field(description="Columns that were renamed or left out, what was guessed.")]


class Rows(Outgoing):
    """Rows of a dataset."""

    items: list[dict[str, Any]]
