"""A service of one's own, for one command: it starts on a free port, and ends with the process that started it.

`python -m descent.local` is that service's process.
"""

import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from descent.errors import Unreachable

ENDS_WITHIN_S = 20.0
_ADDRESS = re.compile(r"page\s+(http://\S+?)/?\s*$", re.MULTILINE)


@contextmanager
def service(data_dir: Path | None = None) -> Iterator[str]:
    """Give the address of a service that runs during the block.

    Args:
        data_dir: Where it keeps everything; None: a folder that is deleted at the end.

    Raises:
        Unreachable: It does not start; the message has the end of its log.
    """
    with tempfile.TemporaryDirectory(prefix="descent-") as scratch, (Path(scratch) / "log.txt").open("w+b") as log:
        process = _start(data_dir or Path(scratch) / "data", log)
        try:
            yield _address(process, log)
        finally:
            _end(process)


def _start(data_dir: Path, log: BinaryIO) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if name != "DESCENT_URL"}
    said = {"DESCENT_DATA_DIR": str(data_dir.resolve()), "DESCENT_HOST": "127.0.0.1", "DESCENT_PORT": "0"}
    return subprocess.Popen(
        [sys.executable, "-m", "descent.local"],
        env={**kept, **said},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        # Ctrl-C is for us; what is running is ended in good order.
        start_new_session=True,
    )


def _address(process: subprocess.Popen[bytes], log: BinaryIO) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = _ADDRESS.search(line.decode())
        if found:
            return found[1]
    log.seek(0)
    said = log.read().decode(errors="replace").strip().splitlines()[-15:]
    raise Unreachable("\n".join(["The service did not start:", *said]))


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with_stdin() -> None:
    # Not by `sys.stdin`: a thread that waits in it when the process ends takes it down with a fatal error.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    runpy.run_module("app", run_name="__main__", alter_sys=True)
