"""Uploads in pieces where blobs are in a bucket: any machine takes a piece, and puts it into the bucket.

Rows say of which objects an upload is made. A piece counts when the transaction that adds its row also moves the upload's
offset on from where the piece starts: of two that were sent at once the second is refused, whatever machines they went to.
A piece takes up those before it that are less than twice as large, so that many small ones become a few.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

from sqlalchemy import delete, select

from app.store.blobs import Blobs, Busy, Limited, NewBlob
from app.store.ids import new_id
from app.store.session import Database, Session
from app.store.tables import UploadPieceRow

# What is as large takes up no other, and is not taken up.
LARGE_BYTES = 8 * 2**20
COPIED_AT_ONCE = 2**20
# No more pieces in a row are smaller than that: each has at most half the bytes of the one before.
MOST_SMALL = 32


class Pieces(Limited):
    """The pieces of an upload, with what `Growing` has for a file that grows.

    Args:
        upload_id: Whose pieces they are.
    """

    def __init__(self, database: Database, blobs: Blobs, upload_id: str) -> None:
        self.size_bytes = 0
        self._database = database
        self._blobs = blobs
        self._upload_id = upload_id
        self._max_bytes = 0
        self._start = 0
        # It has no name, so that nothing is left of it, however this process ends.
        self._file = tempfile.TemporaryFile(dir=blobs.parts)  # noqa: SIM115 - `close` ends it

    def go_on(self, size_bytes: int, max_bytes: int) -> None:
        """Add to so many bytes."""
        self._start = self.size_bytes = size_bytes
        self._max_bytes = max_bytes

    @contextmanager
    def saved(self) -> Iterator[Callable[[Session], None]]:
        """Put what has come into the bucket; give what makes it part of the upload, in the transaction that moves its offset.

        Raises:
            Busy: Another request changed the upload.
        """
        self._file.seek(0)
        new = self._file.read()
        if not new:
            yield lambda _: None
            return
        taken_up = self._small_before(len(new))
        content = self._read(taken_up) + new
        row = UploadPieceRow(
            upload_id=self._upload_id,
            start=self.size_bytes - len(content),
            size_bytes=len(content),
            sha256=sha256(content).hexdigest(),
            key=f"uploads/{self._upload_id}/{new_id('piece')}",
        )
        with self._blobs.staged([(row.key, content)]) as publish:

            def add(session: Session) -> None:
                table = UploadPieceRow
                session.execute(delete(table).where(table.upload_id == row.upload_id, table.start >= row.start))
                session.add(row)
                publish()

            yield add
        for one in taken_up:
            self._blobs.delete(one.key)
        self._start = self.size_bytes
        self._file.seek(0)
        self._file.truncate()

    @contextmanager
    def whole(self) -> Iterator[NewBlob]:
        """Give all bytes of the upload, fetched here.

        Raises:
            Busy: Another request changed the upload.
        """
        with self._blobs.writer(max_bytes=self._start) as blob:
            for piece in reversed(self._stored()):
                if piece.start != blob.size_bytes:
                    raise Busy
                self._copy(piece, blob.write)
            if blob.size_bytes != self._start:
                raise Busy
            yield blob

    def close(self) -> None:
        """Forget what was not saved."""
        self._file.close()

    def _stored(self, most: int | None = None) -> Sequence[UploadPieceRow]:
        """Give the pieces, the last one first."""
        query = select(UploadPieceRow).where(UploadPieceRow.upload_id == self._upload_id)
        with self._database.reading() as session:
            return session.scalars(query.order_by(UploadPieceRow.start.desc()).limit(most)).all()

    def _small_before(self, n_bytes: int) -> list[UploadPieceRow]:
        """Give the pieces that one of that size takes up, the first one first."""
        found: list[UploadPieceRow] = []
        for piece in self._stored(MOST_SMALL):
            if n_bytes >= LARGE_BYTES or piece.size_bytes >= min(2 * n_bytes, LARGE_BYTES):
                break
            found.insert(0, piece)
            n_bytes += piece.size_bytes
        return found

    def _read(self, pieces: Sequence[UploadPieceRow]) -> bytes:
        read = bytearray()
        for piece in pieces:
            self._copy(piece, read.extend)
        return bytes(read)

    def _copy(self, piece: UploadPieceRow, write: Callable[[bytes], None]) -> None:
        try:
            with self._blobs.get(piece.key, sha256=piece.sha256).open("rb") as file:
                while part := file.read(COPIED_AT_ONCE):
                    write(part)
        except FileNotFoundError:
            raise Busy from None  # another one took it up, or the upload is gone
