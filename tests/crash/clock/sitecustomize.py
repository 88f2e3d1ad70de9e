"""Loaded by Python itself before all else, if this folder is on PYTHONPATH: the time of day is what a file says it is off by.

The clocks that only run on are left alone, as they are when somebody sets a machine's clock. (libfaketime 0.9.10 breaks
`time.sleep` of Python 3.11: it cannot wait for a point of the monotonic clock.)
"""

import datetime as module
import os
import time
from pathlib import Path
from typing import Any

OFFSET = Path(os.environ["TEST_CLOCK"])

_time, _time_ns, _datetime = time.time, time.time_ns, module.datetime


def _offset_s() -> int:
    return int(OFFSET.read_text())


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)


class _SetDatetime(_datetime, metaclass=_AnyDatetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(module.UTC).replace(tzinfo=None)


time.time = lambda: _time() + _offset_s()
time.time_ns = lambda: _time_ns() + _offset_s() * 10**9
module.datetime = _SetDatetime  # type: ignore[misc]
