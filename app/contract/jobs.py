"""Jobs: requests to train, and what became of them."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, StringConstraints

from app.contract.base import ColumnName, Incoming, Name, Outgoing, Time
from app.contract.foreign import InitialWeights, ResolvedStart
from app.contract.network import Network, Training
from app.contract.preprocessing import AnyValidation, ClassWeight, Preprocessing, Task, Validation

TagKey = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^:\x00-\x1f\x7f]+$")]
TagValue = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Status(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in TERMINAL


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})


class JobKind(StrEnum):
    """What a job is for."""

    TRAINING = "training"
    VERIFICATION = "verification"


class StoppedBecause(StrEnum):
    """Why a training ended."""

    COMPLETED = "completed"
    EARLY_STOPPING = "early_stopping"
    MAX_SECONDS = "max_seconds"
    CONVERGED = "converged"
    CANCELLED = "cancelled"
    DIVERGED = "diverged"


class InlineData(Incoming):
    """Rows inside the request, up to 1 MiB; they are stored as a dataset of columns `x0…` and `y0…`."""

    # Each list ends at its first fault: of a million faults, a million would else be written down.
    inputs: Annotated[
        list[Annotated[list[float | None], Field(fail_fast=True)]],
        Field(min_length=1, fail_fast=True, description="One list a row, all of one length."),
    ]
    targets: Annotated[
        Annotated[list[Annotated[list[float | str | bool], Field(fail_fast=True)]], Field(fail_fast=True)]
        | Annotated[list[float | str | bool], Field(fail_fast=True)],
        Field(min_length=1, description="One value or one list a row."),
    ]


class JobCreate(Incoming):
    """A network to be trained on a dataset."""

    name: Annotated[Name | None, Field(description="null: made from the target and the dataset's name.")] = None
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=20, description="For `?tag=key:value`.")] = {}
    dataset_id: Annotated[
        str | None, Field(max_length=40, pattern="^[0-9A-Za-z_]+$", description="An uploaded dataset; or `data`.")
    ] = None
    data: Annotated[InlineData | None, Field(description="Rows sent along, instead of a dataset.")] = None
    target: Annotated[
        ColumnName | Annotated[list[ColumnName], Field(min_length=1, max_length=1000)] | None,
        Field(description="The column to predict, or several numeric ones; not with `data`."),
    ] = None
    features: Annotated[
        Annotated[list[ColumnName], Field(min_length=1, max_length=20_000)] | None,
        Field(description="The columns to predict from; null: every other one."),
    ] = None
    task: Annotated[
        Task, Field(description="`auto`: classification for a categorical or boolean target, regression for numbers.")
    ] = Task.AUTO
    preprocessing: Preprocessing = Preprocessing()
    validation: Annotated[
        AnyValidation | None,
        Field(
            description="Which rows are held out: a `fraction` at random (with `stratify`), by `group_column` or "
            "`time_column`; those that a `column` marks; or those of another dataset, `dataset_id`. null: none. A "
            "column that divides the rows is no feature, unless `features` names it."
        ),
    ] = Validation()
    sample_weight: Annotated[
        ColumnName | None, Field(description="The column that says how much a row counts; it is no feature then.")
    ] = None
    class_weight: Annotated[
        ClassWeight | None,
        Field(
            description="`balanced`: n_rows / (n_classes * rows of the class); or a weight by class, 1 if not named."
        ),
    ] = None
    network: Network = Network()
    training: Training = Training()
    priority: Annotated[
        int,
        Field(ge=-10, le=10, description="Your jobs of a higher priority start first. It moves no one else's jobs."),
    ] = 0
    initial_weights: Annotated[
        InitialWeights | None,
        Field(
            description="Start with the weights of a model, or with those given, in place of drawn ones. They must have "
            "the shapes of this network: columns may be others, if there are as many inputs and outputs. null: draw them."
        ),
    ] = None


class ResolvedLayer(Outgoing):
    """A layer with everything filled in."""

    units: int
    activation: str
    dropout: float
    batch_norm: bool


class ResolvedNetwork(Outgoing):
    """The network that is trained."""

    input_width: int
    output_width: int
    hidden_layers: list[ResolvedLayer]
    output_activation: str
    initializer: str
    initializer_parameters: dict[str, float]
    bias: bool


class Resolved(Outgoing):
    """The job with every default and every `auto` filled in: what is really done."""

    dataset_id: Annotated[
        str | None, Field(description="null only in the plan of a job with inline data, which are not stored.")
    ]
    target: list[str]
    features: list[str]
    inputs: Annotated[
        list[str], Field(description="The network's inputs, in order: `body_mass_g`, `island=Biscoe`, ….")
    ]
    classes: Annotated[list[str] | None, Field(description="The classes, in the order of the outputs.")]
    task: Literal["classification", "regression"]
    preprocessing: Preprocessing
    target_scaling: Annotated[
        Literal["standardize", "none"],
        Field(
            description="Whether the numbers to predict are standardized for training; losses are then in that unit."
        ),
    ]
    validation: AnyValidation | None
    sample_weight: str | None
    class_weight: Annotated[dict[str, float] | None, Field(description="By class; null: all classes count the same.")]
    n_train_rows: int
    n_validation_rows: int
    network: ResolvedNetwork
    training: Annotated[dict[str, JsonValue], Field(description="As `training` in the request, complete.")]
    n_parameters: int
    initial_weights: Annotated[ResolvedStart | None, Field(description="null: they are drawn from the seed.")]
    kernels: Annotated[
        Literal["numpy", "numba"],
        Field(
            description="What computes the steps: NumPy, or machine code. They differ in rounding; a resume keeps to it."
        ),
    ]
    memory_bytes: Annotated[int, Field(description="What the training is expected to need.")]


class PlannedColumn(Outgoing):
    """What becomes of a column, and why."""

    name: str
    used: bool
    encoding: Annotated[
        str | None,
        Field(
            description="How it becomes numbers: `standardize`, `minmax`, `none`, `one_hot`, `ordinal`; `classes`, "
            "`boolean`, `numeric` for a target; `weight`; `split` for a column that divides the rows; null: not at all."
        ),
    ]
    width: Annotated[int, Field(ge=0, description="Inputs, or outputs, that it becomes.")]
    why: Annotated[
        str, Field(description="Why it is used, or not: constant, empty, identifier-like, text, leaks the target, ….")
    ]


class PlanWarning(Outgoing):
    """Something that speaks against the job, though it can be done."""

    code: Annotated[str, Field(description="Stable, in snake case.")]
    message: str


class Plan(Outgoing):
    """What a job would be and would cost. Nothing is stored."""

    resolved: Resolved
    n_parameters: Annotated[int, Field(ge=0)]
    memory_bytes: Annotated[int, Field(ge=0, description="What the training is expected to need, beside its rows.")]
    flops_per_epoch: Annotated[
        int, Field(ge=0, description="Floating-point operations of an epoch's matrix products, validation left out.")
    ]
    estimated_seconds: Annotated[
        float,
        Field(
            ge=0,
            description="From the start of the training to its model, for all epochs or `max_seconds`, on a machine as fast "
            "as the API's that does nothing else; early stopping ends it sooner. Meant to be right within a factor of two.",
        ),
    ]
    columns: Annotated[list[PlannedColumn], Field(description="Every column of the dataset, in its order.")]
    warnings: list[PlanWarning]


class Progress(Outgoing):
    """How far a job has come."""

    epoch: int
    epochs: int
    fraction: float
    eta_s: float | None
    rows_per_s: float | None


class EpochSummary(Outgoing):
    """One epoch in short."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    metrics: dict[str, float]


class LineSearch(Outgoing):
    """What the line search of an epoch found."""

    step: Annotated[float, Field(description="The step that was taken.")]
    tries: Annotated[int, Field(ge=0, description="Steps that were tried.")]
    margin: Annotated[
        float | None, Field(description="By how much the loss fell below what Armijo's rule asks; null for L-BFGS.")
    ]


class Epoch(EpochSummary):
    """One epoch of a job's history."""

    learning_rate: float
    gradient_norm: Annotated[float, Field(description="Length of the epoch's last gradient, before clipping.")]
    duration_s: float
    line_search: LineSearch | None
    at: Time


class Epochs(Outgoing):
    """A part of a job's history, oldest first."""

    items: list[Epoch]
    next_after: Annotated[int | None, Field(description="Give it as `?after=`; null when there is no more now.")]


class JobError(Outgoing):
    """Why a job failed."""

    code: str
    message: str
    epoch: int | None


class Difference(Outgoing):
    """What differs between the machine of a training and that of its verification."""

    name: str
    then: JsonValue
    now: JsonValue


class Verification(Outgoing):
    """What came out when a job was trained again."""

    answer: Annotated[
        Literal["identical", "differs", "other_class"],
        Field(
            description="`identical`: every epoch and every link of the chain. `differs`: they do not, though everything "
            "that bits depend on is the same. `other_class`: they do not, and `differences` says why they need not."
        ),
    ]
    first_epoch: Annotated[
        int | None,
        Field(description="The first epoch known to differ, by its history, or by the next link of the chain."),
    ]
    epochs: Annotated[int, Field(description="Epochs that were compared.")]
    differences: Annotated[list[Difference], Field(description="Of the machines, whatever the answer.")]


class JobLinks(Outgoing):
    """Where to go from here."""

    self: str
    epochs: str
    events: str
    checkpoints: str
    dataset: str
    model: str | None


class Job(Outgoing):
    """A request to train, and how far it has come."""

    id: Annotated[str, Field(pattern="^job_")]
    name: str
    tags: dict[str, str]
    kind: Annotated[JobKind, Field(description="A `verification` trains another job again, and compares.")]
    status: Status
    priority: Annotated[int, Field(description="Your jobs of a higher priority start first.")]
    queue_position: Annotated[
        int | None, Field(description="Among your jobs, by priority and time; 1 is next; null unless queued.")
    ]
    attempt: Annotated[int, Field(ge=0, description="How often a worker has taken the job.")]
    request: Annotated[
        dict[str, Any],
        Field(
            description="As sent; inline data appear as the dataset they became, and the `layers` of `initial_weights` as "
            "the `sha256` of `resolved`."
        ),
    ]
    resolved: Resolved
    progress: Progress
    latest: EpochSummary | None
    best: Annotated[
        EpochSummary | None, Field(description="The epoch of the lowest loss (validation, if there is one).")
    ]
    stopped_because: StoppedBecause | None
    error: JobError | None
    model_id: str | None
    parent_job_id: Annotated[str | None, Field(description="The job that a fork went on from, or that is verified.")]
    parent_epoch: Annotated[
        int | None, Field(description="The epoch that a fork went on from; its own history begins with the next one.")
    ]
    verification: Annotated[Verification | None, Field(description="What came out; null unless a verification ended.")]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    links: JobLinks


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class TrainingChanges(Training):
    """What a fork trains differently; what is not named stays. An optimizer or a schedule is replaced as a whole."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class Fork(Incoming):
    """A job that goes on from a checkpoint of another one."""

    checkpoint_id: Annotated[
        str | None,
        Field(max_length=60, pattern="^ckpt_[0-9a-z_]+$", description="null: the latest one."),
    ] = None
    name: Annotated[Name | None, Field(description="null: as the parent's.")] = None
    tags: Annotated[dict[TagKey, TagValue] | None, Field(max_length=20, description="null: as the parent's.")] = None
    priority: Annotated[int, Field(ge=-10, le=10, description="As in a new job.")] = 0
    training: Annotated[
        TrainingChanges,
        Field(
            description="Epochs count on, so `epochs` must be more than the checkpoint's. `seed` and `dtype` stay: the "
            "seed has also drawn the validation rows."
        ),
    ] = Field(default_factory=TrainingChanges)


class CheckpointKind(StrEnum):
    """Why a checkpoint is there."""

    LATEST = "latest"
    BEST = "best"
    KEPT = "kept"


class Checkpoint(Outgoing):
    """A state of a job that is stored."""

    id: Annotated[str, Field(pattern="^ckpt_")]
    kind: Annotated[
        CheckpointKind,
        Field(
            description="`latest`: what the job goes on from; it is overwritten. `best`: the weights of the epoch of the "
            "lowest loss, which are a part of the latest. `kept`: by `keep_checkpoints`."
        ),
    ]
    epoch: Annotated[int, Field(description="Epochs that had ended; the latest may be some steps further.")]
    size_bytes: Annotated[int, Field(description="Of the whole state: weights, optimizer, order of the rows.")]
    sha256: Annotated[str, Field(description="Of the whole state, in hexadecimal.")]
    at: Time
    weights: Annotated[str, Field(description="Where its weights are.")]


class Checkpoints(Outgoing):
    """The checkpoints of a job, newest first."""

    items: list[Checkpoint]
