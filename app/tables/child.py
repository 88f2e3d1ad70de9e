"""What runs inside the table process: it reads what it is told to, until its parent is gone."""

import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.child_process import bound_memory, live_with_parent
from app.contract.datasets import Format
from app.errors import DescentError, NotFound, StorageFull
from app.store.disk import has_no_room
from app.tables.summary import Limits


def serve(descriptor: int, memory_bytes: int | None) -> None:
    """Answer one request after the other; the first message says that the request was begun with.

    Args:
        descriptor: The child's end of the pipe.
        memory_bytes: Private memory that a request may take, above what the process has when it is ready.
    """
    live_with_parent()
    verbs = _warm_verbs()
    if memory_bytes is not None:
        bound_memory(memory_bytes)
    pipe = Connection(descriptor)
    while True:
        try:
            name, arguments, options = pipe.recv()
        except EOFError:
            return
        pipe.send("begun")
        pipe.send(answer(verbs[name], arguments, options, gone="The dataset was deleted this very moment."))


def _warm_verbs() -> dict[str, Callable[..., Any]]:
    """Import what reads tables, and read a small one, before the first request comes: polars has then started its threads."""
    from app.tables.looking import confirm, leaks
    from app.tables.preparation import fit
    from app.tables.profile import profile
    from app.tables.reading import preview, read_table

    with TemporaryDirectory() as folder:
        source, table = Path(folder, "source"), Path(folder, "table")
        source.write_text("number,word\n1.5,a\n2.5,b\n")
        read_table(source, Format.CSV, {}, table, Limits(max_rows=2, max_columns=2))
        preview(table, 1)
    return {
        "read_table": read_table,
        "preview": preview,
        "profile": profile,
        "fit": fit,
        "confirm": confirm,
        "leaks": leaks,
    }


def answer(
    verb: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any], *, gone: str
) -> tuple[str, Any]:
    """Give the answer, or the error; `gone` is what a client is told when a file is no longer there.

    Lack of memory ends the process, as does a panic of polars (which is no `Exception`): a new process is clean.
    """
    try:
        return "done", verb(*arguments, **options)
    except DescentError as error:
        return "refused", error
    except FileNotFoundError:
        return "refused", NotFound(gone)
    except Exception as error:
        if has_no_room(error):
            return "refused", StorageFull("There is no room left to work on it; nothing was stored.")
        if not isinstance(error, MemoryError):
            return "failed", traceback.format_exc()
    except BaseException:
        traceback.print_exc()
    os._exit(1)
