"""The sign that a worker works, for its container's healthcheck: `python -m app.worker.health /tmp/worker.sign`.

A worker that is given `--sign FILE` renews the file after each look at the queue that the database answered. The check reads
it, which costs 10 ms of CPU; a check that asked the database itself would first load its driver, for 30 times as much.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

OPTION = "--sign"
SILENT_S = 10.0


def shower(arguments: list[str]) -> Callable[[], None]:
    """Give what shows the sign that the command line asks for; it does nothing if none is asked for."""
    if OPTION not in arguments:
        return lambda: None
    sign = Path(arguments[arguments.index(OPTION) + 1])
    draft = sign.with_suffix(".draft")

    def show() -> None:
        # Not the file's own time: the machine's clock may be set, and this one only runs.
        draft.write_text(repr(time.monotonic()))
        draft.replace(sign)

    return show


def is_fresh(sign: Path) -> bool:
    """Say whether the worker told so lately."""
    try:
        return 0 <= time.monotonic() - float(sign.read_text()) < SILENT_S
    except (OSError, ValueError):
        return False


def main() -> int:
    """Give 0 if the sign is fresh."""
    return 0 if is_fresh(Path(sys.argv[1])) else 1


if __name__ == "__main__":
    sys.exit(main())
