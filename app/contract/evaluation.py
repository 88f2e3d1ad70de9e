"""What a model makes of a dataset: predictions, metrics, what they depend on, and the rows it finds hardest."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from app.contract.base import Incoming, Outgoing
from app.contract.models import Value
from app.contract.network import MAX_SEED

DatasetId = Annotated[
    str,
    Field(
        max_length=40,
        pattern="^[0-9A-Za-z_]+$",
        description="A dataset that has the model's columns; others are ignored.",
    ),
]
NRows = Annotated[int, Field(ge=1, description="Rows of the dataset.")]
NEvaluated = Annotated[
    int, Field(ge=1, description="Rows that have a target and a prediction: all figures are of these.")
]


class PredictionsFormat(StrEnum):
    """A format in which the predictions of a dataset can be had."""

    CSV = "csv"
    PARQUET = "parquet"


class Metric(StrEnum):
    """A metric of a model on a dataset."""

    LOSS = "loss"
    ACCURACY = "accuracy"
    BALANCED_ACCURACY = "balanced_accuracy"
    ROC_AUC = "roc_auc"
    LOG_LOSS = "log_loss"
    RMSE = "rmse"
    MAE = "mae"
    R2 = "r2"


OF_CLASSES = (Metric.LOSS, Metric.ACCURACY, Metric.BALANCED_ACCURACY, Metric.ROC_AUC, Metric.LOG_LOSS)
OF_NUMBERS = (Metric.LOSS, Metric.RMSE, Metric.MAE, Metric.R2)


class EvaluateRequest(Incoming):
    """The dataset to measure a model on; it needs the features and the target."""

    dataset_id: DatasetId


class EvaluationWarning(Outgoing):
    """Something about the rows that one should know."""

    code: Literal["missing_target", "unseen_class", "unpredictable_rows", "too_many_scores"]
    message: str


class _Evaluation(Outgoing):
    model_id: str
    dataset_id: str
    n_rows: NRows
    n_evaluated: NEvaluated
    n_without_target: Annotated[int, Field(ge=0, description="Rows left out since a target is missing.")]
    n_unseen_class: Annotated[
        int, Field(ge=0, description="Rows left out since no row that the model was fitted on was of their class.")
    ]
    n_without_prediction: Annotated[
        int,
        Field(
            ge=0,
            description="Rows left out since the model cannot predict them: a number is missing and its rule is "
            "`drop_row`, or one is too far from those it was trained on.",
        ),
    ]
    unseen_classes: Annotated[
        dict[str, int],
        Field(description="The classes that the model does not know, and their rows; at most 100 are named."),
    ]
    loss_name: Annotated[str, Field(description="The loss that the model was trained with, as far as that is known.")]
    loss: Annotated[
        float | None,
        Field(
            description="Mean over the rows, each counted once, targets not smoothed; in the scale of the training. "
            "null: too large to be written, as for every metric."
        ),
    ]
    warnings: list[EvaluationWarning]


class ClassMetrics(Outgoing):
    """How well one class is told from the others; 0 where there is nothing to divide by, as scikit-learn has it."""

    precision: Annotated[float, Field(ge=0, le=1, description="Of the rows said to be of the class, how many are.")]
    recall: Annotated[float, Field(ge=0, le=1, description="Of the rows of the class, how many are said to be.")]
    f1: Annotated[float, Field(ge=0, le=1, description="The harmonic mean of both.")]
    support: Annotated[int, Field(ge=0, description="Rows of the class.")]
    roc_auc: Annotated[
        float | None,
        Field(
            description="The class against all others; null without rows of it, or of others. Of two classes: the same."
        ),
    ]


class ConfusionMatrix(Outgoing):
    """How many rows of each class were said to be of each class."""

    labels: Annotated[list[str], Field(description="The classes, in the order of rows and columns.")]
    counts: Annotated[
        list[list[int]], Field(description="One list an actual class, in it one count a predicted class.")
    ]


class ClassificationEvaluation(_Evaluation):
    """How well a model tells classes apart."""

    task: Literal["classification"]
    accuracy: Annotated[float, Field(ge=0, le=1)]
    balanced_accuracy: Annotated[
        float, Field(ge=0, le=1, description="Mean recall of the classes that the dataset has rows of.")
    ]
    roc_auc: Annotated[
        float | None,
        Field(
            description="Of two classes: of the second. Of more: the mean over the classes, each against the others. null if "
            "a class has no rows, or all; or for more rows times classes (rows, for two) than 33,554,432."
        ),
    ]
    log_loss: Annotated[
        float | None,
        Field(
            description="Mean of -log of the probability of the actual class, which is kept a rounding error away from 0 "
            "and 1. null if the outputs are no probabilities."
        ),
    ]
    per_class: Annotated[dict[str, ClassMetrics], Field(description="By class.")]
    confusion_matrix: ConfusionMatrix


class TargetMetrics(Outgoing):
    """How close one number is met, in its own unit."""

    rmse: float | None
    mae: float | None
    r2: Annotated[
        float | None,
        Field(description="Of a target that never varies: 1 if it is met exactly, else 0. null with one row only."),
    ]


class RegressionEvaluation(_Evaluation):
    """How close a model comes to numbers."""

    task: Literal["regression"]
    rmse: Annotated[float | None, Field(description="Over rows and targets, in the units of the targets.")]
    mae: Annotated[float | None, Field(description="Over rows and targets, in the units of the targets.")]
    r2: Annotated[float | None, Field(description="Mean over the targets.")]
    per_target: Annotated[dict[str, TargetMetrics], Field(description="By target.")]


Evaluation = Annotated[ClassificationEvaluation | RegressionEvaluation, Field(discriminator="task")]


class ImportanceRequest(Incoming):
    """How to find out what the columns matter."""

    dataset_id: DatasetId
    repeats: Annotated[int, Field(ge=1, le=100, description="How often each column is shuffled.")] = 5
    seed: Annotated[int, Field(ge=0, le=MAX_SEED, description="Equal seeds give equal answers.")] = 0
    metric: Annotated[
        Metric,
        Field(
            description="What is watched. Classification: `loss`, `accuracy`, `balanced_accuracy`, `roc_auc`, `log_loss`; "
            "regression: `loss`, `rmse`, `mae`, `r2`."
        ),
    ] = Metric.LOSS
    max_rows: Annotated[
        int,
        Field(
            ge=2, le=1_000_000, description="Of a larger dataset so many rows are drawn; fewer if they are very wide."
        ),
    ] = 10_000


class ColumnImportance(Outgoing):
    """How much a metric worsens when a column's values are shuffled among the rows, all inputs made of it together."""

    name: str
    mean: Annotated[
        float | None,
        Field(
            description="Mean worsening over the repeats: above 0 if the model does worse without it. null: undefined."
        ),
    ]
    std: Annotated[float | None, Field(description="Standard deviation (population) over the repeats.")]


class Importance(Outgoing):
    """What each column matters to a model, the most important one first."""

    model_id: str
    dataset_id: str
    metric: Metric
    repeats: int
    seed: int
    n_rows: Annotated[int, Field(ge=1, description="Rows that were drawn.")]
    baseline: Annotated[float, Field(description="The metric on these rows as they are.")]
    columns: list[ColumnImportance]


class LossesRequest(Incoming):
    """Which dataset, and how many of its rows."""

    dataset_id: DatasetId
    limit: Annotated[
        int, Field(ge=1, le=1000, description="Rows; at most 100,000 divided by the dataset's columns.")
    ] = 100


class HardRow(Outgoing):
    """One row, and what it costs."""

    row: Annotated[int, Field(ge=0, description="Its number in the dataset; the first is 0.")]
    loss: Annotated[
        float | None, Field(description="What it costs, in the scale of the training; null: too much to be written.")
    ]
    predicted: Annotated[Value | list[float | None] | None, Field(description="The class, the number, or the numbers.")]
    actual: Annotated[Value | list[float | None] | None, Field(description="What the dataset says.")]
    probability: Annotated[
        float | None, Field(description="Of the actual class; null if the outputs are no probabilities.")
    ]
    values: Annotated[dict[str, Any], Field(description="All columns of the row; text is cut after 500 characters.")]


class Losses(Outgoing):
    """The rows that cost most, hardest first; of equal ones the first in the dataset."""

    model_id: str
    dataset_id: str
    loss_name: Annotated[str, Field(description="The loss that the model was trained with, as far as that is known.")]
    n_rows: NRows
    n_evaluated: NEvaluated
    rows: list[HardRow]
