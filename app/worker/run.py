"""One run of one job: claim it, pull epochs, write them down, publish the model.

What is written is written under the run's fencing token. When the token is refused, another run has the job, and this one
ends without a trace.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.contract.jobs import JobKind, Resolved, Status, StoppedBecause
from app.contract.preprocessing import DatasetValidation
from app.errors import DamagedFile
from app.exports.weights import from_npz
from app.services.specs import network_spec, training_spec
from app.settings import MIB
from app.store import checkpoints, contents
from app.store import datasets as stored_datasets
from app.store import jobs as store
from app.store import models as stored_models
from app.store.disk import is_broken
from app.store.faults import OUTSIDE, is_passing
from app.store.tables import JobRow
from app.tables.fitted import FittedPreprocessing
from app.tables.preparation import Prepared, prepare
from app.worker.chain import Chain
from app.worker.endings import MOST_DISK_ERRORS, OUT_OF_MEMORY, end_by_name, end_for_disk, fail
from app.worker.machine import class_of, environment
from app.worker.memory import limited
from app.worker.parts import NeedsThreads, Outcome, Parts
from app.worker.progress import Progress
from app.worker.publication import Staged, stage_weights, store_weights, training_of
from app.worker.receipts import receipt
from app.worker.verification import compare
from engine import checkpoint
from engine.batches import Rows
from engine.forking import fork
from engine.reports import Diverged, EpochReport
from engine.spec import NetworkSpec, TrainingSpec
from engine.state import TrainingState
from engine.training import initial_state, train

LOOK_EVERY_S = 0.1
RETRY_AFTER_S = 0.5
# States to be kept wait for the next record, unless they get as large as this.
KEPT_AT_ONCE_BYTES = 32 * MIB

log = logging.getLogger(__name__)


def run(parts: Parts, job_id: str, hand_over: int | None = None) -> Outcome:
    """Train a job from where it is to its end, or until it is paused, or the worker stops.

    While the database is away, or there is no room on the disk, this waits and begins again from the last checkpoint: of a
    commit that was cut off nobody knows whether it was done. A disk that answers with errors of its own is not waited for
    for ever.

    Raises:
        NeedsThreads: It is to be trained with another number of threads than this process has; it was not touched.
    """
    counts = True
    disk_errors = 0
    while True:
        try:
            return _run(parts, job_id, hand_over, counts=counts)
        except OUTSIDE as error:
            if not is_passing(error):
                raise
            if counts:
                log.warning("job %s waits: %s", job_id, error)
            counts = False
            disk_errors += is_broken(error)
        if disk_errors >= MOST_DISK_ERRORS:
            end_for_disk(parts, job_id, hand_over)
            return Outcome.DONE
        if parts.stopping():
            return Outcome.HANDED_BACK
        time.sleep(RETRY_AFTER_S)


def _run(parts: Parts, job_id: str, hand_over: int | None, *, counts: bool) -> Outcome:
    with parts.database.transaction() as session:
        row = store.claim(session, job_id, datetime.now(UTC), hand_over=hand_over, counts=counts)
        if row is None:
            return Outcome.DONE
        if row.lost_runs > parts.attempts:
            because = f" The last time: {row.lost_because}." if row.lost_because else ""
            fail(session, row, "worker_lost", f"The job ended its process {parts.attempts} times.{because}")
            return Outcome.DONE
        threads = row.resolved["training"]["threads"]
        if parts.threads not in {None, threads}:
            raise NeedsThreads(threads)
    try:
        return _Run(parts, row).train()
    except store.RunLost:
        log.warning("job %s: another run has it", job_id)
    except MemoryError:
        end_by_name(parts, row, "out_of_memory", OUT_OF_MEMORY)
    except DamagedFile as error:
        end_by_name(parts, row, "storage_error", error.detail)
    except Exception as error:
        if is_passing(error):
            raise
        log.exception("job %s failed", job_id)
        end_by_name(
            parts, row, "internal_error", "The training met a fault of this service; it is in the worker's log."
        )
    return Outcome.DONE


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
        self.kept: list[dict[str, Any]] = []
        self.status = Status(row.status)
        self.looked_at = time.monotonic()

    def train(self) -> Outcome:
        """Pull epochs until there are no more, or somebody says stop."""
        self.state = self._state()
        with self._rows() as (rows, validation), limited(self.resolved.memory_bytes):
            try:
                ended = self._pull(rows, validation)
            except Diverged as error:
                if self.row.kind != JobKind.VERIFICATION:
                    self._end_diverged(error.epoch)
                    return Outcome.DONE
                ended = StoppedBecause.DIVERGED
        if not isinstance(ended, StoppedBecause):
            return ended
        if self.row.kind == JobKind.VERIFICATION and ended is not StoppedBecause.CANCELLED:
            self._conclude(ended)
        else:
            self._publish(ended)
        return Outcome.DONE

    def _state(self) -> TrainingState:
        with self.parts.database.reading() as session:
            saved = store.checkpoint(session, self.row.id)
            self.datasets = self._hash_of(session, self.row.dataset_id), self._validation_hash(session)
            given = None if saved is not None else store.initial_weights(session, self.row.id)
        before = saved.receipt if saved is not None and saved.receipt is not None else {}
        self.environment = environment(self.resolved)
        self.environments = [*before.get("environments", [])]
        if class_of(self.environment) not in [class_of(one) for one in self.environments]:
            self.environments.append(self.environment)
        is_new = saved is None or saved.origin is not None
        self.chain = Chain(self.training.epochs, before.get("chain"), is_new=is_new)
        if saved is None:
            weights = None if given is None else from_npz(given)
            state = initial_state(self.network, self.training, weights=weights)
        elif saved.origin is None:
            state = checkpoint.load(saved.state, self.network, self.training)
        else:
            best = saved.origin == "best"
            state = fork(checkpoint.read(saved.state), self.network, self.training, best=best)
        self.chain.begin(state)
        return state

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

    def _hash_of(self, session: Any, dataset_id: str) -> str | None:
        return stored_datasets.sha256_of(session, self.row.owner, dataset_id)

    def _validation_hash(self, session: Any) -> str | None:
        validation = self.resolved.validation
        return self._hash_of(session, validation.dataset_id) if isinstance(validation, DatasetValidation) else None

    def _table(self, dataset_id: str) -> Path:
        return self.parts.blobs.get(contents.table(dataset_id))

    def _pull(self, rows: Rows, validation: Rows | None) -> StoppedBecause | Outcome:
        """Pull epochs; say why the training ended, or how the run did if the training is to go on."""
        max_seconds: Any = self.resolved.training["max_seconds"]
        verifies = self.row.kind == JobKind.VERIFICATION
        self.began_at = time.monotonic() - self.row.trained_s
        self.progress.begin()
        if self._is_cancelled():
            return StoppedBecause.CANCELLED
        for report in train(self.network, self.training, self.state, rows, validation):
            if report is not None:
                self._after_epoch(report)
            if self.progress.is_due() or sum(len(one["state"]) for one in self.kept) > KEPT_AT_ONCE_BYTES:
                self._record()
            elif time.monotonic() - self.looked_at > LOOK_EVERY_S:
                self._look()
            if self._is_cancelled():
                return StoppedBecause.CANCELLED
            if self.status is Status.PAUSING and self._pause():
                return Outcome.DONE
            if self.parts.stopping():
                return self._hand_back()
            if verifies:
                if report is not None and report.epoch >= self.row.epochs:
                    return StoppedBecause.COMPLETED
            elif max_seconds is not None and time.monotonic() - self.began_at >= max_seconds:
                return StoppedBecause.MAX_SECONDS
        return StoppedBecause(self.state.stopped_because or "completed")

    def _after_epoch(self, report: EpochReport) -> None:
        self.progress.add(report)
        self.chain.add(report, self.state)
        keep: Any = self.resolved.training.get("keep_checkpoints")
        if keep is not None and self.row.kind == JobKind.TRAINING and report.epoch % keep["every_epochs"] == 0:
            state = checkpoint.dump(self.state)
            at = {"epoch": report.epoch, "best": self.progress.best, "at": datetime.now(UTC)}
            self.kept = [*self.kept, {**at, "state": state, "origin": None, **store.measured(state)}][-keep["most"] :]

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
        self.kept = []
        self.looked_at = time.monotonic()
        self.progress.written(self.looked_at - began_at)

    def _write(self, session: Any) -> Status:
        saved = {"chain": self.chain.to_json(), "environments": self.environments}
        status = store.record(
            session,
            self.row,
            self.progress.pending,
            {
                "epoch": self.state.epoch,
                "state": checkpoint.dump(self.state),
                "receipt": saved,
                "at": datetime.now(UTC),
            },
            epoch=self.state.epoch,
            latest=self.progress.latest,
            best=self.progress.best,
            rows_per_s=self.progress.speed(),
            trained_s=time.monotonic() - self.began_at,
            lost_runs=0,
        )
        if self.kept:
            keep: Any = self.resolved.training["keep_checkpoints"]
            oldest = self.kept[-1]["epoch"] - keep["every_epochs"] * (keep["most"] - 1)
            checkpoints.keep(session, self.row.id, self.kept, oldest=oldest)
        return status

    def _hand_back(self) -> Outcome:
        with self.parts.database.transaction() as session:
            match self._write(session):
                case Status.CANCELLING:
                    return Outcome.HANDED_BACK
                case Status.PAUSING:
                    store.advance(session, self.row, Status.PAUSED)
                    return Outcome.DONE
            store.advance(session, self.row, Status.QUEUED)
        return Outcome.HANDED_BACK

    def _pause(self) -> bool:
        """Confirm the pause, unless it was taken back: whoever resumes a job sees either the one or the other."""
        began_at = time.monotonic()
        with self.parts.database.transaction() as session:
            self.status = self._write(session)
            if self.status is Status.PAUSING:
                store.advance(session, self.row, Status.PAUSED)
                return True
        self.kept = []
        self.progress.written(time.monotonic() - began_at)
        return False

    def _conclude(self, ended: StoppedBecause) -> None:
        """End a verification with what came out; it makes no model."""
        self.chain.end(self.state)
        with self.parts.database.transaction() as session:
            self._write(session)
            store.advance(
                session,
                self.row,
                Status.SUCCEEDED,
                stopped_because=ended,
                verification=compare(session, self.row, self.chain, self.environment),
                finished_at=datetime.now(UTC),
            )

    def _end_diverged(self, epoch: int) -> None:
        message = (
            f"The loss, or a weight, stopped being a finite number in epoch {epoch}. "
            "Use a smaller learning rate, clip the gradient, or standardize the columns."
        )
        self.chain.end(self.state)
        with self._staged() as staged, self.parts.database.transaction() as session:
            self._write(session)
            store.advance(
                session,
                self.row,
                Status.FAILED,
                stopped_because=StoppedBecause.DIVERGED,
                error={"code": "diverged", "message": message, "epoch": epoch},
                model_id=self._add_model(session, staged),
                finished_at=datetime.now(UTC),
            )

    def _publish(self, stopped_because: StoppedBecause) -> None:
        """Store the model; history, weights and status in one commit."""
        cancelled = stopped_because is StoppedBecause.CANCELLED
        self.chain.end(self.state)
        with self._staged() as staged, self.parts.database.transaction() as session:
            status = self._write(session)
            if cancelled and status is not Status.CANCELLING:  # pragma: no cover - it is never taken back
                raise store.RunLost(self.row.id)
            store.advance(
                session,
                self.row,
                Status.CANCELLED if cancelled else Status.SUCCEEDED,
                stopped_because=stopped_because,
                model_id=self._add_model(session, staged),
                finished_at=datetime.now(UTC),
            )

    def _staged(self) -> AbstractContextManager[Staged | None]:
        """Have the weights stored before the transaction that names them; none if no epoch has ended."""
        latest, best, blobs = self.progress.latest, self.progress.best, self.parts.blobs
        if latest is None or self.row.kind == JobKind.VERIFICATION:
            return nullcontext()
        return stage_weights(blobs, self.row, self.network, self.training, self.state, best=best, latest=latest)

    def _add_model(self, session: Any, staged: Staged | None) -> str | None:
        """Make a model of the staged weights, in the transaction that ends the job."""
        if staged is None:
            return None
        store_weights(staged)
        stored_models.add(
            session,
            **staged.columns,
            owner=self.row.owner,
            name=self.row.name,
            job_id=self.row.id,
            dataset_id=self.row.dataset_id,
            task=self.resolved.task,
            network=self.resolved.network.model_dump(mode="json"),
            preprocessing=self.row.preprocessing,
            dtype=self.training.dtype,
            monotone=self._is_monotone(session),
            environment=self.environment,
            receipt=receipt(self.row, self.datasets, self.environments, self.chain),
            dataset_sha256=self.datasets[0],
            training=training_of(self.resolved),
            created_at=datetime.now(UTC),
        )
        return staged.model_id

    def _is_monotone(self, session: Any) -> bool | None:
        searched = self.training.optimizer.name == "backtracking"
        return store.is_monotone(session, self.row.id) if searched else None
