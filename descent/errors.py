"""What can go wrong, by name. The message holds every fault the service told, and what to do."""

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import ValidationError

from app.contract.problems import Problem, ProblemFault


class DescentError(Exception):
    """Anything that goes wrong in this package."""


class Unreachable(DescentError, ConnectionError):
    """The service did not answer, however often it was asked."""


class WaitTimeout(DescentError, TimeoutError):
    """The job had not ended in the time that was given. It goes on."""


class Corrupt(DescentError):
    """The bytes that came are not those that were announced by their SHA-256; they were thrown away."""


class NoModel(DescentError):
    """The job has no model, or not yet."""


class NotPrepared(DescentError, ValueError):
    """The rows do not fit the model; every fault is listed."""


class NotConverted(DescentError, ValueError):
    """The other library has no such network. The message says which way there is."""


class JobFailed(DescentError):
    """The training ended in an error.

    Args:
        job_id: Whose.
        code: Stable name: `diverged`, `out_of_memory`, ….
        message: What happened, and what would help.
        epoch: Where, if that is known.
    """

    def __init__(self, job_id: str, code: str, message: str, epoch: int | None) -> None:
        where = "" if epoch is None else f" in epoch {epoch}"
        super().__init__(f"{job_id} failed{where}: {code}: {message}")
        self.job_id, self.code, self.message, self.epoch = job_id, code, message, epoch


class APIError(DescentError):
    """The service refused a request.

    Args:
        problem: What it said.
        headers: Of its answer.
        attempts: How often it was asked.
    """

    def __init__(self, problem: Problem, headers: Mapping[str, str], attempts: int = 1) -> None:
        self.problem = problem
        self.status, self.code, self.detail = problem.status, problem.code, problem.detail
        self.faults: list[ProblemFault] = problem.errors
        self.headers = headers
        self.request_id = headers.get("x-request-id")
        self.attempts = attempts
        super().__init__(self.told(FIXES))

    def told(self, fixes: Mapping[str, str]) -> str:
        """Say what is wrong, every fault of it, and what helps.

        Args:
            fixes: What helps, by code.
        """
        lines = [f"{self.status} {self.code}: {self.detail}"]
        for fault in self.faults:
            allowed = f" Allowed: {', '.join(fault.allowed)}." if fault.allowed else ""
            lines.append(f"  {fault.pointer}: {fault.message}{allowed}")
        fix = fixes.get(self.code)
        if fix:
            lines.append(f"  What helps: {fix}")
        return "\n".join(lines)


class BadRequest(APIError, ValueError):
    """400: The request could not be read."""


class NotFound(APIError, LookupError):
    """404: There is no such object, or it is another owner's."""


class Conflict(APIError):
    """409: The object's state does not allow it."""


class IllegalTransition(Conflict):
    """409: The job's status does not allow this verb."""


class DatasetInUse(Conflict):
    """409: A job that has not ended needs the dataset."""


class WrongOffset(Conflict):
    """409: A piece does not start where the last one ended."""


class UploadBusy(Conflict):
    """409: Another request is changing the upload."""


class ExportFailed(Conflict):
    """409: This file of the model cannot be made."""


class TooLarge(APIError, ValueError):
    """413: More than this installation accepts."""


class UnsupportedFormat(APIError, ValueError):
    """415: The bytes are in a format that is not read."""


class InvalidRequest(APIError, ValueError):
    """422: The request was understood and cannot be done as it is; `faults` lists every reason."""


class KeyReused(InvalidRequest):
    """422: The same Idempotency-Key came with another request."""


class UnreadableDataset(InvalidRequest):
    """422: The bytes are not a table in the format they are said to be in."""


class TooManyRequests(APIError):
    """429: Slower, please."""


class ServerError(APIError):
    """5xx: The service could not do it."""


class Unavailable(ServerError):
    """503: A part that is needed does not answer."""


class StorageFull(ServerError):
    """507: There is no room left."""


FIXES = {
    "dataset_in_use": "wait for the jobs that use it, or cancel them.",
    "export_failed": "another format: npz, safetensors, json or onnx.",
    "idempotency_key_reused": "a new idempotency_key for each different request.",
    "illegal_transition": "job.refresh() shows its status; a job that has ended can be forked.",
    "not_found": "client.datasets.list(), client.jobs.list() and client.models.list() show what is there.",
    "storage_full": "delete what is no longer needed, or give the data folder more room; nothing stored was lost.",
    "too_large": "client.limits() shows what this installation accepts.",
    "unavailable": "`descent doctor` on the machine of the service says which part is missing.",
    "unsupported_format": "give format='csv' or format='json'.",
}
_BY_CODE: dict[str, type[APIError]] = {
    "dataset_in_use": DatasetInUse,
    "export_failed": ExportFailed,
    "idempotency_key_reused": KeyReused,
    "illegal_transition": IllegalTransition,
    "unreadable_dataset": UnreadableDataset,
    "upload_busy": UploadBusy,
    "wrong_offset": WrongOffset,
}
_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequest,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedFormat,
    422: InvalidRequest,
    429: TooManyRequests,
    503: Unavailable,
    507: StorageFull,
}


def from_answer(answer: httpx.Response, attempts: int) -> APIError:
    """Make the exception of an answer of 400 or above, whose body has been read."""
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        # Something between us and the service answered: a proxy has its own words.
        said: dict[str, Any] = {"type": "about:blank", "title": answer.reason_phrase, "status": answer.status_code}
        detail = f"{answer.request.method} {answer.request.url} was answered with {answer.reason_phrase}."
        problem = Problem(**said, detail=detail, code="unknown", errors=[])
    fallback = ServerError if answer.status_code >= 500 else APIError
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(answer.status_code, fallback)
    return kind(problem, answer.headers, attempts)
