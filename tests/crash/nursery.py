"""Training processes that start in 20 ms: forks of one that has loaded everything. `python -m tests.crash.nursery`.

Each line on standard input is a data folder with two pipes in it. A fork of this process becomes `app.worker.child` on that
folder, takes its tickets from the one and answers into the other; its id is printed. A worker starts the same module anew.
"""

import os
import sys
from pathlib import Path

from app.worker import child
from app.worker.warm import warm_all

TICKETS, ANSWERS = "tickets.pipe", "answers.pipe"


def main() -> None:
    warm_all()
    _say("ready")
    for line in sys.stdin:
        folder = Path(line.strip())
        pid = os.fork()
        if pid == 0:
            train(folder)
        _say(pid)
        os.waitpid(pid, 0)
        _say("ended")


def _say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def train(folder: Path) -> None:
    """Be the training process of a worker, until its tickets end."""
    os.environ["DESCENT_DATA_DIR"] = str(folder)
    for descriptor, name, flags in ((0, TICKETS, os.O_RDONLY), (1, ANSWERS, os.O_WRONLY)):
        opened = os.open(folder / name, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    try:
        child.main()
    finally:
        os._exit(child.FAULT)


if __name__ == "__main__":
    main()
