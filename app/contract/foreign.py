"""Weights that a client sends: to start a training with, or as a model of its own."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from app.contract.base import ColumnName, Incoming, Name, Outgoing
from app.contract.network import MAX_LAYERS, Network

MAX_INPUTS = 20_000
MAX_OUTPUTS = 10_000

# A list of numbers ends at its first fault: one a list is told, however many there are.
Vector = Annotated[list[StrictFloat], Field(fail_fast=True)]
Matrix = Annotated[list[Vector], Field(fail_fast=True)]
Class = Annotated[str, StringConstraints(min_length=1, max_length=500)] | StrictBool | StrictInt | StrictFloat


class GivenBatchNorm(Incoming):
    """What a normalised layer learned, one number a unit, under PyTorch's names."""

    weight: Vector
    bias: Vector
    running_mean: Vector
    running_var: Vector


class GivenLayer(Incoming):
    """One layer, as the JSON form of a model's weights has it: `weight` is `(units_out, units_in)`."""

    weight: Matrix
    bias: Annotated[Vector | None, Field(description="null for a network without biases.")] = None
    batch_norm: Annotated[GivenBatchNorm | None, Field(description="For a layer with `batch_norm`.")] = None


GivenLayers = Annotated[list[GivenLayer], Field(min_length=1, max_length=MAX_LAYERS + 1)]


class InitialWeights(Incoming):
    """The weights that a training starts with: those of a model, or `layers` as `GET …/weights?format=json` gives them."""

    model_id: Annotated[
        str | None, Field(max_length=40, pattern="^[0-9A-Za-z_]+$", description="A model of yours; or `layers`.")
    ] = None
    layers: Annotated[
        GivenLayers | None,
        Field(description="From the first hidden layer to the output. Larger ones are uploaded: `POST /v1/models`."),
    ] = None


class StartWarning(Outgoing):
    """What differs between a job and the model whose weights it starts with, though they fit."""

    code: Literal["inputs_differ", "classes_differ", "targets_differ", "preprocessing_differs", "activations_differ"]
    message: str


class ResolvedStart(Outgoing):
    """The weights that a training starts with; they are kept with the job, whatever becomes of the model."""

    model_id: Annotated[str | None, Field(description="Where they are from; null: they came with the request.")]
    sha256: Annotated[
        str,
        Field(
            description="Of the weights as `.npz` in the job's `dtype`: the model's own `sha256` if it has the same "
            "`dtype`. Other numbers are rounded to the nearest of the job's `dtype`."
        ),
    ]
    warnings: list[StartWarning]


class ModelCreate(Incoming):
    """A network that was trained elsewhere, taking numbers as they are."""

    name: Annotated[Name | None, Field(description="null: `uploaded model`.")] = None
    task: Literal["classification", "regression"]
    n_inputs: Annotated[
        int | None, Field(ge=1, le=MAX_INPUTS, description="How many numbers it takes; named `x0…`. Or `inputs`.")
    ] = None
    inputs: Annotated[
        Annotated[list[ColumnName], Field(min_length=1, max_length=MAX_INPUTS)] | None,
        Field(description="The columns it takes, in the order of its inputs; all are numbers."),
    ] = None
    classes: Annotated[
        Annotated[list[Class], Field(min_length=2, max_length=MAX_OUTPUTS)] | None,
        Field(description="Of a classification, in the order of the outputs: all text, all numbers, or all booleans."),
    ] = None
    targets: Annotated[
        Annotated[list[ColumnName], Field(min_length=1, max_length=MAX_OUTPUTS)] | None,
        Field(description="The columns it predicts: one for a classification. null: `y0…`, one an output."),
    ] = None
    network: Annotated[
        Network,
        Field(
            description="As in a job. `output_activation` `auto`: linear for a regression; for a classification sigmoid "
            "if there is one output, else softmax. A network that ends in logits is given the activation that its loss "
            "applies to them."
        ),
    ] = Network()
    dtype: Annotated[
        Literal["float32", "float64"] | None,
        Field(
            description="In which it computes. null: float64 if any of the weights are (JSON is not), else float32; "
            "float16 and bfloat16 become float32 without a change."
        ),
    ] = None
    layers: Annotated[
        GivenLayers | None, Field(description="The weights, if no `file` is sent; up to 4 MiB of JSON.")
    ] = None
