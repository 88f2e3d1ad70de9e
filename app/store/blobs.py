"""Files too large for the database. Each is there whole or not at all, and on disk before its row is committed."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO

from app.errors import TooLarge
from app.store.hashes import Hashes

# The first part of every key: folders that are made, and on disk, before anything is put into them, and never removed.
KINDS = ("content", "datasets", "models", "uploads")


class Blobs:
    """The files below one folder, each under a key such as `datasets/ds_…/content`. What was computed of their hashes is kept.

    Args:
        folder: Where they are; made if it is not there.
    """

    # Whether they are in a store that machines share. What is staged is then there under its keys at once: they must be
    # nobody else's.
    are_shared = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hashes = Hashes()
        self.parts = folder / "parts"
        for made in (self.parts, *map(self.path, KINDS)):
            made.mkdir(parents=True, exist_ok=True)
        for made in (folder, folder.parent, folder.parent.parent):
            with suppress(PermissionError):  # a folder above ours, which somebody else made
                sync_folder(made)

    def claim(self, identity: str) -> None:
        """See that a store is of the database with this identity, and no other's; a folder is not asked.

        Raises:
            WrongStore: It is another one's.
            BlobsAway: It does not answer.
        """

    def path(self, key: str) -> Path:
        """Where this machine keeps the blob `key`, or is to write it."""
        return self.folder / key

    def get(self, key: str, *, sha256: str | None = None) -> Path:  # noqa: ARG002 - a store is held against it
        """Give the file of a blob, to be read; there is no such file if there is no such blob.

        Args:
            sha256: What it is to have, where that is known.

        Raises:
            BlobsAway: It is in a store that does not answer.
            DamagedFile: The store gave other bytes than it was given.
        """
        return self.path(key)

    def save(self, key: str, *, sha256: str | None = None, written_as: str | None = None) -> None:
        """Have every machine find a blob that this one has written; here there is nothing to do.

        Args:
            sha256: Of the bytes; None: it is computed.
            written_as: The key that they have here for now; None: the same.
        """

    def keep(self, key: str, *, sha256: str, written_as: str) -> None:
        """See that what was saved is still there, and save it again if not."""

    def stored(self, folder: str) -> Iterator[tuple[str, float]]:  # noqa: ARG002
        """Give the keys of a folder of the store, and when each was last changed, in seconds since 1970; here none."""
        return iter(())

    def put(self, key: str, content: bytes) -> None:
        """Store bytes under `key`; on disk when this returns."""
        self.put_all([(key, content)])

    def put_all(self, contents: Iterable[tuple[str, bytes]]) -> None:
        """Store blobs one after the other, each whole or not at all; on disk when this returns, their folders synced once."""
        with self.staged(contents) as publish:
            publish()

    @contextmanager
    def staged(self, contents: Iterable[tuple[str, bytes]]) -> Iterator[Callable[[], None]]:
        """Write blobs to disk, one after the other, and give what gives them their keys: the short part of storing them.

        What it is not called for leaves no trace. When it returns, the blobs are on disk under their keys.
        """
        with ExitStack() as stack:
            written = []
            for key, content in contents:
                blob = stack.enter_context(self.writer(max_bytes=len(content)))
                blob.write(content)
                blob.sync()
                written.append((self.path(key), blob))

            def publish() -> None:
                for path, blob in written:
                    blob.name(path)
                _sync_folders(path for path, _ in written)

            yield publish

    @contextmanager
    def writer(self, *, max_bytes: int) -> Iterator["NewBlob"]:
        """Give a place to write a blob to, piece by piece. Unless it is published it leaves no trace.

        Raises:
            TooLarge: More than `max_bytes` were written.
        """
        descriptor, name = tempfile.mkstemp(dir=self.parts)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield NewBlob(file, Path(name), max_bytes)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()

    def move(self, source: str, target: str) -> None:
        """Give a blob another key, in place of what has that key; on disk when this returns."""
        path = self.path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path(source).replace(path)
        _sync_folders([path])

    def start(self, key: str) -> None:
        """Make an empty blob, to which `Growing` adds; on disk when this returns."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)
        _sync_folders([path])

    def delete(self, key: str) -> None:
        """Remove a blob; it is no fault if it is gone already."""
        self.path(key).unlink(missing_ok=True)

    def discard(self, key: str) -> None:
        """Remove a blob that was not saved, or all that a store has below its key."""
        self.path(key).unlink(missing_ok=True)

    def delete_folder(self, folder: str) -> None:
        """Remove every blob of a folder, and the folder."""
        shutil.rmtree(self.path(folder), ignore_errors=True)


class NewBlob:
    """A blob that is being written.

    Args:
        file: Where the bytes go.
        path: The file's name until it is published.
        max_bytes: More is refused.
    """

    def __init__(self, file: IO[bytes], path: Path, max_bytes: int) -> None:
        self.path = path
        self.size_bytes = 0
        self._file = file
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Add bytes."""
        self.size_bytes += len(piece)
        if self.size_bytes > self._max_bytes:
            raise TooLarge(f"The body is larger than the {self._max_bytes:,} bytes accepted here.")
        self._hash.update(piece)
        self._file.write(piece)

    @property
    def sha256(self) -> str:
        """Hash of the bytes so far, in hexadecimal."""
        return self._hash.hexdigest()

    def flush(self) -> None:
        """Make the bytes so far readable at `path`."""
        self._file.flush()

    def publish(self, target: Path) -> None:
        """Give the file its lasting name; when this returns, file and name are on disk."""
        self.sync()
        self.name(target)
        _sync_folders([target])

    def sync(self) -> int:
        """Have the bytes so far survive a power cut; give their number."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self.size_bytes

    def name(self, target: Path) -> None:
        """Give the file its lasting name, which is not on disk yet."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._name(target)

    def _name(self, target: Path) -> None:
        self.path.replace(target)


def _sync_folders(paths: Iterable[Path]) -> None:
    """Have the names of files survive a power cut, and those of their folders, down from the one of their kind.

    That a folder was there already does not say that its name is on disk: another process may have made it just now.
    """
    folders = {folder for path in paths for folder in _up_to_kind(path)}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        sync_folder(folder)


def _up_to_kind(path: Path) -> Iterator[Path]:
    for folder in path.parents:
        yield folder
        if folder.name in KINDS:
            return


class Busy(Exception):
    """Somebody else writes to the file."""


class Limited:
    """An upload that comes in pieces, up to so many bytes; it has their number, and where they are written."""

    size_bytes: int
    _max_bytes: int
    _file: IO[bytes]

    def check_room(self, n_bytes: int) -> None:
        """Refuse what would make it too large.

        Raises:
            TooLarge: There is no room for so many bytes.
        """
        if self.size_bytes + n_bytes > self._max_bytes:
            raise TooLarge(f"The upload would be larger than the {self._max_bytes:,} bytes that it may have.")

    def write(self, piece: bytes) -> None:
        """Add bytes."""
        self.check_room(len(piece))
        self._file.write(piece)
        self.size_bytes += len(piece)


class Growing(Limited, NewBlob):
    """A blob that grows over many requests and restarts, with one writer at a time among all processes.

    Publishing it gives its bytes a second name: if what comes after fails, they are still here.

    Args:
        path: Of a file that is there already.

    Raises:
        Busy: Another writer has it.
        FileNotFoundError: It was deleted.
    """

    def __init__(self, path: Path) -> None:
        file = path.open("r+b")
        try:
            # The lock ends with the process, however that ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Busy from None
        super().__init__(file, path, max_bytes=0)

    def go_on(self, size_bytes: int, max_bytes: int) -> None:
        """Keep so many bytes; those after them were never acknowledged."""
        self._file.truncate(size_bytes)
        self._file.seek(size_bytes)
        self.size_bytes, self._max_bytes = size_bytes, max_bytes

    @cached_property
    def sha256(self) -> str:
        """Hash of the whole file, read again: other processes may have written parts of it."""
        self._file.flush()
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def saved(self) -> Iterator[Callable[[object], None]]:
        """Have the bytes so far survive a power cut; give what is left to do in the transaction that says so."""
        self.sync()
        yield lambda _: None

    @contextmanager
    def whole(self) -> Iterator[NewBlob]:
        """Give all bytes."""
        yield self

    def close(self) -> None:
        """Let another writer have it."""
        self._file.close()

    def _name(self, target: Path) -> None:
        os.link(self.path, target)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
