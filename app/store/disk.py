"""What a disk answers when it cannot do what it is asked."""

import errno
import re

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def has_no_room(error: Exception) -> bool:
    """Tell whether there was no room for a file."""
    return isinstance(error, OSError) and _number(error) in _NO_ROOM


def is_broken(error: Exception) -> bool:
    """Tell whether a disk answered with an error of its own, which may be the last of its life."""
    return isinstance(error, OSError) and _number(error) == errno.EIO


def _number(error: OSError) -> int | None:
    """Give the system's number of an error; polars only writes it into the message."""
    if error.errno is not None:
        return error.errno
    written = re.search(r"\(os error (\d+)\)", str(error))
    return None if written is None else int(written[1])
