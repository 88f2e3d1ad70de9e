"""Models out: files of weights, each written and checked before it is first handed out, and the model card."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.contract.jobs import ResolvedNetwork
from app.contract.models import FileCheck, Versions, WeightsFormat, Which
from app.errors import DamagedFile, ExportFailed, NotFound, Unavailable
from app.exports.process import Exported, Order
from app.services.installation import Installation
from app.services.specs import network_spec
from app.store import contents, weights
from app.store import models as store
from app.store.tables import ModelRow

if TYPE_CHECKING:
    from app.exports.checks import Checked

log = logging.getLogger(__name__)

TURN_S = 20.0


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights, ready to be sent.

    Args:
        name: What to save it as.
    """

    path: Path
    sha256: str
    name: str


@dataclass(frozen=True)
class _Stored:
    """The weights of one epoch: the name of its files, and the hash of its `.npz`."""

    stem: str
    sha256: str


_one_at_a_time = threading.Lock()


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for one's turn, but not so long that the threads that answer requests all wait here."""
    if not _one_at_a_time.acquire(timeout=TURN_S):
        raise Unavailable("Other files are being written and checked; the same request may pass later.")
    try:
        yield
    finally:
        _one_at_a_time.release()


def weights_file(
    installation: Installation, owner: str, model_id: str, format: WeightsFormat, which: Which | None
) -> WeightsFile:
    """Give a file of a model's weights. It is written and checked when it is first asked for, and again if it was damaged.

    Raises:
        Unavailable: Too many other files are waiting to be checked.
        NotFound: There is no such model, or the weights of that epoch are not kept.
        ExportFailed: The file cannot be made, or does not say what the engine says.
    """
    row = _find(installation, owner, model_id)
    file = _ready(installation, row, format, which)
    if file is not None:
        return file
    with _turn():  # who waited for another's check of the same file finds it done
        row = _find(installation, owner, model_id)
        file = _ready(installation, row, format, which)
        if file is None:
            _export(installation, row, _stored(row, which), format)
            file = _ready(installation, _find(installation, owner, model_id), format, which)
    if file is None:
        raise ExportFailed("The file was changed while it was checked.")
    return file


def _find(installation: Installation, owner: str, model_id: str) -> ModelRow:
    with installation.database.reading() as session:
        row = store.find(session, owner, model_id)
    if row is None:
        raise NotFound("There is no such model.")
    return row


def _stored(row: ModelRow, which: Which | None) -> _Stored:
    if which is None:
        return _Stored("weights", row.sha256)
    if row.versions is None:
        raise NotFound("Of this model only its own weights are kept.", code="version_not_kept")
    version = row.versions[which]
    return _Stored("weights" if version["sha256"] == row.sha256 else str(which), version["sha256"])


def _ready(installation: Installation, row: ModelRow, format: WeightsFormat, which: Which | None) -> WeightsFile | None:
    """Give a file that was checked and has not changed since."""
    stored = _stored(row, which)
    name = f"{stored.stem}.{format}"
    record = (row.exports or {}).get(name)
    if record is None or not record["ok"]:
        return None
    try:
        path = installation.blobs.get(f"{weights.files_of(row)}/{name}", sha256=record["sha256"])
    except DamagedFile:
        return None
    if installation.blobs.hashes.of(path) != record["sha256"]:
        return None
    suffix = "" if which is None else f".{which}"
    return WeightsFile(path, record["sha256"], f"{_file_name(row)}{suffix}.{format}")


def _file_name(row: ModelRow) -> str:
    """Give the model's name as a file name: letters and digits of any language, and no other signs than these: `-_.`."""
    kept = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in row.name).strip("-.")
    return kept[:100] or row.id


def _export(installation: Installation, row: ModelRow, stored: _Stored, format: WeightsFormat) -> None:
    """Write and check a file, and note what was found. A file that is not right leaves nothing but the note."""
    try:
        npz = installation.blobs.get(f"{weights.files_of(row)}/{stored.stem}.npz", sha256=stored.sha256)
    except DamagedFile as error:
        raise ExportFailed(error.detail) from None
    key = f"{weights.files_of(row)}/{stored.stem}.{format}"
    target = installation.blobs.path(key)
    if not npz.exists():
        raise ExportFailed("The stored weights are not there any more.")
    table = row.dataset_id and installation.blobs.get(contents.table(row.dataset_id))
    network = network_spec(ResolvedNetwork.model_validate(row.network))
    with installation.blobs.writer(max_bytes=0) as upload:
        written = npz if target == npz else upload.path
        order = Order(
            format, npz, stored.sha256, network, row.preprocessing, row.dtype, Path(table) if table else None, written
        )
        exported, checked = export(installation, order, row.id)
        if checked.ok and target != npz:
            upload.publish(target)
            installation.blobs.save(key, sha256=exported.sha256)
    record = {**vars(checked), "sha256": exported.sha256, "size_bytes": exported.size_bytes}
    with installation.database.transaction() as session:
        is_there = store.note_export(session, row, target.name, record)
    if not is_there and target != npz:  # the model was deleted meanwhile
        installation.blobs.delete_folder(weights.all_of(row.id))
    refuse_wrong(checked, format, row.id)


def export(installation: Installation, order: Order, name: str) -> "tuple[Exported, Checked]":
    """Write and check a file of `name`'s weights.

    Raises:
        ExportFailed: There is no file; a file that was found wrong is told by what was checked.
    """
    exported = installation.exporter.export(order)
    if exported.checked is None:
        log.error("%s as %s: %s", name, order.format, exported.traceback or exported.fault)
        raise ExportFailed(exported.fault or "The file could not be written and checked; the reason is in the log.")
    return exported, exported.checked


def refuse_wrong(checked: "Checked", format: WeightsFormat, name: str) -> None:
    """Keep a file that was found wrong from being handed out."""
    if not checked.ok:
        log.error("%s as %s differs from the engine: %s", name, format, checked)
        raise ExportFailed(f"The {format} file does not say what the engine says, so that it is not handed out.")


def verified(row: ModelRow, stem: str) -> dict[WeightsFormat, FileCheck | None]:
    """Say which files of these weights were checked."""
    found = {format: (row.exports or {}).get(f"{stem}.{format}") for format in WeightsFormat}
    return {format: record and FileCheck.model_validate(record) for format, record in found.items()}


def versions(row: ModelRow) -> Versions | None:
    """Say which weights are kept besides the model's own."""
    if row.versions is None:
        return None
    kept = {which: {**row.versions[which], "verified": verified(row, _stored(row, which).stem)} for which in Which}
    return Versions.model_validate(kept)


def delete_files(installation: Installation, row: ModelRow) -> None:
    """Remove what is stored of a model."""
    installation.blobs.delete_folder(weights.all_of(row.id))
