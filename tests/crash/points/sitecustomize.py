"""Points at which a process of the service kills itself, once: when the file TEST_ARMED holds the name of the point.

The service has no such points. Python imports a module of this name at its start, if PYTHONPATH leads to it; as soon as one
of the modules below is loaded, its function is wrapped. So the points are in every process: API, worker, training process.
"""

import functools
import os
import signal
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

BEFORE, AFTER = "before", "after"
POINTS = {
    # The last act of each transaction is not yet committed; then the whole verb is done, and only the answer is missing.
    "job stored": ("app.services.submit", "once", AFTER),
    "job committed": ("app.services.submit", "submit", AFTER),
    "bytes saved": ("app.store.contents", "save", AFTER),
    "dataset stored": ("app.services.datasets", "once", AFTER),
    "dataset committed": ("app.services.datasets", "create", AFTER),
    "fork committed": ("app.services.forks", "fork", AFTER),
    "model stored": ("app.services.foreign", "once", AFTER),
    "model committed": ("app.services.foreign", "create", AFTER),
    "job taken": ("app.store.jobs", "claim", AFTER),
    "taking committed": ("app.worker.run", "_Run.train", BEFORE),
    "record written": ("app.store.jobs", "record", AFTER),
    "record committed": ("app.worker.run", "_Run._record", AFTER),
    "pause committed": ("app.worker.run", "_Run._pause", AFTER),
    "weights stored": ("app.worker.run", "store_weights", AFTER),
    "model published": ("app.worker.run", "_Run._publish", AFTER),
    "queue not told of the end": ("app.worker.children", "Children.train", AFTER),
    "queue not told of the hand-back": ("app.queue.jobs", "JobQueue.give_back", BEFORE),
}


def _pass(point: str) -> None:
    armed = Path(os.environ["TEST_ARMED"])
    if armed.exists() and armed.read_text() == point:
        armed.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _wrap(module: Any) -> None:
    for point, (name, function, when) in POINTS.items():
        if name == module.__name__:
            *classes, last = function.split(".")
            place = functools.reduce(getattr, classes, module)
            setattr(place, last, _wrapped(getattr(place, last), point, when))


def _wrapped(function: Any, point: str, when: str) -> Any:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        if when == BEFORE:
            _pass(point)
        try:
            return function(*arguments, **options)
        finally:
            if when == AFTER:
                _pass(point)

    return wrapped


class _Finder(MetaPathFinder):
    """Finds what everybody finds, and has it wrapped once it is loaded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in {module for module, _, _ in POINTS.values()}:
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None
        loader: Any = spec.loader
        load = loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            _wrap(module)

        loader.exec_module = exec_module
        return spec


if "TEST_ARMED" in os.environ:
    sys.meta_path.insert(0, _Finder())
