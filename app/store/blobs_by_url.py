"""The blobs of an installation, in the folder or in the bucket that its settings name."""

from functools import partial

from app.settings import Settings
from app.store import identity
from app.store.blobs import Blobs
from app.store.session import Database


def open_blobs(configured: Settings, database: Database | None = None) -> Blobs:
    """Open them. Nothing is asked of a bucket yet, so that a service starts while it is away.

    Args:
        database: Before a bucket is changed for the first time, it is seen that it is this one's.
    """
    if configured.bucket is None:
        return Blobs(configured.blob_dir)
    # Only now: who keeps a folder shall not load what speaks to buckets.
    from app.store.blobs_bucket import Bucket
    from app.store.blobs_remote import RemoteBlobs

    owner = None if database is None else partial(identity.of, database)
    return RemoteBlobs(configured.blob_dir, Bucket(*configured.bucket), configured.blob_cache_bytes, owner)
