"""Every verb in every state of a job's life, in any order: services and store against a model of their own."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from sqlalchemy import select

from app.contract.datasets import Format
from app.contract.jobs import Fork, JobCreate, Status
from app.errors import Conflict, DatasetInUse, IllegalTransition, InvalidRequest, NotFound
from app.migrate import migrate_all
from app.queue.tickets import write
from app.services import datasets, forks, jobs, submit
from app.services.installation import Installation
from app.services.once import RequestKey
from app.settings import Settings
from app.store import jobs as store
from app.store.tables import CheckpointRow, JobRow

Q, R, PI, PD, CI = Status.QUEUED, Status.RUNNING, Status.PAUSING, Status.PAUSED, Status.CANCELLING
ENDED = {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}
EPOCHS = 12
# So that more happens to a few than little to many.
MOST_JOBS = 4
SUMMARY = ("epoch", "train_loss", "validation_loss", "metrics")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TABLE = b"a,b,answer\n" + b"".join(b"%d,%d,%s\n" % (i, i * i % 7, b"no" if i % 3 else b"yes") for i in range(24))

# What a client may ask for where, and where it leads; anything else is refused and changes nothing.
PAUSE = {Q: PD, R: PI, PI: PI}
RESUME = {PD: Q, PI: R}
CANCEL = {R: CI, PI: CI, CI: CI}  # and queued or paused: at once without weights, else by a worker
CLAIM = {Q: R, R: R, CI: CI, PI: PD}


@dataclass
class Known:
    """What the model knows of a job; a deleted one has no status."""

    status: Status | None
    first: int = 0
    epoch: int = 0
    token: int = 0
    hand_over: int = 1
    has_state: bool = False
    latest: bool = False
    verifies: str | None = None
    dataset: str = ""


@dataclass
class Held:
    """A run: the row that it took, with its token."""

    job: str
    row: JobRow
    token: int = field(init=False)

    def __post_init__(self) -> None:
        self.token = self.row.run


class Life(RuleBasedStateMachine):
    """Clients and workers; runs that lost their job stay about, and write when they like."""

    installation: Installation
    seen: Counter[tuple[str, Status]]
    owners = 0
    jobs = Bundle("jobs")
    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        Life.owners += 1
        self.owner = f"owner {Life.owners}"
        self.known: dict[str, Known] = {}
        self.before: dict[str, Status] = {}
        self.dataset: str | None = None

    # --- clients ---------------------------------------------------------------------------------------------------

    @initialize()
    def upload(self) -> None:
        with self.installation.blobs.writer(max_bytes=len(TABLE)) as blob:
            blob.write(TABLE)
            made = datasets.create(self.installation, self._key(), blob, name="a table", format=Format.CSV, kinds={})
        self.dataset = made.object_id

    @precondition(lambda self: self.dataset is None)
    @rule()
    def upload_again(self) -> None:
        self.upload()

    @precondition(lambda self: len(self.known) < MOST_JOBS)
    @rule(target=jobs, priority=st.sampled_from((-1, 0, 0, 5)))
    def submit(self, priority: int) -> Any:
        body = {"dataset_id": self.dataset or "ds_gone", "target": "answer", "priority": priority}
        sent = {**body, "training": {"epochs": EPOCHS, "seed": 1}}
        job = JobCreate.model_validate(sent)

        def act() -> str:
            return submit.submit(self.installation, self._key(), job, sent).object_id

        if self.dataset is None:
            self._refused(InvalidRequest, act)
            return multiple()
        job_id = act()
        self.known[job_id] = Known(Q, dataset=self.dataset)
        return job_id

    @rule(job=jobs)
    def pause(self, job: str) -> None:
        self._ask("pause", job, PAUSE, lambda session: jobs.pause(session, self.owner, job))

    @rule(job=jobs)
    def resume(self, job: str) -> None:
        known = self.known[job]
        known.hand_over += known.status is PD
        self._ask("resume", job, RESUME, lambda session: jobs.resume(self.installation, session, self.owner, job))

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        known = self.known[job]
        waiting = dict.fromkeys((Q, PD), CI if known.latest else Status.CANCELLED)
        known.hand_over += known.latest and known.status in waiting
        table = {**CANCEL, **waiting}
        self._ask("cancel", job, table, lambda session: jobs.cancel(self.installation, session, self.owner, job))

    @rule(job=jobs)
    def delete(self, job: str) -> None:
        known = self._note("delete", job)
        verifications = [one for one in self.known.values() if one.verifies == job and one.status is not None]

        def act() -> None:
            with self.installation.database.transaction() as session:
                jobs.delete(session, self.owner, job)

        if known.status is None:
            self._refused(NotFound, act)
        elif known.status in ENDED and all(one.status in ENDED for one in verifications):
            act()
            for one in [known, *verifications]:
                one.status = None
        else:
            self._refused(IllegalTransition, act)

    @precondition(lambda self: len(self.known) < MOST_JOBS)
    @rule(target=jobs, job=jobs)
    def fork(self, job: str) -> Any:
        known = self._note("fork", job)
        asked = Fork.model_validate({"training": {"epochs": known.epoch + EPOCHS}})

        def act() -> str:
            return forks.fork(self.installation, self._key(), job, asked).object_id

        refusal = self._no_start(known, IllegalTransition if known.verifies else None)
        if refusal is None and not known.has_state:
            refusal = InvalidRequest
        if refusal is not None:
            self._refused(refusal, act)
            return multiple()
        made = act()
        self.known[made] = Known(Q, first=known.epoch, epoch=known.epoch, has_state=True, dataset=known.dataset)
        return made

    @precondition(lambda self: len(self.known) < MOST_JOBS)
    @rule(target=jobs, job=jobs)
    def verify(self, job: str) -> Any:
        known = self._note("verify", job)

        def act() -> str:
            return forks.verify(self.installation, self._key(), job).object_id

        possible = known.status in ENDED and known.latest and known.verifies is None
        refusal: type[Exception] | None = None
        if known.status is None:
            refusal = NotFound
        elif not possible:
            refusal = IllegalTransition
        else:
            refusal = self._no_start(known, None)
        if refusal is not None:
            self._refused(refusal, act)
            return multiple()
        made = act()
        self.known[made] = Known(
            Q, first=known.first, epoch=known.first, has_state=known.first > 0, verifies=job, dataset=known.dataset
        )
        return made

    @precondition(lambda self: self.dataset is not None and self.known)
    @rule()
    def delete_dataset(self) -> None:
        dataset_id = self.dataset
        assert dataset_id is not None

        def act() -> None:
            datasets.delete(self.installation, self.owner, dataset_id)

        users = [one.status for one in self.known.values() if one.dataset == dataset_id]
        if any(status is not None and status not in ENDED for status in users):
            self._refused(DatasetInUse, act)
        else:
            act()
            self.dataset = None

    # --- workers ---------------------------------------------------------------------------------------------------

    @rule(target=runs, job=jobs)
    def claim(self, job: str) -> Any:
        known = self._note("claim", job)
        with self.installation.database.transaction() as session:
            row = store.claim(session, job, NOW, hand_over=known.hand_over)
        if known.status not in CLAIM:
            assert row is None
            return multiple()
        was, known.status = known.status, CLAIM[known.status]
        known.token += 1
        if was is PI:
            assert row is None
            return multiple()
        assert row is not None
        assert (row.run, row.status) == (known.token, known.status)
        return Held(job, row)

    @rule(job=jobs)
    def claim_by_an_outdated_ticket(self, job: str) -> None:
        for hand_over in range(1, self.known[job].hand_over):
            with self.installation.database.transaction() as session:
                assert store.claim(session, job, NOW, hand_over=hand_over) is None

    @rule(run=runs, n=st.integers(0, 3))
    def record(self, run: Held, n: int) -> None:
        self._write("record", run, n, lambda session, status: None)

    @rule(run=consumes(runs), n=st.integers(0, 2))
    def confirm_the_pause(self, run: Held, n: int) -> None:
        """Only a run that saw the status does so; it may have been taken back meanwhile, and then the run goes on."""

        def then(session: Any, status: Status) -> Status | None:
            if status is not PI:
                return None
            store.advance(session, run.row, PD)
            return PD

        self._write("confirm", run, n, then)

    @rule(run=consumes(runs), n=st.integers(0, 2))
    def hand_back(self, run: Held, n: int) -> None:
        def then(session: Any, status: Status) -> Status | None:
            to = {CI: None, PI: PD, R: Q}[status]
            if to is not None:
                store.advance(session, run.row, to)
            return to

        self._write("hand back", run, n, then)

    @rule(run=consumes(runs), n=st.integers(0, 2))
    def finish(self, run: Held, n: int) -> None:
        def then(session: Any, status: Status) -> Status:
            to = Status.CANCELLED if status is CI else Status.SUCCEEDED
            store.advance(session, run.row, to, finished_at=NOW)
            return to

        self._write("finish", run, n, then)

    @rule(run=consumes(runs))
    def fail(self, run: Held) -> None:
        def act() -> None:
            with self.installation.database.transaction() as session:
                store.hold(session, run.row)
                store.advance(session, run.row, Status.FAILED, finished_at=NOW)

        known = self._note("fail", run.job)
        if self._is_lost(run):
            self._refused(store.RunLost, act)
        else:
            act()
            known.status = Status.FAILED

    @rule(run=consumes(runs))
    def die(self, run: Held) -> None:
        """Nothing is written, and nobody is told."""
        self._note("die", run.job)

    # --- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        there = {job: one for job, one in self.known.items() if one.status is not None}
        with self.installation.database.reading() as session:
            rows = {row.id: row for row in session.scalars(select(JobRow).where(JobRow.owner == self.owner))}
            assert {job: row.status for job, row in rows.items()} == {job: one.status for job, one in there.items()}
            for job, row in rows.items():
                known = there[job]
                found = (row.run, row.attempt, row.epoch, row.hand_over, row.latest is not None)
                assert found == (known.token, known.token, known.epoch, known.hand_over, known.latest)
                assert (row.finished_at is not None) == (known.status in ENDED)
                history = [one.epoch for one in store.epochs(session, job, after=0, limit=1000)]
                assert history == list(range(known.first + 1, known.epoch + 1))
                saved = session.scalar(select(CheckpointRow.epoch).where(CheckpointRow.job_id == job))
                assert saved == (known.epoch if known.has_state else None)
                now, before = Status(row.status), self.before.get(job, Status(row.status))
                assert now is before or before in store.FROM[now]
                self.before[job] = now
            positions = [store.queue_position(session, row) for row in rows.values() if row.status == Q]
            assert sorted(positions, key=lambda one: one or 0) == list(range(1, len(positions) + 1))

    def teardown(self) -> None:
        """A job that is not paused and has not ended has its last hand-over in the queue."""
        waiting = [write(job, one.hand_over) for job, one in self.known.items() if one.status in CLAIM]
        found = self.installation.queue._client.list_workflows(workflow_ids=waiting) if waiting else []
        assert sorted(one.workflow_id for one in found) == sorted(waiting)

    # ---------------------------------------------------------------------------------------------------------------

    def _key(self) -> RequestKey:
        return RequestKey(self.owner, None, "")

    def _note(self, verb: str, job: str) -> Known:
        known = self.known[job]
        if known.status is not None:
            self.seen[verb, known.status] += 1
        return known

    def _no_start(self, known: Known, otherwise: type[Exception] | None) -> type[Exception] | None:
        """Say how a job made from this one is refused."""
        if known.status is None:
            return NotFound
        return Conflict if known.dataset != self.dataset else otherwise

    def _refused(self, error: type[Exception], act: Callable[[], Any]) -> None:
        with pytest.raises(error):
            act()

    def _ask(self, verb: str, job: str, table: dict[Status, Status], act: Callable[[Any], Any]) -> None:
        known = self._note(verb, job)

        def once() -> Any:
            with self.installation.database.transaction() as session:
                return act(session)

        if known.status is None:
            self._refused(NotFound, once)
        elif known.status in table:
            known.status = table[known.status]
            assert once().status == known.status
        else:
            self._refused(IllegalTransition, once)

    def _is_lost(self, run: Held) -> bool:
        known = self.known[run.job]
        return known.status is None or known.token != run.token

    def _write(self, verb: str, run: Held, n: int, then: Callable[[Any, Status], Status | None]) -> None:
        """Record `n` epochs and do what follows from the status, in one transaction, as a run does."""
        known = self._note(verb, run.job)
        lost = self._is_lost(run)
        first = known.epoch + 1

        def act() -> Status | None:
            with self.installation.database.transaction() as session:
                checkpoint = {"epoch": first + n - 1, "state": b"state", "receipt": {"chain": {}}, "at": NOW}
                values = [_epoch(number) for number in range(first, first + n)]
                latest = {"latest": {name: values[-1][name] for name in SUMMARY}} if n else {}
                changes = {**latest, "epoch": first + n - 1, "lost_runs": 0}
                status = store.record(session, run.row, values, checkpoint, **changes)
                assert status is known.status
                return then(session, status)

        if lost:
            self._refused(store.RunLost, act)
            return
        moved = act()
        known.status = moved or known.status
        known.epoch, known.has_state, known.latest = first + n - 1, True, known.latest or n > 0


def _epoch(number: int) -> dict[str, Any]:
    losses = {"train_loss": 1 / number, "validation_loss": None, "metrics": {}}
    return {"epoch": number, **losses, "learning_rate": 0.1, "gradient_norm": 1.0, "duration_s": 0.1, "at": NOW}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    settings = Settings(data_dir=tmp_path)
    migrate_all(settings)
    opened = Installation.open(settings)
    try:
        yield opened
    finally:
        opened.close()
        opened.database.dispose()


# How a job gets into each state: with an epoch recorded, and, where there is another way, without.
WAYS: dict[tuple[str, ...], Status] = {
    (): Q,
    ("claim", "record", "hand_back"): Q,
    ("pause", "resume"): Q,
    ("claim",): R,
    ("claim", "record"): R,
    ("claim", "record", "pause", "resume"): R,
    ("claim", "die", "claim", "record"): R,
    ("claim", "pause"): PI,
    ("claim", "record", "pause"): PI,
    ("pause",): PD,
    ("claim", "record", "pause", "confirm_the_pause"): PD,
    ("claim", "cancel"): CI,
    ("claim", "record", "cancel"): CI,
    ("claim", "record", "hand_back", "cancel"): CI,
    ("claim", "record", "cancel", "hand_back"): CI,
    ("claim", "record", "finish"): Status.SUCCEEDED,
    ("claim", "record", "fail"): Status.FAILED,
    ("cancel",): Status.CANCELLED,
    ("claim", "record", "cancel", "finish"): Status.CANCELLED,
}
OF_CLIENTS = ("pause", "resume", "cancel", "delete", "fork", "verify", "delete_dataset")
OF_QUEUES = ("claim", "claim_by_an_outdated_ticket")
OF_RUNS = ("record", "confirm_the_pause", "hand_back", "finish", "fail", "die")


class Driver:
    """Leads one job of a machine by the names of its rules."""

    def __init__(self) -> None:
        self.life = Life()
        self.life.upload()
        self.job = self.life.submit(priority=0)
        self.runs: list[Held] = []

    def do(self, verb: str) -> None:
        rule: Callable[..., Any] = getattr(self.life, verb)
        if verb == "claim":
            claimed = rule(job=self.job)
            self.runs += [claimed] if isinstance(claimed, Held) else []
        elif verb in OF_RUNS:
            numbers = {"n": 2} if verb not in {"fail", "die"} else {}
            rule(run=self.runs[-1], **numbers)
        elif verb == "delete_dataset":
            rule()
        else:
            rule(job=self.job)
        self.life.all_is_as_the_model_says()

    @property
    def status(self) -> Status | None:
        return self.life.known[self.job].status


@pytest.mark.slow
def test_every_verb_in_every_state_does_what_the_table_says(installation: Installation) -> None:
    """A run that holds the job, and one that has lost it to another, try all that a run does, too."""
    Life.installation, Life.seen = installation, Counter()
    for way, status in WAYS.items():
        holds = status in {R, PI, CI} and way[-2:] not in {("hand_back", "cancel"), ("cancel", "hand_back")}
        for verb in (*OF_CLIENTS, *OF_QUEUES, *(OF_RUNS if holds else ())):
            driver = Driver()
            for step in way:
                driver.do(step)
            assert driver.status is status
            driver.do(verb)
            driver.life.teardown()
        for verb in OF_RUNS if status is R else ():
            driver = Driver()
            for step in way:
                driver.do(step)
            lost = driver.runs[-1]
            driver.do("claim")
            driver.runs.append(lost)
            driver.do(verb)
            assert driver.status is R
    asked = {(verb, status) for verb in (*OF_CLIENTS[:-1], "claim") for status in Status}
    written = {
        (verb, status) for verb in ("record", "confirm", "hand back", "finish", "fail") for status in (R, PI, CI)
    }
    assert (asked | written) - Life.seen.keys() == set(), "not everything was tried"


@pytest.mark.slow
def test_jobs_live_as_the_table_says_whatever_happens_in_whatever_order(installation: Installation) -> None:
    Life.installation, Life.seen = installation, Counter()
    settings = hypothesis.settings(
        max_examples=25, stateful_step_count=30, deadline=None, derandomize=True, database=None
    )
    hypothesis.stateful.run_state_machine_as_test(Life, settings=settings)
    assert len(Life.seen) > 30
