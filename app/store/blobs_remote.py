"""Blobs in a bucket that all machines share. The folder of each machine is where blobs are made, and keeps copies of them.

A blob is written and hashed here first, and put into the bucket before its row is committed. What is read is fetched whole,
and held against its hash: the one that its row knows, or the one that the bucket keeps with each object.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import DamagedFile
from app.store.blobs import Blobs
from app.store.blobs_bucket import MARK, Bucket
from app.store.blobs_cache import Cache
from app.store.faults import BlobsAway, WrongStore

LOCKS = 64

log = logging.getLogger(__name__)


class RemoteBlobs(Blobs):
    """Blobs in a bucket, with copies in a folder.

    Args:
        folder: This machine's; several of its processes may share it.
        bucket: Where the blobs are.
        max_copies_bytes: Most copies that the folder keeps.
        owner: Gives the identity of the database whose the bucket has to be before it is changed; None: anybody's.
    """

    are_shared = True

    def __init__(
        self, folder: Path, bucket: Bucket, max_copies_bytes: int, owner: Callable[[], str] | None = None
    ) -> None:
        super().__init__(folder)
        self._owner = owner
        self._is_ours = owner is None
        self._bucket = bucket
        self._cache = Cache(folder, max_copies_bytes, self.hashes)
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def claim(self, identity: str) -> None:
        """See that the bucket is of the database with this identity; mark it so if it has no mark."""
        if self._bucket.mark(identity) != identity:
            raise WrongStore(
                f"The files in {self._bucket.url} are another database's: so its object `{MARK}` says. Set DESCENT_DATABASE_URL to "
                "that database, or DESCENT_BLOBS_URL to another bucket or prefix. If that database is gone for good, remove the "
                f"object `{MARK}`: the next start makes the files this database's, and removes those it does not know of."
            )
        self._is_ours = True

    def get(self, key: str, *, sha256: str | None = None) -> Path:
        """Give a copy that is whole, fetched if need be. It may be opened in the next minutes."""
        path = self.path(key)
        with self._locks[hash(key) % LOCKS]:  # what several threads want is fetched once
            if not self._cache.has(key, sha256):
                self._fetch(key, sha256)
        return path

    def save(self, key: str, *, sha256: str | None = None, written_as: str | None = None) -> None:
        """Put a blob into the bucket."""
        path = self.path(written_as or key)
        digest = sha256 or self._hash_file(path)
        self._see_that_it_is_ours()
        self._bucket.put(key, path, digest)
        if written_as is None:
            self._cache.note(key, digest)
            self._cache.make_room(path.stat().st_size)

    def keep(self, key: str, *, sha256: str, written_as: str) -> None:
        """See that what was saved is still in the bucket; from now on, what has this key here is a copy."""
        path = self.path(written_as)
        size_bytes = path.stat().st_size
        self._see_that_it_is_ours()
        if self._bucket.size_of(key) != size_bytes:
            self._bucket.put(key, path, sha256)
        self._cache.note(key, sha256)
        self._cache.make_room(size_bytes)

    @contextmanager
    def staged(self, contents: Iterable[tuple[str, bytes]]) -> Iterator[Callable[[], None]]:
        """Put blobs into the bucket, one after the other, under keys that are nobody else's; give what says that they stay.

        If it is not called they are removed. If it is, and what comes after fails, they are left to be swept: of a commit that
        was cut off nobody knows whether it was done.
        """
        self._see_that_it_is_ours()
        put: list[str] = []
        stay = False

        def publish() -> None:
            nonlocal stay
            stay = True

        try:
            for key, content in contents:
                with self.writer(max_bytes=len(content)) as blob:
                    blob.write(content)
                    blob.flush()
                    put.append(key)
                    self._bucket.put(key, blob.path, blob.sha256)
                    self._cache.note(key, blob.sha256)
                    blob.name(self.path(key))
                self._cache.make_room(len(content))
            yield publish
        finally:
            if not stay:
                for key in put:
                    self.delete(key)

    def delete(self, key: str) -> None:
        """Remove a blob. From a bucket that is away it is swept later: no row names it any more."""
        self._cache.forget(key)
        super().delete(key)
        self._remove_or_leave(key, lambda: self._bucket.delete(key))

    def delete_folder(self, folder: str) -> None:
        """Remove every blob of a folder, as `delete` does."""

        def delete_all() -> None:
            for key, _ in self._bucket.stored(folder):
                self._bucket.delete(key)

        self._cache.forget_all(folder)
        super().delete_folder(folder)
        self._remove_or_leave(folder, delete_all)

    def discard(self, key: str) -> None:
        """Remove all that is below a key, or a file here."""
        if self.path(key).is_file():
            super().discard(key)
        else:
            self.delete_folder(key)

    def stored(self, folder: str) -> Iterator[tuple[str, float]]:
        """Give the keys of a folder of the bucket, and when each was stored."""
        return self._bucket.stored(folder)

    def _fetch(self, key: str, sha256: str | None) -> None:
        """Fetch a blob, a second time if it is not whole: it may have been replaced meanwhile."""
        for _ in range(2):
            with self.writer(max_bytes=sys.maxsize) as blob:
                try:
                    stored_with = self._bucket.get(key, blob.write)
                except FileNotFoundError:
                    self._drop_damaged(key, sha256)
                    return
                if blob.sha256 == (sha256 or stored_with):
                    blob.flush()
                    self._cache.note(key, blob.sha256)
                    path = self.path(key)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    blob.path.replace(path)
                    self._cache.make_room(blob.size_bytes)
                    return
        log.error("%s has the hash %s, was stored with %s, and should have %s", key, blob.sha256, stored_with, sha256)
        raise DamagedFile("A stored file is damaged: it does not have the hash that it was stored with.")

    def _drop_damaged(self, key: str, sha256: str | None) -> None:
        """Of what the bucket has not, a file that has other bytes than it should is no blob, either."""
        wanted, path = sha256 or self._cache.hash_of(key), self.path(key)
        if wanted is not None and path.exists() and self._hash_file(path) != wanted:
            log.error("%s is not in the bucket, and the copy here is damaged", key)
            self._cache.forget(key)
            path.unlink(missing_ok=True)

    def _see_that_it_is_ours(self) -> None:
        if not self._is_ours and self._owner is not None:
            self.claim(self._owner())

    def _remove_or_leave(self, key: str, remove: Callable[[], None]) -> None:
        try:
            if self._bucket.has_just_failed:
                raise BlobsAway("the bucket has just failed")
            self._see_that_it_is_ours()
            remove()
        except (BlobsAway, FileNotFoundError) as error:
            log.warning("%s is left to be swept: %s", key, error)

    def _hash_file(self, path: Path) -> str:
        """Give the SHA-256 of a file that is there."""
        sha256 = self.hashes.of(path)
        if sha256 is None:
            raise FileNotFoundError(path)
        return sha256
