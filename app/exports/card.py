"""The model card: what a model is, what it was made from, what was measured, and how to load it, as Markdown."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.contract.models import Model
from app.exports.sequential import modules
from app.tables.fitted import FittedInput, FittedPreprocessing
from engine.spec import NetworkSpec

MOST_LISTED = 100
# What Markdown or HTML would act on; `:` and `.` only where they would make an address a link.
_ACTIVE = re.compile(r"([\\`*_{}\[\]()<>#!|~&@$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)


def as_markdown(text: object, most: int = 200) -> str:
    """Give any text so that Markdown and HTML show it and do nothing else with it."""
    shown = "".join(sign if sign.isprintable() else " " for sign in str(text))
    shown = shown if len(shown) <= most else shown[: most - 1] + "…"
    # An entity where HTML would see a sign of its own, since not every reader of Markdown knows `\<`.
    escaped = _ACTIVE.sub(r"\\\1", shown)
    return escaped.replace(r"\&", "&amp;").replace(r"\<", "&lt;").replace(r"\>", "&gt;")


def model_card(
    model: Model, network: NetworkSpec, preprocessing: FittedPreprocessing, training: Mapping[str, Any]
) -> str:
    """Write the card.

    Args:
        training: How it was trained, as far as that is known: fields of the job's `resolved`.
    """
    sections = {
        "Data": _data(model, training),
        "Columns": _columns(preprocessing),
        "Network": _network(network, model),
        "Training": _training(model, training),
        "Metrics": _metrics(model),
        "Files": _files(model),
        "How to load it": _loading(network),
        "Environment": _table(("what", "version"), model.environment.items()),
    }
    lines = [
        f"# {as_markdown(model.name)}",
        "",
        f"A model for {model.task}, `{model.id}`, made {model.created_at:%Y-%m-%d %H:%M} UTC.",
    ]
    for title, section in sections.items():
        lines += ["", f"## {title}", "", *section]
    return "\n".join(lines) + "\n"


def _table(header: tuple[str, ...], rows: Iterable[Sequence[object]]) -> list[str]:
    """Write a table; cells are escaped."""
    lines = [header, ["---"] * len(header), *([as_markdown(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _listed(names: Sequence[object]) -> str:
    shown = ", ".join(as_markdown(name, 60) for name in names[:MOST_LISTED])
    rest = len(names) - MOST_LISTED
    return shown + (f" and {rest:,} more" if rest > 0 else "")


def _data(model: Model, training: Mapping[str, Any]) -> list[str]:
    rows = [
        ("dataset", model.dataset_id or "not known"),
        ("SHA-256 of the upload", model.dataset_sha256 or "not known"),
    ]
    rows += [
        (name.replace("_", " "), f"{training[name]:,}")
        for name in ("n_train_rows", "n_validation_rows")
        if name in training
    ]
    return _table(("what", "value"), rows)


def _columns(preprocessing: FittedPreprocessing) -> list[str]:
    inputs = preprocessing.inputs
    lines = _table(("column", "kind", "becomes"), ((one.name, one.kind, _becomes(one)) for one in inputs[:MOST_LISTED]))
    if len(inputs) > MOST_LISTED:
        lines += ["", f"and {len(inputs) - MOST_LISTED:,} more columns."]
    lines += ["", f"It predicts {_listed([one.name for one in preprocessing.targets])}."]
    if preprocessing.classes is not None:
        lines[-1] += f" Classes, in the order of the outputs: {_listed(preprocessing.classes)}."
    return lines


def _becomes(one: FittedInput) -> str:
    if one.categories is not None:
        return f"{one.encoding}: {len(one.categories)} categories"
    value = "value" if one.unit == 1.0 else f"value * {one.unit:g}"
    scaled = one.encoding if one.encoding == "none" else f"{one.encoding}: ({value} - {one.offset:g}) / {one.scale:g}"
    if one.cycles:
        scaled += f"; sine and cosine of {' and '.join(one.cycles)}"
    return scaled if one.fill is None else f"{scaled}; missing: {one.fill:g}"


def _network(network: NetworkSpec, model: Model) -> list[str]:
    rows = [
        (i, layer.units, layer.activation, layer.dropout, "yes" if layer.batch_norm else "no")
        for i, layer in enumerate(network.layers)
    ]
    return [
        f"{network.n_inputs:,} inputs, {model.n_parameters:,} parameters, {model.dtype}.",
        "",
        *_table(("layer", "units", "activation", "dropout", "batch normalisation"), rows),
    ]


def _training(model: Model, training: Mapping[str, Any]) -> list[str]:
    known = {**{name: training[name] for name in training if name != "training"}, **training.get("training", {})}
    rows = [(name, value) for name, value in _flat(known) if value is not None]
    return [f"The weights are those after epoch {model.epoch:,}.", "", *_table(("setting", "value"), rows)]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, json.dumps(value, ensure_ascii=False) if isinstance(value, list | bool) else value


def _metrics(model: Model) -> list[str]:
    if model.metrics is None:
        return ["Nothing was measured."]
    measured = {"train_loss": model.metrics.train_loss, "validation_loss": model.metrics.validation_loss}
    rows = {**measured, **model.metrics.metrics}
    return _table(("in that epoch", "value"), ((name, value) for name, value in rows.items() if value is not None))


def _files(model: Model) -> list[str]:
    rows = []
    for format, found in model.verified.items():
        checked = "before the first download"
        if found is not None:
            difference = "" if found.max_difference is None else f", largest difference {found.max_difference:.1e}"
            checked = (
                f"{'right' if found.ok else 'WRONG'}: {found.library} {found.version}, {found.n_rows} rows{difference}"
            )
        rows.append((format, f"{model.links.weights}.{format}", checked))
    return [
        *_table(("format", "address", "checked against the engine"), rows),
        "",
        f"SHA-256 of the npz: `{model.sha256}`.",
    ]


def _loading(network: NetworkSpec) -> list[str]:
    """Code for this very network; no text of a user is in it."""
    return [
        "With onnxruntime, raw columns go in (strings, or float64 with NaN for what is missing), each `[N, 1]`:",
        "",
        "```python",
        "import onnxruntime",
        'session = onnxruntime.InferenceSession("model.onnx")',
        "value, *others = session.run(None, columns)  # {name of the column: array}",
        "```",
        "",
        "With PyTorch, the network alone; its inputs are the prepared columns, in the order above:",
        "",
        "```python",
        "import json",
        "from safetensors import safe_open",
        "from torch import nn",
        'file = safe_open("model.safetensors", framework="pt")',
        'keys = json.loads(file.metadata()["descent"])["torch_keys"]',
        f"network = nn.Sequential({', '.join(modules(network))})",
        "network.load_state_dict({keys[name]: file.get_tensor(name) for name in file.keys()}, strict=True)",
        "network.eval()",
        "```",
        "",
        'With NumPy, `numpy.load("model.npz")` has `layers.0.weight` `(units_out, units_in)`, `layers.0.bias`, and so on; a layer '
        "is `activation(x @ weight.T + bias)`.",
    ]
