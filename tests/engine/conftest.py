"""Checks the shapes of every call into `engine` while these tests run.

The check is an import hook, so it must see the first import of `engine`. Where other tests imported it before, these tests get
a second, checked copy, and the others keep theirs.
"""

import importlib
import sys
from pathlib import Path

from jaxtyping import install_import_hook

from tests.engine import checker

ROOT = Path(__file__).parents[2]


def _engine_modules() -> list[str]:
    return [name for name in sys.modules if name == "engine" or name.startswith("engine.")]


# What Numba makes machine code of is left as it is: it compiles no checks.
COMPILED = tuple(f"engine.{name}" for name in ("compiled", "tiles") if (ROOT / "engine" / f"{name}.py").exists())

_others = {name: sys.modules.pop(name) for name in _engine_modules()}
_compiled = {name: importlib.import_module(name) for name in COMPILED}
for name in _engine_modules():
    del sys.modules[name]
sys.modules.update(_compiled)
with install_import_hook("engine", f"{checker.__name__}.checked"):
    for path in sorted((ROOT / "engine").glob("*.py")):
        if f"engine.{path.stem}" in COMPILED:
            continue
        importlib.import_module("engine" if path.stem == "__init__" else f"engine.{path.stem}")


def pytest_collection_finish() -> None:
    if _others:
        for name in _engine_modules():
            del sys.modules[name]
        sys.modules.update(_others)
