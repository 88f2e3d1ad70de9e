"""Files that are needed only while an upload is read, beside the table that it becomes."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MakePath = Callable[[], Path]


@contextmanager
def scratch_beside(table: Path) -> Iterator[MakePath]:
    """Give a function that names temporary files; they are removed at the end.

    Their names begin with a dot and the table's: whoever had to kill the reading process finds them by that.
    """
    made: list[Path] = []

    def make() -> Path:
        made.append(table.with_name(f".{table.name}.{secrets.token_hex(8)}"))
        return made[-1]

    try:
        yield make
    finally:
        for path in made:
            path.unlink(missing_ok=True)
