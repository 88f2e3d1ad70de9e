"""What runs inside a process that applies models to tables, until its parent is gone; it computes in one thread."""

from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from app.child_process import bound_memory, live_with_parent
from app.tables.child import answer

Verbs = dict[str, Callable[..., Any]]
GONE = "The model or the dataset was deleted meanwhile."


def serve(descriptor: int, memory_bytes: int | None) -> None:
    """Answer one request after the other: `begun`, then a `piece` each time there is one, then `done` or an error.

    Args:
        descriptor: The child's end of the pipe.
        memory_bytes: Private memory that a request may take, above what the process has when it is ready.
    """
    live_with_parent()
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
        pipe.send(answer(verbs[name], arguments, options, gone=GONE))


def _verbs(send: Callable[[bytes], None]) -> Verbs:
    from app.evaluation.hardest import hardest
    from app.evaluation.importance import importance
    from app.evaluation.measures import evaluate
    from app.evaluation.predictions import predict

    return {"predict": partial(predict, send), "evaluate": evaluate, "importance": importance, "hardest": hardest}
