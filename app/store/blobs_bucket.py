"""A bucket that speaks S3: whole objects go in and come out, each with the hash that its bytes had."""

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from app.store.faults import BlobsAway

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

# What is in memory of one object: so many parts on their way in, one on its way out.
PART_BYTES = 5 * 2**20
PARTS_AT_ONCE = 4
MOST_PARTS = 9_000  # S3 takes 10,000
CONNECT_S, ASK_S, TRANSFER_S = 3, 10, 30
RETRIES, RETRY_S = 2, 10
JUST_S = 5
NO_BUCKET = "NoSuchBucket"
NO_CONDITIONS = "NotImplemented"
HASH = "sha256"
MARK = "belongs-to"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


class Bucket:
    """The objects of a bucket below a prefix. Credentials, region and endpoint are the environment's (`AWS_…`).

    Every call ends within a bounded time, tries again a few times, and raises `BlobsAway` if that was in vain.

    Args:
        name: The bucket, which is there already.
        prefix: May be empty.
    """

    def __init__(self, name: str, prefix: str) -> None:
        self.url = "/".join(("s3:/", name, *filter(None, [prefix])))
        self._questions = _open(name, prefix, ASK_S)
        self._transfers = _open(name, prefix, TRANSFER_S)
        self._failed_at = -inf

    @property
    def has_just_failed(self) -> bool:
        """Whether a call was in vain a moment ago: what can be left for later is better left."""
        return time.monotonic() - self._failed_at < JUST_S

    def put(self, key: str, path: Path, digest: str) -> None:
        """Store a file as an object, in place of what has that key: whole or not at all."""
        part_bytes = max(PART_BYTES, path.stat().st_size // MOST_PARTS)
        with path.open("rb") as file, self._told():
            obstore.put(
                self._transfers,
                key,
                file,
                attributes={HASH: digest},
                chunk_size=part_bytes,
                max_concurrency=PARTS_AT_ONCE,
            )

    def get(self, key: str, write: Callable[[bytes], None]) -> str | None:
        """Hand over an object piece by piece; give the hash that it was stored with, None if it has none.

        Raises:
            FileNotFoundError: There is no such object.
        """
        start = 0
        while True:
            # In pieces, each a request of its own: one request for all would have to be allowed hours.
            with self._told():
                try:
                    found = obstore.get(self._transfers, key, options={"range": (start, start + PART_BYTES)})
                except BaseError as error:
                    if start == 0 and "416" in str(error).partition("\n")[0]:
                        return None  # it has no bytes, which none of ours is without
                    raise
                piece = bytes(found.bytes())
            write(piece)
            start += len(piece)
            if not piece or start >= found.meta["size"]:
                digest = found.attributes.get(HASH)
                return None if digest is None else str(digest)

    def size_of(self, key: str) -> int | None:
        """Give the size of an object; None if it is not there."""
        try:
            with self._told():
                return obstore.head(self._questions, key)["size"]
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Remove an object; it is no fault if it is gone already."""
        with self._told():
            obstore.delete(self._questions, key)

    def stored(self, folder: str) -> Iterator[tuple[str, float]]:
        """Give the keys of a folder, and when each was stored, in seconds since 1970."""
        with self._told():
            for some in obstore.list(self._questions, folder):
                for one in some:
                    yield one["path"], one["last_modified"].timestamp()

    def mark(self, text: str) -> str:
        """Mark the bucket, unless it is marked already; give what it is marked with."""
        found = self.marked()
        if found is None:
            with self._told():
                self._put_mark(text.encode())
            # Not what was put: of two at once, a store that knows of no conditions keeps the last one.
            found = self.marked()
        if found is None:
            raise BlobsAway("the mark that was put into the bucket is not there")
        return found

    def _put_mark(self, content: bytes) -> None:
        try:
            obstore.put(self._questions, MARK, content, mode="create")
        except AlreadyExistsError:
            pass  # somebody else was quicker
        except BaseError as error:
            if NO_CONDITIONS not in str(error):
                raise
            obstore.put(self._questions, MARK, content)

    def marked(self) -> str | None:
        """Give what the bucket is marked with; None: it has no mark."""
        try:
            with self._told():
                return bytes(obstore.get(self._questions, MARK).bytes()).decode(errors="replace")
        except FileNotFoundError:
            return None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what the store says as one of our errors. A bucket that is not there is no blob that is not there."""
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            if isinstance(error, FileNotFoundError) and NO_BUCKET not in str(error):
                raise
            self._failed_at = time.monotonic()
            raise BlobsAway(_in_short(error)) from None


def examine(name: str, prefix: str) -> None:
    """Write, read and remove an object.

    Raises:
        BlobsAway: One of these does not go.
    """
    bucket = Bucket(name, prefix)
    key, received = f"doctor/{secrets.token_hex(8)}", bytearray()
    with tempfile.NamedTemporaryFile() as file:
        file.write(key.encode())
        file.flush()
        bucket.put(key, Path(file.name), sha256(key.encode()).hexdigest())
    try:
        kept_hash = bucket.get(key, received.extend)
    except FileNotFoundError:
        raise BlobsAway("what was written is not there") from None
    finally:
        bucket.delete(key)
    if bytes(received) != key.encode() or kept_hash != sha256(key.encode()).hexdigest():
        raise BlobsAway("it gives something else than it was given; it has to keep the metadata of objects")


def _open(name: str, prefix: str, timeout_s: int) -> S3Store:
    endpoint = next((os.environ[one] for one in ENDPOINTS if os.environ.get(one)), "")
    client: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "timeout": timedelta(seconds=timeout_s),
    }
    retries: RetryConfig = {
        "max_retries": RETRIES,
        "retry_timeout": timedelta(seconds=RETRY_S),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
    }
    return S3Store(name, prefix=prefix or None, client_options=client, retry_config=retries)


def _in_short(error: Exception) -> str:
    return str(error).partition("\n\nDebug source")[0][:500]
