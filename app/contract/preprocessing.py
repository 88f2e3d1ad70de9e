"""How the columns of a table become the numbers that a network is trained on."""

from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from app.contract.base import ColumnName, Incoming


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
            "`drop_row` leaves such rows out of training and validation, `error` refuses them. Rows to predict are "
            "always answered: with `drop_row` and `error`, too, a number they lack is the training rows' mean."
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


Fraction = Annotated[float, Field(gt=0, lt=1, description="Share of the rows that is held out.")]
FoldValue = Annotated[str, Field(max_length=500)] | float | bool


class Validation(Incoming):
    """Rows held out at random, to measure the network on rows that it does not learn from."""

    fraction: Fraction = 0.2
    stratify: Annotated[bool, Field(description="Hold out the same share of each class (classification).")] = True


class GroupValidation(Incoming):
    """Whole groups held out at random: rows of one group (a patient, a user) are never on both sides."""

    group_column: Annotated[
        ColumnName, Field(description="Rows with the same value are a group; rows without one are left out.")
    ]
    fraction: Annotated[
        float,
        Field(gt=0, lt=1, description="Share of the rows that is held out, as nearly as whole groups allow."),
    ] = 0.2


class TimeValidation(Incoming):
    """The latest rows held out, as the network will be used on later rows than it has learned from."""

    time_column: Annotated[
        ColumnName,
        Field(
            description="A datetime or numeric column. Rows of one time stay together; rows without one are left out."
        ),
    ]
    fraction: Annotated[
        float,
        Field(gt=0, lt=1, description="Share of the rows that is held out, as nearly as equal times allow."),
    ] = 0.2


class ColumnValidation(Incoming):
    """A column of the dataset says which rows are held out."""

    column: Annotated[ColumnName, Field(description="Rows without a value are left out.")]
    values: Annotated[
        list[FoldValue] | None,
        Field(
            min_length=1,
            max_length=1000,
            description="The values that mean validation. null: true, 1, `validation`, `valid`, `val` or `test` "
            "(in any case). A column of other numbers needs `values`.",
        ),
    ] = None


class DatasetValidation(Incoming):
    """The rows of another dataset: it has the same features and target, in columns of compatible kinds."""

    dataset_id: Annotated[
        str,
        Field(max_length=40, pattern="^[0-9A-Za-z_]+$", description="It is kept until the job has ended, too."),
    ]


_MARKS: dict[str, type[Incoming]] = {
    "group_column": GroupValidation,
    "time_column": TimeValidation,
    "column": ColumnValidation,
    "dataset_id": DatasetValidation,
}


def _only_one(validation: Any) -> Any:
    """Refuse what says in two ways which rows are held out."""
    found = [mark for mark in _MARKS if isinstance(validation, dict) and mark in validation]
    if len(found) > 1:
        raise PydanticCustomError("one_of", "Give only one of {names}", {"names": ", ".join(found)})
    return validation


def _way(validation: Any) -> str:
    """Give the name of the way in which rows are held out, by the field that only this way has."""
    if isinstance(validation, Incoming):
        return type(validation).__name__
    marks = validation if isinstance(validation, dict) else {}
    return next((way.__name__ for mark, way in _MARKS.items() if mark in marks), Validation.__name__)


AnyValidation: TypeAlias = Annotated[
    Annotated[Validation, Tag("Validation")]
    | Annotated[GroupValidation, Tag("GroupValidation")]
    | Annotated[TimeValidation, Tag("TimeValidation")]
    | Annotated[ColumnValidation, Tag("ColumnValidation")]
    | Annotated[DatasetValidation, Tag("DatasetValidation")],
    Discriminator(_way),
    BeforeValidator(_only_one),
]

ClassWeight: TypeAlias = (
    Literal["balanced"] | dict[Annotated[str, Field(max_length=500)], Annotated[float, Field(ge=0, le=1e12)]]
)
