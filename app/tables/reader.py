"""A child process that reads tables, so that the API process neither loads polars nor grows with what is sent to it."""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.child_process import ChildProcess
from app.contract.datasets import Column, Format, Kind
from app.contract.preprocessing import AnyValidation, ClassWeight, Preprocessing
from app.contract.profiles import ColumnProfile
from app.errors import DescentError, Unavailable, UnreadableTable
from app.tables.choice import Choice
from app.tables.fitted import Fitted
from app.tables.summary import Limits, ReadOptions, TableSummary
from app.tables.suspects import Suspects


class TableReader:
    """One child process that reads one table after the other. Safe to use from any thread.

    A call that takes longer than `timeout_s`, or that needs more than `memory_bytes`, ends the child; the next call has a new one.
    """

    def __init__(self, *, timeout_s: float, memory_bytes: int | None = None) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._closed = False
        self._child = self._start()

    def read_table(
        self,
        source: Path,
        format: Format | None,
        kinds: Mapping[str, Kind],
        table: Path,
        limits: Limits,
        options: ReadOptions = ReadOptions(),  # noqa: B008
        *,
        timeout_s: float | None = None,
    ) -> TableSummary:
        """Read an upload into a typed table; see `reading.read_table`."""
        try:
            summary: TableSummary = self._call(
                "read_table", (source, format, dict(kinds), table, limits, options), {}, timeout_s
            )
        except DescentError:
            for left in table.parent.glob(f".{table.name}.*"):  # a child that was killed leaves its temporary file
                left.unlink(missing_ok=True)
            raise
        return summary

    def preview(
        self, table: Path, limit: int, *, offset: int = 0, timeout_s: float | None = None
    ) -> list[dict[str, Any]]:
        """Give some rows; see `reading.preview`."""
        rows: list[dict[str, Any]] = self._call("preview", (table, limit, offset), {}, timeout_s)
        return rows

    def profile(self, table: Path, columns: Sequence[Column], *, timeout_s: float | None = None) -> list[ColumnProfile]:
        """Look at how values are distributed; see `profile.profile`."""
        profiles: list[ColumnProfile] = self._call("profile", (table, tuple(columns)), {}, timeout_s)
        return profiles

    def fit(
        self,
        table: Path,
        choice: Choice,
        preprocessing: Preprocessing,
        *,
        validation: AnyValidation | None,
        seed: int,
        one_output: bool,
        scale_targets: bool,
        class_weight: ClassWeight | None = None,
        validation_table: Path | None = None,
        dtype: str = "float64",
        timeout_s: float | None = None,
    ) -> Fitted:
        """Fit the preprocessing; see `preparation.fit`."""
        options = {
            "validation": validation,
            "seed": seed,
            "one_output": one_output,
            "scale_targets": scale_targets,
            "class_weight": class_weight,
            "validation_table": validation_table,
            "dtype": dtype,
        }
        fitted: Fitted = self._call("fit", (table, choice, preprocessing), options, timeout_s)
        return fitted

    def confirm(self, table: Path, found: Suspects, *, timeout_s: float | None = None) -> dict[str, str]:
        """Tell which suspected columns are to be left out, and why; see `looking.confirm`."""
        confirmed: dict[str, str] = self._call("confirm", (table, found), {}, timeout_s)
        return confirmed

    def leaks(self, table: Path, choice: Choice, *, timeout_s: float | None = None) -> dict[str, str]:
        """Tell which features give the target away, and how; see `looking.leaks`."""
        found: dict[str, str] = self._call("leaks", (table, choice), {}, timeout_s)
        return found

    def close(self) -> None:
        """End the child. A call that is running ends with an error."""
        self._closed = True
        self._child.kill()
        with self._lock:
            self._child.end()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def _start(self) -> ChildProcess:
        return ChildProcess("app.tables.child", self._memory_bytes)

    def _restart(self) -> None:
        self._child.end()
        self._child = self._start()
        if self._closed:
            self._child.end()

    def _call(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any], timeout_s: float | None) -> Any:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        with self._lock:
            if self._closed:
                raise RuntimeError("the table process is closed")
            answer = self._exchange((name, arguments, options), time.monotonic() + timeout_s)
        match answer:
            case ("done", result):
                return result
            case ("refused", DescentError() as error):
                raise error
            case (_, traceback):
                raise RuntimeError(f"the table process failed:\n{traceback}")

    def _exchange(self, request: tuple[Any, ...], deadline: float) -> tuple[str, Any]:
        """Send a request and await its answer; a child that is too slow, or that ends, is replaced."""
        try:
            self._begin(request, deadline)
            answer: tuple[str, Any] = self._child.receive(deadline)
            return answer
        except TimeoutError:
            error = UnreadableTable("reading the dataset took longer than this installation allows", code="too_slow")
        except (EOFError, OSError):
            error = UnreadableTable("reading the dataset failed: the file is damaged, or needs too much memory")
        if self._closed:
            raise Unavailable("the service is stopping")
        self._restart()
        raise error

    def _begin(self, request: tuple[Any, ...], deadline: float) -> None:
        """Hand the request over; a child that had ended before it began with it is replaced, once."""
        for is_last in (False, True):
            try:
                self._child.ask(request, deadline)
            except TimeoutError:
                raise
            except (EOFError, OSError):
                if is_last or self._closed:
                    raise
                self._restart()
            else:
                return
