"""Models that were trained elsewhere: checked as a whole, then stored as if a job here had made them."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from typing import Any, BinaryIO, cast

from numpy.typing import NDArray

from app.contract.datasets import Kind
from app.contract.foreign import MAX_OUTPUTS, ModelCreate
from app.contract.jobs import ResolvedNetwork
from app.contract.models import Model
from app.errors import Fault, InvalidRequest
from app.exports.reading import UnreadableWeights, from_layers, in_our_names, read_weights, widths_of
from app.exports.weights import to_npz
from app.services import models
from app.services.installation import Installation, now
from app.services.once import Answer, RequestKey, once, replay
from app.services.specs import network_spec, resolved_network
from app.settings import Settings
from app.store import weights as stored_weights
from app.store.ids import new_id
from app.store.session import Session
from app.store.tables import ModelRow
from app.tables.fitted import FittedInput, FittedPreprocessing, FittedTarget
from app.tables.words import Scalar, plain_number
from engine.checks import check
from engine.spec import TrainingSpec
from engine.weights import flat_parameters, named_arrays, weights_faults

# The weights of one model at a time are in memory, however many are uploaded at once.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Sent:
    """Weights as they came: under our names, what they were called, how they came, and what is wrong as (name, what)."""

    arrays: Mapping[str, NDArray[Any]]
    sent_as: Mapping[str, str]
    format: str
    faults: Sequence[tuple[str, str]] = ()
    sha256: str | None = None


def create(installation: Installation, request: RequestKey, model: ModelCreate, file: BinaryIO | None) -> Answer:
    """Store a model whose weights are in `file`, or among its fields; once for a key.

    Raises:
        InvalidRequest: The weights cannot be read, or are not those of the network described; every fault is listed.
    """
    with installation.database.reading() as session:
        earlier = replay(session, request)
    if earlier is not None:
        return earlier
    with _one_at_a_time:
        row, content = _check(installation.settings, request.owner, model, file)
    key = f"{stored_weights.files_of(row)}/weights.npz"
    installation.blobs.put(key, content)
    kept = False
    try:
        with installation.database.transaction() as session:
            answer = once(session, request, lambda: (row.id, _add(session, row)))
        kept = not answer.replayed
    finally:
        if not kept:
            installation.blobs.delete_folder(stored_weights.all_of(row.id))
    return answer


def _add(session: Session, row: ModelRow) -> Model:
    session.add(row)
    session.flush()
    session.refresh(row)
    return models.describe(row)


def _check(settings: Settings, owner: str, model: ModelCreate, file: BinaryIO | None) -> tuple[ModelRow, bytes]:
    """Make the row of a model and the bytes of its weights."""
    at = "" if file is None else "/model"
    faults = [*_form_faults(model, settings, with_file=file is not None)]
    sent = None
    try:
        sent = _read(settings, model, file)
    except UnreadableWeights as error:
        faults.append(Fault("/file", str(error), "unreadable_weights"))
    if faults or sent is None:
        raise InvalidRequest(
            "The model cannot be taken as it is.",
            [
                one if one.pointer == "/file" else Fault(at + one.pointer, one.message, one.code, one.allowed)
                for one in faults
            ],
        )
    widths = widths_of(sent.arrays)
    if widths is not None and widths[-1] > MAX_OUTPUTS:
        message = f"The weights have {widths[-1]:,} outputs; at most {MAX_OUTPUTS:,} are served."
        raise InvalidRequest(message, [Fault("/layers" if file is None else "/file", message, "too_many")])
    preprocessing = _preprocessing(model, n_outputs=widths[-1] if widths else 1)
    network = _network(model, preprocessing)
    dtype = model.dtype or _dtype(sent)
    spec = network_spec(network)
    faults += [
        Fault(at + _pointer(fault.field, model), fault.message, fault.code, fault.allowed)
        for fault in check(spec, TrainingSpec("quadratic", task=model.task))
        if fault.field.startswith("network.")
    ]
    wrong = [
        *sent.faults,
        *(one for one in weights_faults(spec, sent.arrays, dtype) if one[0] not in dict(sent.faults)),
    ]
    faults += [
        Fault("/" + name.replace(".", "/"), what, "weights_do_not_fit")
        if file is None
        else Fault("/file", f"`{sent.sent_as.get(name, name)}` {what}", "weights_do_not_fit")
        for name, what in wrong
    ]
    if faults:
        detail = "The weights are not those of the network described."
        if widths is not None and not sent.faults and widths != list(spec.widths):
            shape, said = "-".join(map(str, widths)), "-".join(map(str, spec.widths))
            detail = f"The weights are of a network {shape}, and {said} is described."
        raise InvalidRequest(detail, faults)
    content = to_npz(named_arrays(spec, flat_parameters(spec, sent.arrays, dtype)))
    environment = {"source": "upload", "format": sent.format, "sha256": sent.sha256}
    row = ModelRow(
        id=new_id("model"),
        owner=owner,
        name=model.name or "uploaded model",
        task=model.task,
        network=network.model_dump(mode="json"),
        preprocessing=preprocessing.to_json(),
        dtype=dtype,
        epoch=0,
        environment=environment,
        sha256=sha256(content).hexdigest(),
        size_bytes=len(content),
        created_at=now(),
    )
    return row, content


def _pointer(field: str, model: ModelCreate) -> str:
    """From the engine's name of a field to the request's."""
    if field.startswith(f"network.layers.{len(model.network.hidden_layers)}."):
        return "/network/output_activation"
    return "/" + field.replace("network.layers.", "network.hidden_layers.").replace(".", "/")


def _read(settings: Settings, model: ModelCreate, file: BinaryIO | None) -> Sent:
    if file is None:
        arrays, faults = from_layers(model.layers or [])
        return Sent(arrays, {}, "json", faults)
    format, found = read_weights(file, max_bytes=settings.max_model_bytes)
    named = in_our_names(found)
    return Sent(named.arrays, named.sent_as, format, sha256=hash_of(file))


def hash_of(file: BinaryIO) -> str:
    """Give the SHA-256 of a file, in hexadecimal."""
    file.seek(0)
    return file_digest(cast(Any, file), "sha256").hexdigest()


def _form_faults(model: ModelCreate, settings: Settings, *, with_file: bool) -> list[Fault]:
    """Faults that show without looking at the weights."""
    faults = []
    if (model.n_inputs is None) == (model.inputs is None):
        faults.append(Fault("/n_inputs", "Give either `n_inputs` or `inputs`.", "one_of"))
    if (model.layers is None) != with_file:
        message = "Send the weights either as the part `file`, or as `layers`."
        faults.append(Fault("/layers", message, "one_of"))
    if model.task == "classification" and model.classes is None:
        faults.append(Fault("/classes", "Name the classes, in the order of the outputs.", "missing"))
    if model.task == "regression" and model.classes is not None:
        faults.append(Fault("/classes", "A regression has no classes.", "not_allowed"))
    if model.task == "classification" and model.targets is not None and len(model.targets) > 1:
        faults.append(Fault("/targets", "A classification has one target.", "several_targets"))
    if len({_kind(one) for one in model.classes or ()}) > 1:
        faults.append(Fault("/classes", "Classes are all text, all numbers, or all booleans.", "mixed_types"))
    if model.classes is not None and len(model.classes) > settings.max_classes:
        faults.append(Fault("/classes", f"At most {settings.max_classes:,} here.", "too_many"))
    for field, names in (("classes", model.classes), ("inputs", model.inputs), ("targets", model.targets)):
        faults += _twice(field, names or ())
    for i, name in enumerate(model.targets or ()):
        if name in set(model.inputs or ()):
            faults.append(Fault(f"/targets/{i}", "It is an input, too.", "target_is_feature"))
    hidden = model.network.hidden_layers
    if len(hidden) > settings.max_layers:
        faults.append(Fault("/network/hidden_layers", f"At most {settings.max_layers:,} here.", "too_many"))
    return faults + [
        Fault(f"/network/hidden_layers/{i}/units", f"At most {settings.max_units:,} here.", "too_many")
        for i, layer in enumerate(hidden)
        if layer.units > settings.max_units
    ]


def _twice(field: str, names: Sequence[Any]) -> list[Fault]:
    seen: set[tuple[Kind, Any]] = set()
    faults = []
    for i, name in enumerate(names):
        if (_kind(name), name) in seen:
            faults.append(Fault(f"/{field}/{i}", "It is there twice.", "duplicate"))
        seen.add((_kind(name), name))
    return faults


def _kind(value: Scalar) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    return Kind.CATEGORICAL if isinstance(value, str) else Kind.NUMERIC


def _preprocessing(model: ModelCreate, *, n_outputs: int) -> FittedPreprocessing:
    """Numbers go in as they are, and come out as they are."""
    names = model.inputs or [f"x{i}" for i in range(model.n_inputs or 0)]
    inputs = tuple(FittedInput(name, Kind.NUMERIC, "none") for name in names)
    if model.classes is None:
        outputs = model.targets or [f"y{i}" for i in range(n_outputs)]
        targets = tuple(FittedTarget(name, Kind.NUMERIC) for name in outputs)
        return FittedPreprocessing("regression", inputs, targets, missing="error")
    classes = tuple(plain_number(one) if isinstance(one, float) else one for one in model.classes)
    target = FittedTarget((model.targets or ["y0"])[0], _kind(classes[0]), classes)
    one_output = len(classes) == 2 and n_outputs == 1 and model.network.output_activation != "softmax"
    return FittedPreprocessing("classification", inputs, (target,), missing="error", one_output=one_output)


def _network(model: ModelCreate, preprocessing: FittedPreprocessing) -> ResolvedNetwork:
    output = model.network.output_activation
    if output == "auto":
        output = "linear" if model.classes is None else "sigmoid" if preprocessing.one_output else "softmax"
    return resolved_network(model.network, preprocessing, output)


def _dtype(sent: Sent) -> str:
    if sent.format == "json":
        return "float32"
    wide = any(array.dtype.kind == "f" and array.dtype.itemsize == 8 for array in sent.arrays.values())
    return "float64" if wide else "float32"
