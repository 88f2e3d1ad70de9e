"""Files too large for the database. Each is there whole or not at all, and on disk before its row is committed."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from app.errors import TooLarge


class Blobs:
    """The files below one folder, each under a key such as `datasets/ds_…/content`.

    Args:
        folder: Where they are; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = folder / "parts"
        self.parts.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Where the blob `key` is."""
        return self.folder / key

    def put(self, key: str, content: bytes) -> None:
        """Store bytes under `key`; on disk when this returns."""
        self.put_all([(key, content)])

    def put_all(self, contents: Iterable[tuple[str, bytes]]) -> None:
        """Store blobs one after the other, each whole or not at all; on disk when this returns, their folders synced once."""
        paths = []
        for key, content in contents:
            with self.writer(max_bytes=len(content)) as upload:
                upload.write(content)
                upload.place(self.path(key))
            paths.append(self.path(key))
        _sync_folders(paths)

    @contextmanager
    def writer(self, *, max_bytes: int) -> Iterator["Upload"]:
        """Give a place to write a blob to, piece by piece. Unless it is published it leaves no trace.

        Raises:
            TooLarge: More than `max_bytes` were written.
        """
        descriptor, name = tempfile.mkstemp(dir=self.parts)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield Upload(file, Path(name), max_bytes)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()

    def delete(self, key: str) -> None:
        """Remove a blob and its folder if that is empty; it is no fault if it is gone already."""
        path = self.path(key)
        with suppress(FileNotFoundError):
            path.unlink()
        with suppress(OSError):
            path.parent.rmdir()


class Upload:
    """A blob that is being written.

    Args:
        file: Where the bytes go.
        path: The file's name until it is published.
        max_bytes: More is refused.
    """

    def __init__(self, file: BinaryIO, path: Path, max_bytes: int) -> None:
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
        self.place(target)
        _sync_folders([target])

    def place(self, target: Path) -> None:
        """Give the file its lasting name; when this returns, the file is on disk, but its name may not be."""
        self._file.flush()
        os.fsync(self._file.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(target)


def _sync_folders(paths: Iterable[Path]) -> None:
    """Have the names of files survive a power cut."""
    folders = {folder for path in paths for folder in (path.parent, path.parent.parent)}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
