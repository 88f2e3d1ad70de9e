"""Hashes of files, computed again only when a file has changed."""

import threading
from collections import OrderedDict
from hashlib import file_digest
from pathlib import Path
from typing import Any

KEPT = 1024


class Hashes:
    """Hashes of files that did not change since they were computed, going by what the file system says of them."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, path: Path) -> str | None:
        """Give the SHA-256 of a file; None if it is not there."""
        try:
            with path.open("rb") as file:
                found = path.stat()
                key = (path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                with self._lock:
                    if key in self._known:
                        return self._known[key]
                sha256 = file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None
        with self._lock:
            self._known[key] = sha256
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return sha256
