"""The network and its training, as a client describes them; names, defaults and bounds are the engine's own."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Field, create_model
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from app.contract.base import Incoming
from engine.activations import ACTIVATIONS
from engine.initializers import INITIALIZERS
from engine.initializers import Initializer as Initialization
from engine.losses import LOSSES, Loss
from engine.optimizers import OPTIMIZERS
from engine.parameters import Parameter
from engine.schedules import SCHEDULES

MAX_UNITS = 1_000_000
MAX_LAYERS = 1_000
MAX_EPOCHS = 1_000_000_000
MAX_BATCH = 1_000_000_000
MAX_SEED = 2**53 - 1  # the largest that every JSON reader keeps exactly


class OneOf:
    """One of some names; the answer to another lists them, and so does the OpenAPI document."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> CoreSchema:
        return core_schema.literal_schema(self.names)


HiddenActivation = Annotated[str, OneOf(name for name, act in ACTIVATIONS.items() if act.elementwise)]
OutputActivation = Annotated[str, OneOf(["auto", *ACTIVATIONS])]
Initializer = Annotated[str, OneOf(["auto", *INITIALIZERS])]
LossName = Annotated[str, OneOf(["auto", *LOSSES])]
Units = Annotated[int, Field(ge=1, le=MAX_UNITS)]


Values = dict[Annotated[str, Field(max_length=100)], float]


def _parameters_of(entries: Mapping[str, Initialization | Loss]) -> str:
    """Say which names take which parameters."""
    lines = [
        f"`{name}`: {', '.join(f'`{one.name}` ({one.default:g}): {one.doc}' for one in entry.parameters)}"
        for name, entry in entries.items()
        if entry.parameters
    ]
    return "Parameters by name, where not left at their default. " + " ".join(lines)


class HiddenLayer(Incoming):
    """One hidden layer."""

    units: Units
    activation: Annotated[HiddenActivation | None, Field(description="null: the network's `activation`.")] = None
    dropout: Annotated[
        float, Field(ge=0, le=0.99, description="Probability that a unit is silent in a step of the training.")
    ] = 0.0
    batch_norm: Annotated[bool, Field(description="Normalise before the activation, over the rows of a batch.")] = False


def _units_alone(layer: Any) -> Any:
    """A layer may be written as its number of units."""
    if isinstance(layer, int | float) and not isinstance(layer, bool):
        return {"units": layer}
    if not isinstance(layer, dict | HiddenLayer):
        raise PydanticCustomError("layer_type", "Input should be a number of units, or a layer")
    return layer


class Network(Incoming):
    """The shape of a network; its input and output widths follow from the columns."""

    hidden_layers: Annotated[
        list[Annotated[HiddenLayer, BeforeValidator(_units_alone, json_schema_input_type=Units | HiddenLayer)]],
        Field(max_length=MAX_LAYERS, description="From the input to the output: a number of units, or a layer."),
    ] = []
    activation: Annotated[HiddenActivation, Field(description="Of the hidden layers that name none.")] = "relu"
    output_activation: Annotated[
        OutputActivation,
        Field(
            description="`auto`: what the loss needs, if it needs one; else sigmoid for two classes, softmax for more, "
            "linear for a regression."
        ),
    ] = "auto"
    initializer: Annotated[
        Initializer,
        Field(description="`auto`: by each layer's activation; he for relu and its like, lecun for selu, else glorot."),
    ] = "auto"
    initializer_parameters: Annotated[Values, Field(description=_parameters_of(INITIALIZERS))] = {}
    bias: Annotated[bool, Field(description="Whether layers add a bias.")] = True


def _field(parameter: Parameter) -> Any:
    """A field of an optimizer's or a schedule's model, with the engine's default and bounds."""
    bounds: dict[str, Any] = {}
    if parameter.minimum is not None:
        bounds["gt" if parameter.exclusive_minimum else "ge"] = parameter.minimum
    if parameter.maximum is not None:
        bounds["lt" if parameter.exclusive_maximum else "le"] = parameter.maximum
    default = parameter.default
    if isinstance(default, tuple):
        one: Any = Annotated[float, Field(**bounds)]
        return tuple.__class_getitem__((one,) * len(default)), Field(default, description=parameter.doc)
    if isinstance(default, bool):
        return bool, Field(default, description=parameter.doc)
    return type(default), Field(default, description=parameter.doc, **bounds)


def _literal(name: str) -> Any:
    """The type of this one string."""
    return Literal[name]


def _optimizer(name: str) -> type[Incoming]:
    """The model of one optimizer: its name, its step, and its own parameters under PyTorch's names."""
    optimizer = OPTIMIZERS[name]
    fields = {parameter.name: _field(parameter) for parameter in optimizer.parameters}
    return create_model(
        name.title().replace("_", ""),
        __base__=Incoming,
        __doc__=optimizer.doc,
        name=(_literal(name), ...),
        learning_rate=(
            float,
            Field(
                optimizer.default_learning_rate, gt=0, le=1e6, description="`beta` in the paper: the size of a step."
            ),
        ),
        **fields,
    )


def _schedule(name: str) -> type[Incoming]:
    """The model of one schedule: its name, and its own parameters."""
    schedule = SCHEDULES[name]
    fields = {parameter.name: _field(parameter) for parameter in schedule.parameters}
    return create_model(
        name.title().replace("_", "") + "Schedule",
        __base__=Incoming,
        __doc__=schedule.doc,
        name=(_literal(name), ...),
        **fields,
    )


class AnySchedule(Incoming):
    """What every schedule has."""

    name: str


class AnyOptimizer(Incoming):
    """What every optimizer has."""

    name: str
    learning_rate: float


if TYPE_CHECKING:
    Optimizer = AnyOptimizer
    Schedule = AnySchedule
else:
    Schedule = Annotated[Union[tuple(_schedule(name) for name in SCHEDULES)], Field(discriminator="name")]  # noqa: UP007
    Optimizer = Annotated[Union[tuple(_optimizer(name) for name in OPTIMIZERS)], Field(discriminator="name")]  # noqa: UP007


class EarlyStopping(Incoming):
    """Stop when the watched loss has not got better for some epochs."""

    monitor: Annotated[
        Literal["validation_loss", "train_loss"],
        Field(description="The loss that is watched; `validation_loss` needs validation rows."),
    ] = "validation_loss"
    patience: Annotated[int, Field(ge=1, le=MAX_EPOCHS, description="Epochs without a better loss.")] = 10
    min_delta: Annotated[float, Field(ge=0, description="What counts as better: lower by more than this.")] = 0.0
    restore_best: Annotated[bool, Field(description="The model gets the weights of the best epoch.")] = True


class KeepCheckpoints(Incoming):
    """Checkpoints that are kept beside the latest one."""

    every_epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS, description="Keep the state after each so many epochs.")]
    most: Annotated[int, Field(ge=1, le=100, description="So many are kept; the oldest goes first.")] = 10


class Training(Incoming):
    """How the network is trained."""

    loss: Annotated[
        LossName,
        Field(
            description="`quadratic`: half the squared error, summed over outputs, mean over rows; `mean_squared_error`: "
            "mean over rows and outputs. `auto`: cross-entropy for classes, mean squared error for a regression."
        ),
    ] = "auto"
    loss_parameters: Annotated[Values, Field(description=_parameters_of(LOSSES))] = {}
    optimizer: Annotated[Optimizer, Field(description="Names, parameters and defaults are PyTorch's.")] = Field(
        default_factory=lambda: _optimizer_default(), validate_default=True
    )
    schedule: Annotated[
        Schedule,
        Field(description="How the learning rate changes: by epoch, but for `linear_warmup` and `one_cycle` by step."),
    ] = Field(default_factory=lambda: _schedule_default(), validate_default=True)
    epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS, description="Passes over the training rows.")] = 100
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=MAX_BATCH)] | Literal["full"],
        Field(description="Rows of a step; `full`: all of them. A smaller last batch is trained on, too."),
    ] = 32
    shuffle: Annotated[bool, Field(description="Draw a new order of the rows for each epoch.")] = True
    seed: Annotated[
        int | None,
        Field(
            ge=0, le=MAX_SEED, description="Of the weights, the split and the order; null: one is drawn, and echoed."
        ),
    ] = 0
    dtype: Literal["float32", "float64"] = "float32"
    threads: Annotated[
        Annotated[int, Field(ge=1, le=64)] | Literal["auto"],
        Field(
            description="Threads of the matrix products. `auto`: 1, or 2 for a network so large that this is faster, where "
            "each job of a worker has that many cores; more are slower for small networks."
        ),
    ] = "auto"
    l1: Annotated[
        float, Field(ge=0, le=1e6, description="Times the sum of |W| over the weights, part of `train_loss`.")
    ] = 0.0
    l2: Annotated[
        float, Field(ge=0, le=1e6, description="Times half the sum of W² over the weights, part of `train_loss`.")
    ] = 0.0
    max_norm: Annotated[
        float | None, Field(gt=0, description="Longest that the weights into a unit may be after a step.")
    ] = None
    gradient_clip_norm: Annotated[
        float | None, Field(gt=0, description="Scale a longer gradient down to this length.")
    ] = None
    gradient_clip_value: Annotated[
        float | None, Field(gt=0, description="Cut each component to plus or minus this.")
    ] = None
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="Share of equal chances in the targets of a cross-entropy.")
    ] = 0.0
    early_stopping: EarlyStopping | None = None
    max_seconds: Annotated[float | None, Field(gt=0, description="Stop after so many seconds of training.")] = None
    checkpoint_every_s: Annotated[
        float,
        Field(
            ge=0.1,
            le=3600,
            description="At least this often (between steps) the state is stored, to go on from after a crash.",
        ),
    ] = 10.0
    keep_checkpoints: Annotated[
        KeepCheckpoints | None, Field(description="null: only the latest and the best are kept.")
    ] = None


def _optimizer_default() -> Any:
    return {"name": "adam"}


def _schedule_default() -> Any:
    return {"name": "constant"}
