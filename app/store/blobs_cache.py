"""Which files of a folder are copies of what is in a store, and how many bytes of them are kept.

Beside each copy there is a note, `known/<key>`, of the hash that it has to have; when the note was last touched, the copy was
last used. A file without a note is somebody's work that is not in the store yet, and is left alone.
"""

import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from app.store.hashes import Hashes

# Who was given a copy has so long to open it. An open file stays readable when it loses its name.
SPARED_S = 300.0
# Beyond the bound, so much of it is freed at once: looking at all copies takes time.
FREED_SHARE = 8


class Cache:
    """The copies in a folder, which any number of processes share.

    Args:
        folder: Of the files.
        max_bytes: Most bytes of all copies, those that were used in the last minutes aside.
        hashes: Of the files, as far as they were computed.
    """

    def __init__(self, folder: Path, max_bytes: int, hashes: Hashes) -> None:
        self._folder = folder
        self._notes = folder / "known"
        self._max_bytes = max_bytes
        self._hashes = hashes
        self._lock = threading.Lock()
        self._until_look = 0  # bytes that may come before it is time to look how many there are

    def has(self, key: str, sha256: str | None) -> bool:
        """Tell whether there is a copy whose bytes have the hash that they are to have; it counts as used."""
        known = self.hash_of(key)
        if known is None or sha256 not in (None, known) or self._hashes.of(self._folder / key) != known:
            return False
        with suppress(FileNotFoundError):
            os.utime(self._notes / key)
        return True

    def hash_of(self, key: str) -> str | None:
        """Give the hash that a copy is to have; None if there is no note of it."""
        try:
            return (self._notes / key).read_text()
        except FileNotFoundError:
            return None

    def note(self, key: str, sha256: str) -> None:
        """Note that the file of this key is a copy, or will be at once."""
        note = self._notes / key
        note.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=self._folder / "parts")
        with os.fdopen(descriptor, "w") as file:
            file.write(sha256)
        Path(draft).replace(note)

    def forget(self, key: str) -> None:
        """Drop the note: the file is no copy any more."""
        (self._notes / key).unlink(missing_ok=True)

    def forget_all(self, folder: str) -> None:
        """Drop the notes of a folder."""
        shutil.rmtree(self._notes / folder, ignore_errors=True)

    def make_room(self, n_bytes: int) -> None:
        """Remove the copies that were used longest ago, now that so many bytes have come, if there are too many."""
        with self._lock:
            self._until_look -= n_bytes
            if self._until_look >= 0:
                return
            kept = self._evict()
            self._until_look = max(self._max_bytes - kept, 0) // FREED_SHARE

    def _evict(self) -> int:
        """Give how many bytes stay."""
        copies, total = [], 0
        for note in self._notes.rglob("*"):
            with suppress(FileNotFoundError):
                if note.is_file():
                    copy = self._folder / note.relative_to(self._notes)
                    used_at, size = note.stat().st_mtime, copy.stat().st_size if copy.exists() else 0
                    copies.append((used_at, size, copy, note))
                    total += size
        if total <= self._max_bytes:
            return total
        aim = self._max_bytes - self._max_bytes // FREED_SHARE
        for _, size, copy, note in sorted(copies):
            if total <= aim:
                break
            with suppress(FileNotFoundError):
                if note.stat().st_mtime > time.time() - SPARED_S:  # used meanwhile, maybe
                    continue
            copy.unlink(missing_ok=True)
            note.unlink(missing_ok=True)
            total -= size
        return total
