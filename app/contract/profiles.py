"""Profiles: how the values of a dataset's columns are distributed."""

from typing import Annotated

from pydantic import Field

from app.contract.base import Outgoing
from app.contract.datasets import Kind

MAX_COLUMNS = 100
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MAX_BINS = 20
MAX_FREQUENT = 20
MAX_SHOWN_LENGTH = 500

Value = Annotated[float | str, Field(description="A number, or the time of a datetime column.")]


class Quantile(Outgoing):
    """A value, and the fraction of the values that are below it."""

    quantile: Annotated[float, Field(ge=0, le=1)]
    value: Value


class Histogram(Outgoing):
    """How many values are in each of up to 20 bins of equal width."""

    edges: Annotated[
        list[Value],
        Field(min_length=2, description="One more than there are bins; the last bin holds both of its edges."),
    ]
    counts: Annotated[list[int], Field(min_length=1, max_length=MAX_BINS)]


class Frequency(Outgoing):
    """A value, and how many cells hold it."""

    value: Annotated[str, Field(description=f"Cut after {MAX_SHOWN_LENGTH} characters.")]
    count: Annotated[int, Field(ge=1)]


class Lengths(Outgoing):
    """How many characters the values have."""

    min: Annotated[int, Field(ge=0)]
    max: Annotated[int, Field(ge=0)]
    mean: Annotated[float, Field(ge=0)]


class ColumnProfile(Outgoing):
    """How the values of one column are distributed; missing ones are not counted in."""

    name: str
    kind: Kind
    n_missing: Annotated[int, Field(ge=0, description="Cells that hold no value.")]
    n_unique: Annotated[int, Field(ge=0, description="Different values, missing ones not counted.")]
    quantiles: Annotated[
        list[Quantile] | None,
        Field(description="At 0.05, 0.25, 0.5, 0.75 and 0.95, of a numeric or datetime column that has values."),
    ]
    histogram: Annotated[Histogram | None, Field(description="Of a numeric or datetime column that has values.")]
    top: Annotated[
        list[Frequency] | None,
        Field(max_length=MAX_FREQUENT, description="The most frequent values of a categorical or boolean column."),
    ]
    lengths: Annotated[Lengths | None, Field(description="Of a text column that has values.")]


class Profile(Outgoing):
    """The columns of a dataset, or some of them, in more detail."""

    n_rows: Annotated[int, Field(ge=1)]
    columns: list[ColumnProfile]
    next_cursor: Annotated[str | None, Field(description="Give it as `?cursor=`; null on the last page.")]
