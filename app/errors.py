"""A client's mistakes, by name. Each has an HTTP status and a constant `code`; `app/api/problems.py` makes the body."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault of a request.

    Args:
        pointer: JSON pointer (RFC 6901) of the field: `/training/optimizer/name`.
        message: What is wrong, and what would be right.
        code: Stable name of the kind of fault, in snake case.
        allowed: The values that would be accepted, for an enumeration.
    """

    pointer: str
    message: str
    code: str
    allowed: tuple[str, ...] | None = None


class DescentError(Exception):
    """A request that cannot be granted, and why."""

    status = 400
    code = "bad_request"
    title = "Bad request"

    def __init__(self, detail: str, faults: Sequence[Fault] = (), *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)
        if code is not None:
            self.code = code


class InvalidRequest(DescentError):
    """The request was understood and cannot be done as it is; `faults` lists every reason."""

    status = 422
    code = "invalid_request"
    title = "Invalid request"


class NotFound(DescentError):
    """No such object, or another owner's."""

    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(DescentError):
    """The object's state does not allow it."""

    status = 409
    code = "conflict"
    title = "Conflict"


class IllegalTransition(Conflict):
    """The job's status does not allow this verb."""

    code = "illegal_transition"
    title = "Illegal transition"


class DatasetInUse(Conflict):
    """A job that has not ended needs the dataset."""

    code = "dataset_in_use"
    title = "Dataset in use"


class UploadBusy(Conflict):
    """Another request is changing the upload."""

    code = "upload_busy"
    title = "Upload busy"


class UploadComplete(Conflict):
    """The upload is a dataset already."""

    code = "upload_complete"
    title = "Upload complete"


class TooManyUploads(Conflict):
    """Too many uploads are not complete."""

    code = "too_many_uploads"
    title = "Too many uploads"


class WrongOffset(Conflict):
    """A piece does not start where the last one ended, at `offset`."""

    code = "wrong_offset"
    title = "Wrong offset"

    def __init__(self, detail: str, offset: int) -> None:
        super().__init__(detail, [Fault("header:Upload-Offset", f"It is {offset}.", self.code)])
        self.offset = offset


class BadMultipart(DescentError):
    """The body is not the `multipart/form-data` that it is said to be."""

    code = "invalid_multipart"
    title = "Invalid multipart body"


class TooSlow(DescentError):
    """Nothing came for too long."""

    status = 408
    code = "too_slow"
    title = "Too slow"


class ExportFailed(Conflict):
    """A file of a model cannot be made, or does not say what the engine says: it is not handed out."""

    code = "export_failed"
    title = "Export failed"


class TooLarge(DescentError):
    """The body is larger than this installation accepts."""

    status = 413
    code = "too_large"
    title = "Content too large"


class UnsupportedFormat(DescentError):
    """The bytes are in a format that is not read here."""

    status = 415
    code = "unsupported_format"
    title = "Unsupported format"


class NotAcceptable(DescentError):
    """The answer cannot be given in any of the formats asked for."""

    status = 406
    code = "not_acceptable"
    title = "Not acceptable"


class UnreadableTable(InvalidRequest):
    """The bytes are not a table in the format they are said to be in."""

    code = "unreadable_dataset"
    title = "Unreadable dataset"


class KeyReused(DescentError):
    """The same Idempotency-Key came with another request."""

    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency key reused"


class Unavailable(DescentError):
    """The database, or another part that is needed, does not answer; the same request may pass later."""

    status = 503
    code = "unavailable"
    title = "Service unavailable"


class DamagedFile(DescentError):
    """What is stored does not have the hash that it was stored with: it is not used."""

    status = 500
    code = "damaged_file"
    title = "Damaged file"


class StorageFull(DescentError):
    """There is no room on the disk of the files or of the database; what is stored is not touched."""

    status = 507
    code = "storage_full"
    title = "Storage full"
