"""Looks whether an installation is in order: `python -m app.doctor` prints one JSON object a check, `descent doctor` shows them."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from app.queue.life import workers_alive
from app.settings import GIB, Settings, settings
from app.store import identity
from app.store.faults import DATABASE_DOWN, BlobsAway
from app.store.revision import is_current
from app.store.session import Database
from app.worker.machine import blas_kernel

OLDEST = (3, 11)
LITTLE_ROOM_BYTES = GIB
NEEDED = (
    "alembic", "dbos", "fastapi", "httpx", "numpy", "obstore", "onnx", "onnxruntime", "polars", "psycopg", "pydantic",
    "pydantic-settings", "rich", "safetensors", "sqlalchemy", "typer", "uvicorn",
)  # fmt: skip
FAST = ("numba",)
# What a check finds: whether it is in order (None: it is, but could be better), what there is, and what helps.
Finding = tuple[bool | None, str, str]


def python(_: Settings) -> Finding:
    """The interpreter."""
    oldest = ".".join(map(str, OLDEST))
    return sys.version_info >= OLDEST, f"Python {platform.python_version()}", f"Install Python {oldest} or newer."


def packages(_: Settings) -> Finding:
    """What is imported."""
    missing = [name for name in NEEDED if not _is_there(name)]
    if missing:
        return False, f"missing: {', '.join(missing)}", "pip install -r requirements/serve.txt"
    slow = [name for name in FAST if not _is_there(name)]
    if slow:
        return None, f"without {', '.join(slow)}: trainings are slower", "pip install numba"
    return True, f"all {len(NEEDED) + len(FAST)} are there", ""


def database(configured: Settings) -> Finding:
    """Whether it answers, and has our schema."""
    if configured.database_url is None and not (configured.data_dir / "descent.db").exists():
        return (
            None,
            f"none yet in {configured.data_dir.resolve()}",
            "It is made by `descent serve` or `descent migrate`.",
        )
    opened = Database(configured.database)
    try:
        name = "SQLite" if opened.is_sqlite else "PostgreSQL"
        return is_current(opened), f"{name} answers", "Its schema is another version's: `descent migrate`."
    except DATABASE_DOWN as error:
        return False, f"does not answer ({type(error).__name__})", "Start it, or mend DESCENT_DATABASE_URL."
    finally:
        opened.dispose()


def blobs(configured: Settings) -> Finding:
    """Whether files can be written."""
    if configured.bucket is not None:
        return _bucket(configured, *configured.bucket)
    folder = configured.blob_dir
    if not folder.exists():
        return None, f"none yet in {folder}", "The folder is made by `descent serve`."
    return os.access(folder, os.W_OK), f"{folder} can be written", f"Give this user the right to write to {folder}."


def _bucket(configured: Settings, name: str, prefix: str) -> Finding:
    """Whether objects can be written, read and removed, and are this database's."""
    from app.store.blobs_bucket import MARK, Bucket, examine  # only now: its package may be what is missing

    try:
        examine(name, prefix)
        marked = Bucket(name, prefix).marked()
    except (BlobsAway, ValueError) as error:
        said = str(error)
        if "NoSuchBucket" in said:
            return False, f"there is no bucket {name}", "Make the bucket, or mend DESCENT_BLOBS_URL."
        helps = "Mend AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION or AWS_ENDPOINT_URL, or what the key may do."
        return False, f"bucket {name} cannot be used: {said}", helps
    if marked is not None and database(configured)[0] is True and marked != _identity(configured):
        helps = f"Mend DESCENT_BLOBS_URL or DESCENT_DATABASE_URL; its object `{MARK}` is another database's."
        return False, f"bucket {name} holds the files of another database", helps
    return True, f"bucket {name} can be written and read", ""


def _identity(configured: Settings) -> str:
    opened = Database(configured.database)
    try:
        return identity.of(opened)
    finally:
        opened.dispose()


def workers(configured: Settings) -> Finding:
    """Whether somebody trains."""
    if database(configured)[0] is not True:
        return None, "none are looked for without a database", ""
    opened = Database(configured.database)
    try:
        alive = workers_alive(opened, configured.data_dir.resolve())
    finally:
        opened.dispose()
    return (
        alive > 0 or None,
        f"{alive} alive",
        "Nothing is trained until there is one: `descent serve` or `descent worker`.",
    )


def room(configured: Settings) -> Finding:
    """Room on the disk."""
    folder = configured.data_dir.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return free >= LITTLE_ROOM_BYTES or None, f"{free / GIB:.1f} GiB free at {folder}", "Delete what is not needed."


def blas(_: Settings) -> Finding:
    """What multiplies matrices: the bits of a training depend on it."""
    kernel = blas_kernel()
    return kernel is not None or None, f"kernel {kernel or 'unknown'}", "NumPy from PyPI comes with OpenBLAS."


CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "python": python,
    "packages": packages,
    "database": database,
    "blobs": blobs,
    "workers": workers,
    "disk": room,
    "blas": blas,
}


def examine(configured: Settings) -> Iterator[dict[str, Any]]:
    """Give what each check finds."""
    for name, check in CHECKS.items():
        ok, found, helps = check(configured)
        status = {True: "ok", None: "note", False: "bad"}[ok]
        yield {"check": name, "status": status, "found": found, "helps": None if ok else helps or None}


def _is_there(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def main() -> int:
    """Give 0 if nothing is bad."""
    found = list(examine(settings()))
    for one in found:
        sys.stdout.write(json.dumps(one) + "\n")
    return 1 if any(one["status"] == "bad" for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
