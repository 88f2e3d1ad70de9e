"""Models: trained networks with their preprocessing."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from app.contract.base import Incoming, Outgoing, Time
from app.contract.jobs import EpochSummary, ResolvedNetwork

Value = str | float | bool


class ModelLinks(Outgoing):
    """Where to go from here."""

    self: str
    weights: str
    card: str
    predict: str
    receipt: Annotated[str | None, Field(description="null: the model has none.")]
    job: str | None


class WeightsFormat(StrEnum):
    """A format in which weights can be had."""

    NPZ = "npz"
    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    JSON = "json"


class Which(StrEnum):
    """The weights of which epoch: that with the lowest watched loss, or the last one."""

    BEST = "best"
    LATEST = "latest"


class FileCheck(Outgoing):
    """What came of opening a file with its format's own library, and comparing what it says of sample rows with the engine."""

    ok: Annotated[bool, Field(description="A file that is not is never handed out.")]
    max_difference: Annotated[
        float | None,
        Field(
            description="Largest difference of an output, in parts of the output, or of 1 (or of the target's standard "
            "deviation) if that is larger; null if there is nothing to compare."
        ),
    ]
    n_rows: Annotated[
        int, Field(description="Rows compared: some of the dataset, and made ones with missing and unseen values.")
    ]
    library: Annotated[str, Field(description="What opened the file.")]
    version: str


Verified = Annotated[
    dict[WeightsFormat, FileCheck | None],
    Field(description="Each format has an entry; null: not checked yet, which is done before its first download."),
]


class WeightsVersion(Outgoing):
    """The weights after one epoch."""

    epoch: int
    sha256: Annotated[str, Field(description="Of the `.npz` file, in hexadecimal.")]
    size_bytes: Annotated[int, Field(description="Of the `.npz` file.")]
    metrics: EpochSummary | None
    verified: Verified


class Versions(Outgoing):
    """The weights that are kept; one of them are the model's own."""

    best: Annotated[WeightsVersion, Field(description="The epoch with the lowest watched loss.")]
    latest: Annotated[WeightsVersion, Field(description="The last epoch.")]


class Link(Outgoing):
    """A link of a chain of hashes."""

    epoch: int
    sha256: Annotated[str, Field(description="Of the links before, what each epoch came to, and the weights here.")]


class Receipt(Outgoing):
    """What a model was made of, and where: who has the same may repeat it to the last bit."""

    job_id: str
    parent_job_id: str | None
    dataset_sha256: Annotated[str | None, Field(description="Of the dataset's bytes, as they were sent.")]
    validation_dataset_sha256: Annotated[
        str | None, Field(description="Likewise, of the dataset that it is validated on, if that is another one.")
    ]
    spec_sha256: Annotated[str, Field(description="Of `resolved` and of what was fitted, as sorted JSON.")]
    seed: int
    environment: Annotated[
        dict[str, JsonValue], Field(description="Versions, BLAS and its kernel, threads, dtype, compiled code.")
    ]
    receipt_class: Annotated[
        str, Field(description="Hash of the environment: trainings of one class have the same bits.")
    ]
    other_classes: Annotated[
        list[str], Field(description="Of runs elsewhere, when a job went on on another machine; else empty.")
    ]
    chain: Annotated[list[Link], Field(description="At most 65 links; epochs follow from the number of epochs.")]


class Model(Outgoing):
    """A trained network with its preprocessing."""

    id: Annotated[str, Field(pattern="^model_")]
    name: str
    job_id: str | None
    dataset_id: str | None
    task: Literal["classification", "regression"]
    network: ResolvedNetwork
    n_parameters: int
    dtype: Literal["float32", "float64"]
    preprocessing: Annotated[dict[str, JsonValue], Field(description="What was fitted on the training rows.")]
    epoch: Annotated[int, Field(description="The epoch that the weights are from.")]
    metrics: Annotated[EpochSummary | None, Field(description="What was measured in that epoch.")]
    monotone: Annotated[
        bool | None,
        Field(
            description="Whether the training loss never rose, looked up in the history; null unless `backtracking`."
        ),
    ]
    environment: Annotated[dict[str, JsonValue], Field(description="What the bits depend on: versions, BLAS, threads.")]
    receipt: Annotated[Receipt | None, Field(description="null for a model of a version that wrote none.")]
    sha256: Annotated[str, Field(description="Of the `.npz` file, in hexadecimal.")]
    size_bytes: Annotated[int, Field(description="Of the `.npz` file.")]
    verified: Verified
    versions: Annotated[
        Versions | None, Field(description="For `?which=`; null if only the model's own weights are kept.")
    ]
    dataset_sha256: Annotated[str | None, Field(description="Of the upload that it was trained on.")]
    created_at: Time
    links: ModelLinks


class BatchNormWeights(Outgoing):
    """What a normalised layer learned, one number a unit, under PyTorch's names."""

    weight: list[float]
    bias: list[float]
    running_mean: list[float]
    running_var: list[float]


class LayerWeights(Outgoing):
    """One layer: `weight` is `(units_out, units_in)`, as the paper and PyTorch print it."""

    weight: list[list[float]]
    bias: list[float] | None
    batch_norm: BatchNormWeights | None


class Weights(Outgoing):
    """The weights of a model as JSON."""

    layers: list[LayerWeights]


class PredictRequest(Incoming):
    """Rows to predict: as objects by column name, as plain lists of numbers in the order of the features, or a dataset."""

    rows: Annotated[
        Annotated[list[dict[str, Any]], Field(min_length=1, fail_fast=True)] | None,
        Field(description="One object a row, by column name."),
    ] = None
    inputs: Annotated[
        Annotated[list[Annotated[list[float | None], Field(fail_fast=True)]], Field(min_length=1, fail_fast=True)]
        | None,
        Field(description="One list a row; for features that are all numbers."),
    ] = None
    dataset_id: Annotated[
        str | None,
        Field(
            max_length=40,
            pattern="^[0-9A-Za-z_]+$",
            description="A dataset that has the model's columns; it is answered as CSV or Parquet, by `Accept`.",
        ),
    ] = None


class Prediction(Outgoing):
    """What the network says of one row."""

    value: Annotated[
        Value | list[float | None] | None,
        Field(description="The class, the number, or the numbers; null where a number is too large to be written."),
    ]
    probabilities: Annotated[dict[str, float] | None, Field(description="By class; null for a regression.")]


class Predictions(Outgoing):
    """One prediction a row, in the order of the rows."""

    predictions: list[Prediction]
