"""What can go wrong outside of us, and passes: database or store are away, there is no room on the disk, or it did not answer."""

import errno

from psycopg.errors import DiskFull
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

# Each is the class of an error that a lost, refused, restarted or overloaded database shows itself by.
DATABASE_DOWN: tuple[type[Exception], ...] = (OperationalError, InterfaceError, NoConnection)
# Some of these pass: `is_passing` tells which.
OUTSIDE: tuple[type[Exception], ...] = (DBAPIError, NoConnection, OSError)
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class BlobsAway(OSError):
    """The store of the blobs does not answer, or refuses."""


def is_broken(error: Exception) -> bool:
    """Tell whether a disk answered with an error of its own, which may be the last of its life."""
    return isinstance(error, OSError) and error.errno == errno.EIO


def is_full(error: Exception) -> bool:
    """Tell whether there was no room: for a file, in SQLite's, or on PostgreSQL's disk."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return isinstance(error, DBAPIError) and (
        isinstance(error.orig, DiskFull) or "disk is full" in str(error.orig).lower()
    )


def is_passing(error: Exception) -> bool:
    """Tell whether the same may go well later."""
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, (*DATABASE_DOWN, BlobsAway)) or is_full(error) or is_broken(error)
