"""What can go wrong outside of us, and passes: database or store are away, there is no room on the disk, or it did not answer."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from app.store.disk import has_no_room, is_broken

DISK_FULL = "53100"
"""How PostgreSQL says that there is no room. Its driver is not imported for that: many a process has SQLite only."""
# Each is the class of an error that a lost, refused, restarted or overloaded database shows itself by.
DATABASE_DOWN: tuple[type[Exception], ...] = (OperationalError, InterfaceError, NoConnection)
# Some of these pass: `is_passing` tells which.
OUTSIDE: tuple[type[Exception], ...] = (DBAPIError, NoConnection, OSError)


class BlobsAway(OSError):
    """The store of the blobs does not answer, or refuses."""


class WrongStore(BlobsAway):
    """The store of the blobs is another database's. Whoever gives it back its own need not start anything again."""


def is_full(error: Exception) -> bool:
    """Tell whether there was no room: for a file, in SQLite's, or on PostgreSQL's disk."""
    if isinstance(error, DBAPIError):
        return getattr(error.orig, "sqlstate", None) == DISK_FULL or "disk is full" in str(error.orig).lower()
    return has_no_room(error)


def is_passing(error: Exception) -> bool:
    """Tell whether the same may go well later."""
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, (*DATABASE_DOWN, BlobsAway)) or is_full(error) or is_broken(error)
