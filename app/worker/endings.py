"""Jobs that end by name, with what went wrong."""

from datetime import UTC, datetime

from app.contract.jobs import Status
from app.store import jobs as store
from app.store.session import Session
from app.store.tables import JobRow
from app.worker.parts import Parts

OUT_OF_MEMORY = "The training needed more memory than there is; use a smaller network or batch."
# A disk that answered with errors so often in one run is broken, for what that run needs of it.
MOST_DISK_ERRORS = 20


def fail(session: Session, row: JobRow, code: str, message: str) -> None:
    """End a job, in the caller's transaction."""
    error = {"code": code, "message": message, "epoch": row.epoch}
    store.advance(session, row, Status.FAILED, error=error, finished_at=datetime.now(UTC))


def end_by_name(parts: Parts, row: JobRow, code: str, message: str) -> None:
    """End the job of a run, unless another run has it."""
    with parts.database.transaction() as session:
        store.hold(session, row)
        fail(session, session.get_one(JobRow, row.id), code, message)  # the run may have recorded epochs since it began


def end_for_disk(parts: Parts, job_id: str, hand_over: int | None) -> None:
    """End a job whose files the disk neither gives nor takes."""
    with parts.database.transaction() as session:
        row = store.claim(session, job_id, datetime.now(UTC), hand_over=hand_over, counts=False)
        if row is not None:
            fail(session, row, "storage_error", f"The disk answered with an error {MOST_DISK_ERRORS} times.")
