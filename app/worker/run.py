"""One run of one job: claim it, pull epochs, write them down, publish the model.

What is written is written under the run's fencing token. When the token is refused, another run has the job, and this one
ends without a trace.
"""

import logging
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from app.contract.jobs import Resolved, Status, StoppedBecause
from app.contract.models import Which
from app.contract.preprocessing import DatasetValidation
from app.exports.weights import from_npz
from app.services.specs import network_spec, training_spec
from app.store import jobs as store
from app.store.blobs import Blobs
from app.store.session import Database
from app.store.tables import JobRow, ModelRow
from app.tables.fitted import FittedPreprocessing
from app.tables.preparation import Prepared, prepare
from app.worker.progress import Progress
from app.worker.publication import receipt, store_weights
from engine import __version__ as engine_version
from engine import checkpoint
from engine.batches import Rows
from engine.reports import Diverged
from engine.spec import NetworkSpec, TrainingSpec
from engine.state import TrainingState
from engine.training import initial_state, train

LOOK_EVERY_S = 0.1

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """How a run ended, for the worker."""

    DONE = "done"
    HANDED_BACK = "handed_back"


@dataclass(frozen=True)
class Parts:
    """What a run works with.

    Args:
        attempts: Runs without progress after which a job is given up.
        stopping: Whether the worker is to end.
    """

    database: Database
    blobs: Blobs
    attempts: int
    stopping: Callable[[], bool]


def run(parts: Parts, job_id: str) -> Outcome:
    """Train a job from where it is to its end, or until the worker stops."""
    with parts.database.transaction() as session:
        row = store.claim(session, job_id, datetime.now(UTC))
        if row is None:
            return Outcome.DONE
        if row.lost_runs > parts.attempts:
            fail(session, row, "worker_lost", f"The job ended its process {parts.attempts} times.")
            return Outcome.DONE
    try:
        return _Run(parts, row).train()
    except store.RunLost:
        log.warning("job %s: another run has it", job_id)
    except MemoryError:
        _fail(
            parts,
            row,
            "out_of_memory",
            "The training needed more memory than there is; use a smaller network or batch.",
        )
    except Exception:
        log.exception("job %s failed", job_id)
        _fail(parts, row, "internal_error", "The training met a fault of this service; it is in the worker's log.")
    return Outcome.DONE


def fail(session: Any, row: JobRow, code: str, message: str) -> None:
    """End a job by name."""
    error = {"code": code, "message": message, "epoch": row.epoch}
    store.advance(session, row, Status.FAILED, error=error, finished_at=datetime.now(UTC))


def _fail(parts: Parts, row: JobRow, code: str, message: str) -> None:
    with parts.database.transaction() as session:
        store.hold(session, row)
        fail(session, row, code, message)


class _Run:
    """The state of a run: the engine's, and what is not yet written."""

    def __init__(self, parts: Parts, row: JobRow) -> None:
        self.parts = parts
        self.row = row
        self.resolved = Resolved.model_validate(row.resolved)
        self.network: NetworkSpec = network_spec(self.resolved.network)
        self.training: TrainingSpec = training_spec(self.resolved)
        self.fitted = FittedPreprocessing.from_json(row.preprocessing)
        self.progress = Progress(
            longest_s=self.resolved.training["checkpoint_every_s"],  # type: ignore[arg-type]
            n_rows=self.resolved.n_train_rows,
            latest=row.latest,
            best=row.best,
        )
        self.status = Status(row.status)
        self.looked_at = time.monotonic()

    def train(self) -> Outcome:
        """Pull epochs until there are no more, or somebody says stop."""
        self.state = self._state()
        with self._rows() as (rows, validation):
            try:
                stopped_because = self._pull(rows, validation)
            except Diverged as error:
                self._end_diverged(error.epoch)
                return Outcome.DONE
        if stopped_because is None:
            return self._hand_back()
        self._publish(stopped_because)
        return Outcome.DONE

    def _state(self) -> TrainingState:
        with self.parts.database.reading() as session:
            saved = store.checkpoint(session, self.row.id)
            self.trained_s = store.trained_s(session, self.row.id)
            given = None if saved is not None else store.initial_weights(session, self.row.id)
        if saved is None:
            weights = None if given is None else from_npz(given)
            return initial_state(self.network, self.training, weights=weights)
        return checkpoint.load(saved, self.network, self.training)

    @contextmanager
    def _rows(self) -> Iterator[tuple[Rows, Rows | None]]:
        scratch = Path(tempfile.mkdtemp(prefix="rows-", dir=self.parts.blobs.parts))
        try:
            validation = self.resolved.validation
            other = validation.dataset_id if isinstance(validation, DatasetValidation) else None
            data: Prepared = prepare(
                self._table(self.row.dataset_id),
                self.fitted,
                validation=validation,
                validation_table=None if other is None else self._table(other),
                seed=self.training.seed,
                dtype=self.training.dtype,
                scratch=scratch,
            )
            numbers = self.fitted.targets if self.fitted.task == "regression" else ()
            units = tuple(one.scale / one.unit for one in numbers) or None
            held_out = None
            if data.x_validation is not None and data.y_validation is not None:
                held_out = Rows(data.x_validation, data.y_validation, units, data.w_validation)
            yield Rows(data.x_train, data.y_train, units, data.w_train), held_out
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _table(self, dataset_id: str) -> Path:
        return self.parts.blobs.path(f"datasets/{dataset_id}/table.arrow")

    def _pull(self, rows: Rows, validation: Rows | None) -> StoppedBecause | None:
        """Pull epochs; say why it ended, or None if the worker is to stop."""
        max_seconds: Any = self.resolved.training["max_seconds"]
        began_at = time.monotonic() - self.trained_s
        self.progress.begin()
        if self._is_cancelled():
            return StoppedBecause.CANCELLED
        for report in train(self.network, self.training, self.state, rows, validation):
            if report is not None:
                self.progress.add(report)
            if self.progress.is_due():
                self._record()
            elif time.monotonic() - self.looked_at > LOOK_EVERY_S:
                self._look()
            if self._is_cancelled():
                return StoppedBecause.CANCELLED
            if self.parts.stopping():
                return None
            if max_seconds is not None and time.monotonic() - began_at >= max_seconds:
                return StoppedBecause.MAX_SECONDS
        return StoppedBecause(self.state.stopped_because or "completed")

    def _is_cancelled(self) -> bool:
        return self.status is Status.CANCELLING

    def _look(self) -> None:
        """See whether somebody wants the job stopped."""
        with self.parts.database.reading() as session:
            self.status = store.status_of(session, self.row)
        self.looked_at = time.monotonic()

    def _record(self) -> None:
        """Write epochs, checkpoint and job row in one transaction."""
        began_at = time.monotonic()
        with self.parts.database.transaction() as session:
            self.status = self._write(session)
        self.looked_at = time.monotonic()
        self.progress.written(self.looked_at - began_at)

    def _write(self, session: Any) -> Status:
        return store.record(
            session,
            self.row,
            self.progress.pending,
            {"epoch": self.state.epoch, "state": checkpoint.dump(self.state), "at": datetime.now(UTC)},
            epoch=self.state.epoch,
            latest=self.progress.latest,
            best=self.progress.best,
            rows_per_s=self.progress.speed(),
            lost_runs=0,
        )

    def _hand_back(self) -> Outcome:
        with self.parts.database.transaction() as session:
            if self._write(session) is not Status.CANCELLING:
                store.advance(session, self.row, Status.QUEUED)
        return Outcome.HANDED_BACK

    def _end_diverged(self, epoch: int) -> None:
        message = (
            f"The loss, or a weight, stopped being a finite number in epoch {epoch}. "
            "Use a smaller learning rate, clip the gradient, or standardize the columns."
        )
        with self.parts.database.transaction() as session:
            self._write(session)
            store.advance(
                session,
                self.row,
                Status.FAILED,
                stopped_because=StoppedBecause.DIVERGED,
                error={"code": "diverged", "message": message, "epoch": epoch},
                model_id=self._add_model(session),
                finished_at=datetime.now(UTC),
            )

    def _publish(self, stopped_because: StoppedBecause) -> None:
        """Store the model; history, weights and status in one commit."""
        cancelled = stopped_because is StoppedBecause.CANCELLED
        with self.parts.database.transaction() as session:
            status = self._write(session)
            if cancelled and status is not Status.CANCELLING:  # pragma: no cover - it is never taken back
                raise store.RunLost(self.row.id)
            store.advance(
                session,
                self.row,
                Status.CANCELLED if cancelled else Status.SUCCEEDED,
                stopped_because=stopped_because,
                model_id=self._add_model(session),
                finished_at=datetime.now(UTC),
            )

    def _add_model(self, session: Any) -> str | None:
        """Store the weights of the epoch that counts; None if no epoch has ended."""
        if self.state.epoch == 0 or self.progress.latest is None:
            return None
        stopping = self.training.early_stopping
        restored = stopping is not None and stopping.restore_best and self.progress.best is not None
        metrics = self.progress.best if restored else self.progress.latest
        assert metrics is not None
        model_id = "model_" + self.row.id.removeprefix("job_")
        own = Which.BEST if restored else Which.LATEST
        latest, best = self.progress.latest, self.progress.best or self.progress.latest
        kept = store_weights(self.parts.blobs, model_id, self.network, self.state, own, best=best, latest=latest)
        session.add(
            ModelRow(
                id=model_id,
                owner=self.row.owner,
                name=self.row.name,
                job_id=self.row.id,
                dataset_id=self.row.dataset_id,
                task=self.resolved.task,
                network=self.resolved.network.model_dump(mode="json"),
                preprocessing=self.row.preprocessing,
                dtype=self.training.dtype,
                epoch=metrics["epoch"],
                metrics=metrics,
                monotone=self._is_monotone(session),
                environment=environment(self.resolved),
                sha256=kept[own]["sha256"],
                size_bytes=kept[own]["size_bytes"],
                versions=kept,
                dataset_sha256=store.dataset_sha256(session, self.row),
                receipt=receipt(self.resolved),
                created_at=datetime.now(UTC),
            )
        )
        return model_id

    def _is_monotone(self, session: Any) -> bool | None:
        searched = self.training.optimizer.name == "backtracking"
        return store.is_monotone(session, self.row.id) if searched else None


def environment(resolved: Resolved) -> dict[str, Any]:
    """Say what the bits of a training depend on, besides what was asked."""
    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    return {
        "engine": engine_version,
        "numpy": np.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "kernels": resolved.kernels,
        "threads": resolved.training["threads"],
        "dtype": resolved.training["dtype"],
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
