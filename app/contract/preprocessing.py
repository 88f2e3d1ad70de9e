"""How the columns of a table become the numbers that a network is trained on."""

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from app.contract.base import Incoming


class Task(StrEnum):
    """What the network is to predict: one of some classes, or numbers."""

    AUTO = "auto"
    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class Numeric(StrEnum):
    """What is done to a numeric column; fitted on the training rows."""

    STANDARDIZE = "standardize"
    MINMAX = "minmax"
    NONE = "none"


class Missing(StrEnum):
    """What stands in for a missing number; fitted on the training rows."""

    MEAN = "mean"
    MEDIAN = "median"
    CONSTANT = "constant"
    DROP_ROW = "drop_row"
    ERROR = "error"


class Categorical(StrEnum):
    """What is done to a categorical column; its categories are those of the training rows."""

    ONE_HOT = "one_hot"
    ORDINAL = "ordinal"
    DROP = "drop"


class Preprocessing(Incoming):
    """How columns become numbers. Everything is fitted on the training rows only, and stored with the model."""

    numeric: Annotated[
        Numeric,
        Field(description="`standardize`: mean 0, standard deviation 1; `minmax`: 0 to 1; `none`: as they are."),
    ] = Numeric.STANDARDIZE
    missing: Annotated[
        Missing,
        Field(
            description="Missing numbers become the `mean` or the `median` of the training rows, or 0 (`constant`); "
            "`drop_row` leaves such rows out, `error` refuses them."
        ),
    ] = Missing.MEAN
    categorical: Annotated[
        Categorical,
        Field(
            description="`one_hot`: one input a category; `ordinal`: one input, the category's place; `drop`: unused."
        ),
    ] = Categorical.ONE_HOT
    max_categories: Annotated[
        int, Field(ge=2, le=1000, description="A column of more categories than this is left out.")
    ] = 100


class Validation(Incoming):
    """Which rows are held out to measure the network on rows that it does not learn from."""

    fraction: Annotated[float, Field(gt=0, lt=1, description="Share of the rows that is held out.")] = 0.2
    stratify: Annotated[bool, Field(description="Hold out the same share of each class (classification).")] = True


ClassWeight: TypeAlias = (
    Literal["balanced"] | dict[Annotated[str, Field(max_length=500)], Annotated[float, Field(ge=0, le=1e12)]]
)
