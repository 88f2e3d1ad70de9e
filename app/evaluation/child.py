"""What runs inside a process that applies models to tables, until its parent is gone; it computes in one thread."""

import os
import signal
import threading
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from app.errors import DescentError, NotFound
from app.tables.child import bound_memory, end_with_parent

Verbs = dict[str, Callable[..., Any]]


def serve(descriptor: int, memory_bytes: int | None) -> None:
    """Answer one request after the other: `begun`, then a `piece` each time there is one, then `done` or an error.

    Args:
        descriptor: The child's end of the pipe.
        memory_bytes: Private memory that a request may take, above what the process has when it is ready.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    pipe = Connection(descriptor)
    verbs = _verbs(lambda piece: pipe.send(("piece", piece)))
    if memory_bytes is not None:
        bound_memory(memory_bytes)
    while True:
        try:
            name, arguments, options = pipe.recv()
        except EOFError:
            return
        pipe.send(("begun", None))
        pipe.send(_answer(verbs[name], arguments, options))


def _verbs(send: Callable[[bytes], None]) -> Verbs:
    from app.evaluation.hardest import hardest
    from app.evaluation.importance import importance
    from app.evaluation.measures import evaluate
    from app.evaluation.predictions import predict

    return {"predict": partial(predict, send), "evaluate": evaluate, "importance": importance, "hardest": hardest}


def _answer(verb: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[str, Any]:
    """Give the answer, or the error.

    Lack of memory ends the process, as does a panic of polars (which is no `Exception`): a new process is clean.
    """
    try:
        return "done", verb(*arguments, **options)
    except DescentError as error:
        return "refused", error
    except FileNotFoundError:
        return "refused", NotFound("The model or the dataset was deleted meanwhile.")
    except Exception as error:
        if not isinstance(error, MemoryError):
            return "failed", traceback.format_exc()
    except BaseException:
        traceback.print_exc()
    os._exit(1)
