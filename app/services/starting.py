"""The weights that a job starts with: found, held against its network, and frozen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from numpy.typing import NDArray

from app.contract.foreign import InitialWeights, ResolvedStart, StartWarning
from app.contract.jobs import Resolved, ResolvedNetwork
from app.errors import DescentError, Fault, InvalidRequest
from app.exports.reading import from_layers, widths_of
from app.exports.weights import to_npz
from app.services import models
from app.services.installation import Installation
from app.services.specs import network_spec
from app.store.tables import ModelRow
from app.tables.faults import listed
from app.tables.fitted import FittedPreprocessing
from engine.spec import NetworkSpec
from engine.weights import flat_parameters, named_arrays, weights_faults

AT = "/initial_weights"


@dataclass(frozen=True)
class Start:
    """Weights that fit a job: as the job keeps them, and what is said of them."""

    content: bytes
    resolved: ResolvedStart


def form_faults(given: InitialWeights | None) -> list[Fault]:
    """Give the faults that show without looking at the job."""
    if given is None or (given.model_id is None) != (given.layers is None):
        return []
    return [Fault(AT, "Give either `model_id` or `layers`.", "one_of")]


def start(
    installation: Installation,
    owner: str,
    given: InitialWeights,
    *,
    resolved: Resolved,
    preprocessing: FittedPreprocessing,
) -> Start:
    """Take the weights for a job, in its `dtype`. What becomes of the model they are from changes nothing any more.

    Raises:
        InvalidRequest: There is no such model, or the weights are not of the job's network; every fault is listed.
    """
    network, dtype = network_spec(resolved.network), str(resolved.training["dtype"])
    row: ModelRow | None = None
    arrays: Mapping[str, NDArray[Any]]
    found: list[tuple[str, str]] = []
    if given.layers is not None:
        arrays, found = from_layers(given.layers)
    else:
        row, arrays = _model(installation, owner, given.model_id or "")
    given_widths = None if found else widths_of(arrays)
    found += [one for one in weights_faults(network, arrays, dtype) if one[0] not in dict(found)]
    if found:
        raise _not_fitting(network, given_widths, found, by_name=row is None)
    content = to_npz(named_arrays(network, flat_parameters(network, arrays, dtype)))
    warnings = [] if row is None else _differences(row, resolved, preprocessing)
    said = ResolvedStart(model_id=row and row.id, sha256=sha256(content).hexdigest(), warnings=warnings)
    return Start(content, said)


def _model(installation: Installation, owner: str, model_id: str) -> tuple[ModelRow, Mapping[str, NDArray[Any]]]:
    try:
        with installation.database.reading() as session:
            row = models.find(session, owner, model_id)
        return row, models.named_weights(installation, row)
    except DescentError as error:
        message = "There is no model of this id."
        raise InvalidRequest(message, [Fault(f"{AT}/model_id", message, error.code)]) from None


def _not_fitting(
    network: NetworkSpec, given: list[int] | None, found: Sequence[tuple[str, str]], *, by_name: bool
) -> InvalidRequest:
    """Say what does not fit, and what would."""
    needed = list(network.widths)
    detail = "The initial weights do not fit the network of this job."
    if given is not None and given != needed:
        detail = (
            f"The initial weights are of a network {_in_short(given)}, and this job trains {_in_short(needed)}. They fit "
            f"{given[0]} inputs, `hidden_layers` {given[1:-1]} and {given[-1]} outputs."
        )
    return InvalidRequest(
        detail,
        [
            Fault(f"{AT}/{name.replace('.', '/')}", what, "weights_do_not_fit")
            if by_name
            else Fault(f"{AT}/model_id", f"`{name}` {what}", "weights_do_not_fit")
            for name, what in found
        ],
    )


def _in_short(widths: Sequence[int]) -> str:
    shown = [str(width) for width in widths]
    return "-".join(shown if len(shown) <= 12 else [*shown[:6], "…", *shown[-5:]])


def _differences(row: ModelRow, resolved: Resolved, fitted: FittedPreprocessing) -> list[StartWarning]:
    """Tell what the shapes do not: weights mean something else where the columns, or their scales, are others."""
    before = FittedPreprocessing.from_json(row.preprocessing)
    network = ResolvedNetwork.model_validate(row.network)
    warnings = []
    if before.input_names != fitted.input_names:
        pairs = zip(before.input_names, fitted.input_names, strict=True)
        others = listed(f"{new} in place of {old}" for old, new in pairs if old != new)
        message = f"Inputs have other names: {others}. The order of the inputs counts, not their names."
        warnings.append(StartWarning(code="inputs_differ", message=message))
    elif before.inputs != fitted.inputs:
        message = "The inputs have other offsets, scales or fills than those that the model learned from."
        warnings.append(StartWarning(code="preprocessing_differs", message=message))
    if before.classes != fitted.classes:
        message = f"The model's outputs were {listed(before.classes or _targets(before))}."
        warnings.append(StartWarning(code="classes_differ", message=message))
    elif fitted.classes is None and _targets(before) != _targets(fitted):
        message = f"The model's outputs were {listed(_targets(before))}."
        warnings.append(StartWarning(code="targets_differ", message=message))
    elif fitted.classes is None and before.targets != fitted.targets:
        message = "The numbers to predict have another offset or scale than those that the model learned."
        warnings.append(StartWarning(code="preprocessing_differs", message=message))
    if _activations(network) != _activations(resolved.network):
        message = f"The model's activations were {listed(_activations(network))}."
        warnings.append(StartWarning(code="activations_differ", message=message))
    return warnings


def _targets(fitted: FittedPreprocessing) -> list[str]:
    return [target.name for target in fitted.targets]


def _activations(network: ResolvedNetwork) -> list[str]:
    return [*(layer.activation for layer in network.hidden_layers), network.output_activation]
