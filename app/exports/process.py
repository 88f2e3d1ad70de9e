"""A child process that writes and checks model files, so that the API process loads neither ONNX nor its runtime."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.child_process import ChildProcess
from app.contract.models import WeightsFormat
from engine.spec import NetworkSpec

if TYPE_CHECKING:
    from app.exports.checks import Checked


@dataclass(frozen=True)
class Order:
    """A file that is wanted.

    Args:
        npz: The stored weights, and their hash.
        preprocessing: As JSON.
        table: The dataset, for sample rows; it may be gone.
        target: Where the file goes; `npz` itself if that is only to be checked.
    """

    format: WeightsFormat
    npz: Path
    npz_sha256: str
    network: NetworkSpec
    preprocessing: Mapping[str, Any]
    dtype: str
    table: Path | None
    target: Path


@dataclass(frozen=True)
class Exported:
    """What became of an order: a file and what its check found, or why there is none (a text for the client, one for the log)."""

    checked: "Checked | None" = None
    sha256: str = ""
    size_bytes: int = 0
    fault: str | None = None
    traceback: str | None = None


class Exporter:
    """One child process, started when it is first needed, that exports one file after the other. Safe to use from any thread.

    An export that takes longer than `timeout_s`, or more than `memory_bytes`, ends the child; the next one has a new child.
    The child ends by itself when it is idle.
    """

    def __init__(self, *, timeout_s: float, memory_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._child: ChildProcess | None = None
        self._closed = False

    def export(self, order: Order) -> Exported:
        """Write and check a file."""
        with self._lock:
            if self._closed:
                return Exported(fault="The service is stopping.")
            try:
                return self._exchange(order, time.monotonic() + self._timeout_s)
            except TimeoutError:
                fault = "Writing and checking the file took longer than this installation allows."
            except (EOFError, OSError):
                fault = "Writing and checking the file failed, most likely for lack of memory."
            self._stop()
            return Exported(fault=fault)

    def close(self) -> None:
        """End the child. An export that is running ends with a fault."""
        self._closed = True
        if self._child is not None:
            self._child.kill()
        with self._lock:
            self._stop()

    @property
    def pid(self) -> int | None:
        """The child's process id; None if there is no child."""
        return self._child.pid if self._child is not None and self._child.is_alive else None

    def _exchange(self, order: Order, deadline: float) -> Exported:
        """Hand an order over and await what comes of it; a child that had ended before it began is replaced, once."""
        for is_last in (False, True):
            if self._child is None:
                self._child = ChildProcess("app.exports.child", self._memory_bytes, one_thread=True)
            try:
                self._child.ask(order, deadline)
            except TimeoutError:
                raise
            except (EOFError, OSError):
                self._stop()
                if is_last or self._closed:
                    raise
            else:
                break
        assert self._child is not None
        exported = self._child.receive(deadline)
        assert isinstance(exported, Exported)
        return exported

    def _stop(self) -> None:
        if self._child is not None:
            self._child.end()
        self._child = None
