"""The blobs of an installation, in the folder or in the bucket that its settings name."""

from app.settings import Settings
from app.store.blobs import Blobs


def open_blobs(configured: Settings) -> Blobs:
    """Open them. Nothing is asked of a bucket yet, so that a service starts while it is away."""
    if configured.bucket is None:
        return Blobs(configured.blob_dir)
    # Only now: who keeps a folder shall not load what speaks to buckets.
    from app.store.blobs_bucket import Bucket
    from app.store.blobs_remote import RemoteBlobs

    return RemoteBlobs(configured.blob_dir, Bucket(*configured.bucket), configured.blob_cache_bytes)
