"""What runs inside the exporting process: it writes and checks one file after the other, until nobody has asked for a while."""

import os
import traceback
from hashlib import file_digest
from multiprocessing.connection import Connection
from pathlib import Path

from app.child_process import bound_memory, live_with_parent
from app.exports.checks import Subject, check
from app.exports.files import CannotWrite, write
from app.exports.process import Exported, Order
from app.exports.samples import sample_rows
from app.exports.weights import from_npz
from app.tables.fitted import FittedPreprocessing

IDLE_S = 60.0


def serve(descriptor: int, memory_bytes: int) -> None:
    """Answer one order after the other; ends by itself when there is none for a minute.

    Args:
        descriptor: The child's end of the pipe.
        memory_bytes: Private memory that an order may take, above what the process has when it is ready.
    """
    live_with_parent()
    bound_memory(memory_bytes)
    pipe = Connection(descriptor)
    while pipe.poll(IDLE_S):
        try:
            order: Order = pipe.recv()
        except EOFError:
            return
        pipe.send("begun")
        pipe.send(_answer(order))


def _answer(order: Order) -> Exported:
    """Carry an order out. Whatever goes wrong is told; lack of memory ends the process, since a new one is clean."""
    try:
        return export(order)
    except CannotWrite as error:
        return Exported(fault=str(error))
    except MemoryError:
        os._exit(1)
    except Exception:
        return Exported(fault="", traceback=traceback.format_exc())


def export(order: Order) -> Exported:
    """Write a model's file (an `.npz` is there already), open it again and compare it with the engine."""
    if hash_of(order.npz) != order.npz_sha256:
        return Exported(fault="The stored weights are damaged: they do not have the hash that they were stored with.")
    arrays = from_npz(order.npz.read_bytes())
    preprocessing = FittedPreprocessing.from_json(order.preprocessing)
    if order.target != order.npz:
        order.target.write_bytes(write(order.format, order.network, arrays, preprocessing))
    rows = sample_rows(preprocessing, order.table)
    checked = check(order.format, order.target, Subject(order.network, arrays, preprocessing, order.dtype, rows))
    return Exported(checked=checked, sha256=hash_of(order.target), size_bytes=order.target.stat().st_size)


def hash_of(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
