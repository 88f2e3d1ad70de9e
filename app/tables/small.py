"""Tables that are small are read once, not at each look at them: to open one takes a millisecond, and a training does so often."""

from pathlib import Path

import polars as pl

from app.settings import KIB

SMALL_BYTES = 256 * KIB
MOST_KEPT = 2

_kept: dict[tuple[Path, int, int], pl.DataFrame] = {}


def small_table(table: Path) -> pl.DataFrame | None:
    """Give a typed table that is small, as its file is now; None for another."""
    file = table.stat()
    if file.st_size > SMALL_BYTES:
        return None
    frame = _kept.get((table, file.st_ino, file.st_mtime_ns))
    if frame is None:
        frame = pl.read_ipc(table.read_bytes())  # a path would be taken for a pattern
        _keep((table, file.st_ino, file.st_mtime_ns), frame)
    return frame


def keep(table: Path, frame: pl.DataFrame) -> None:
    """Take note of what was read from a table that was written just now, and is small."""
    file = table.stat()
    _keep((table, file.st_ino, file.st_mtime_ns), frame)


def _keep(version: tuple[Path, int, int], frame: pl.DataFrame) -> None:
    while len(_kept) >= MOST_KEPT:
        _kept.pop(next(iter(_kept)))
    _kept[version] = frame
