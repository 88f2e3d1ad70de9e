"""Datasets that are sent in pieces: a row that says how far they have come, and a file that grows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from app.contract.datasets import Dataset, Format, Header, Kind
from app.contract.uploads import Upload, UploadCreate
from app.errors import (
    Fault,
    InvalidRequest,
    NotFound,
    TooLarge,
    TooManyUploads,
    UploadBusy,
    UploadComplete,
    WrongOffset,
)
from app.services import datasets
from app.services.installation import Installation, now
from app.services.once import Answer, RequestKey, once
from app.store import uploads as store
from app.store.blobs import Busy, Growing, NewBlob
from app.store.ids import new_id
from app.store.pieces import Pieces
from app.store.session import Session
from app.store.tables import UploadRow
from app.tables.summary import ReadOptions

# What a killed process may lose of a piece that it was receiving.
SAVE_EVERY_BYTES = 8 * 2**20


def create(
    installation: Installation, request: RequestKey, fields: UploadCreate, *, name: str, format: Format | None
) -> Answer:
    """Begin an upload, once for a key.

    Raises:
        TooLarge: It would be larger than accepted.
        TooManyUploads: The owner has too many that are not complete.
    """
    sweep_expired(installation)
    _check_size(fields, installation.settings.max_dataset_bytes)

    def add() -> tuple[str, Upload]:
        most = installation.settings.max_open_uploads
        if store.count_open(session, request.owner, now()) >= most:
            raise TooManyUploads(f"There are {most:,} uploads that are not complete; complete or delete one.")
        row = UploadRow(
            id=new_id("upload"),
            owner=request.owner,
            name=name,
            format=format,
            kinds=dict(fields.kinds),
            separator=fields.separator,
            encoding=fields.encoding,
            header=fields.header,
            size_bytes=fields.size_bytes,
            sha256=fields.sha256,
            offset=0,
            dataset_id=None,
            created_at=now(),
            expires_at=now() + timedelta(hours=installation.settings.upload_hours),
        )
        if not installation.blobs.are_shared:
            installation.blobs.start(_key(row.id))
        session.add(row)
        session.flush()
        return row.id, Upload.model_validate(row)

    with installation.database.transaction() as session:
        return once(session, request, add)


def get(session: Session, owner: str, upload_id: str) -> Upload:
    """Say how far an upload has come."""
    return Upload.model_validate(_find(session, owner, upload_id))


class Piece:
    """A piece that is being received. What was saved of it stays, however it ends.

    Args:
        installation: Where the upload is.
        row: The upload, as it was when the piece began.
        file: Its bytes. In a folder we are their only writer; in a bucket the first one to save is.
    """

    def __init__(self, installation: Installation, row: UploadRow, file: Growing | Pieces) -> None:
        self._installation = installation
        self._row = row
        self._file = file
        self._saved = row.offset

    @property
    def wants_saving(self) -> bool:
        """Whether so much has come that it should not be lost."""
        return self._file.size_bytes - self._saved >= SAVE_EVERY_BYTES

    def write(self, received: bytes) -> None:
        """Add bytes."""
        self._file.write(received)

    def save(self) -> Upload:
        """Make what has come so far part of the upload; when this returns, it is on disk and committed.

        Raises:
            NotFound: The upload was deleted.
            UploadBusy: Another request changed it.
        """
        start, end = self._saved, self._file.size_bytes
        with _not_busy(), self._file.saved() as add, self._installation.database.transaction() as session:
            row = _find(session, self._row.owner, self._row.id)
            if start < end and not store.advance(session, row.id, start, end):
                raise Busy
            add(session)
            session.refresh(row)
            saved = Upload.model_validate(row)
        self._saved = end
        return saved

    def end(self) -> Upload:
        """Save, and let the next piece come."""
        try:
            return self.save()
        finally:
            self._file.close()


def begin_piece(
    installation: Installation, owner: str, upload_id: str, *, offset: int, announced_bytes: int | None
) -> Piece:
    """Take the right to add a piece that starts at `offset`; end it in any case.

    Raises:
        WrongOffset: Another number of bytes is stored.
        UploadBusy: Another request is adding to it.
        UploadComplete: It is a dataset already.
        TooLarge: With the piece it would be larger than accepted, or than it was said to be.
    """
    row, file = _open(installation, owner, upload_id)
    try:
        if offset != row.offset:
            raise WrongOffset(f"The next piece starts at {row.offset}, where the last one ended.", row.offset)
        if announced_bytes is not None:
            file.check_room(announced_bytes)
    except BaseException:
        file.close()
        raise
    return Piece(installation, row, file)


def complete(installation: Installation, owner: str, upload_id: str) -> Answer:
    """Make a dataset of the bytes that were sent; a second time gives the same one.

    Raises:
        UploadComplete: Another request completed it in this very moment.
        InvalidRequest: The bytes are not those that were announced, or not a table.
        UploadBusy: Another request is adding to it, or completing it.
    """
    with installation.database.reading() as session:
        row = _find(session, owner, upload_id)
        if row.dataset_id is not None:
            made = datasets.get(session, owner, row.dataset_id)
            return replace(Answer.of(made.id, made), replayed=True)
    row, file = _open(installation, owner, upload_id)
    try:
        _check_size_bytes(row)
        with _not_busy(), file.whole() as blob:
            _check_bytes(row, blob)
            dataset = _make_dataset(installation, row, blob)
    finally:
        file.close()
    installation.blobs.discard(_key(row.id))
    return Answer.of(dataset.id, dataset)


def delete(installation: Installation, owner: str, upload_id: str) -> None:
    """Give an upload up. A dataset that was made from it stays."""
    with installation.database.transaction() as session:
        store.remove(session, _find(session, owner, upload_id, lock=True).id)
    installation.blobs.discard(_key(upload_id))


def sweep_expired(installation: Installation) -> None:
    """Delete the uploads whose time is over."""
    with installation.database.reading() as session:
        ids = store.expired(session, now())
    for upload_id in ids:
        with installation.database.transaction() as session:
            store.remove(session, upload_id)
        installation.blobs.discard(_key(upload_id))


def _key(upload_id: str) -> str:
    return f"uploads/{upload_id}"


def _find(session: Session, owner: str, upload_id: str, *, lock: bool = False) -> UploadRow:
    row = store.find(session, owner, upload_id, now(), lock=lock)
    if row is None:
        raise NotFound("There is no such upload; one that was not completed in time is deleted.")
    return row


def _find_open(session: Session, owner: str, upload_id: str, *, lock: bool = False) -> UploadRow:
    row = _find(session, owner, upload_id, lock=lock)
    if row.dataset_id is not None:
        raise UploadComplete("The upload is complete; it takes no more bytes.")
    return row


def _open(installation: Installation, owner: str, upload_id: str) -> tuple[UploadRow, Growing | Pieces]:
    """Give an upload and its bytes; close them in any case. In a folder, we are their only writer from now on."""
    with installation.database.reading() as session:
        row = _find_open(session, owner, upload_id)
    file: Growing | Pieces
    if installation.blobs.are_shared:
        file = Pieces(installation.database, installation.blobs, row.id)
    else:
        with _not_busy():
            file = _growing(installation.blobs.path(_key(row.id)))
    try:
        with installation.database.reading() as session:
            row = _find_open(session, owner, upload_id)  # again: now nobody else changes the file
        most = installation.settings.max_dataset_bytes
        file.go_on(row.offset, most if row.size_bytes is None else min(row.size_bytes, most))
    except BaseException:
        file.close()
        raise
    return row, file


def _growing(path: Path) -> Growing:
    try:
        return Growing(path)
    except FileNotFoundError:
        raise Busy from None  # it was completed or deleted just now


@contextmanager
def _not_busy() -> Iterator[None]:
    """Tell of another request that changes the upload."""
    try:
        yield
    except Busy:
        raise UploadBusy("Another request is changing the upload; ask how far it has come.") from None


def _check_size(fields: UploadCreate, most: int) -> None:
    if fields.size_bytes is not None and fields.size_bytes > most:
        message = f"At most {most:,} bytes are accepted here."
        raise TooLarge(message, [Fault("/size_bytes", message, "too_large")])


def _check_size_bytes(row: UploadRow) -> None:
    """Refuse to make a dataset of fewer bytes than were announced."""
    if row.size_bytes is not None and row.offset != row.size_bytes:
        message = f"{row.offset} of {row.size_bytes} bytes have come."
        raise InvalidRequest(message, [Fault("/size_bytes", message, "incomplete")], code="incomplete_upload")


def _check_bytes(row: UploadRow, file: NewBlob) -> None:
    """Refuse to make a dataset of bytes that are not the announced ones."""
    if row.sha256 is not None and row.sha256 != file.sha256:
        message = f"The bytes have the hash {file.sha256}, and {row.sha256} was announced."
        raise InvalidRequest(message, [Fault("/sha256", message, "wrong_hash")], code="wrong_hash")


def _make_dataset(installation: Installation, row: UploadRow, file: NewBlob) -> Dataset:
    made = datasets.store_files(
        installation,
        row.owner,
        file,
        reader=installation.uploads,
        name=row.name,
        format=None if row.format is None else Format(row.format),
        kinds={column: Kind(kind) for column, kind in row.kinds.items()},
        options=ReadOptions(separator=row.separator, encoding=row.encoding, header=Header(row.header)),
    )
    try:
        with installation.database.transaction() as session:
            upload = _find_open(session, row.owner, row.id, lock=True)
            if upload.offset != row.offset:
                raise Busy
            dataset = datasets.add(installation, session, made)
            upload.dataset_id = dataset.id
    except BaseException:
        datasets.drop_files(installation, made)
        raise
    return dataset
