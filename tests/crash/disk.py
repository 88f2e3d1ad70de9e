"""A disk as it may be after a power cut, from the system calls that strace wrote down.

Only what was synced is certain: bytes by `fsync` of their file, names by `fsync` of their folder. Of the rest any part may be
there, in any order, a write in part. That is less than file systems promise, and all that POSIX does.
"""

import itertools
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TRACED = (
    "openat,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,copy_file_range,sendfile,splice"
)
STRACE = (
    "strace", "-D", "-f", "-ff", "--seccomp-bpf", "-q", "-y", "-xx", "-s", "16777216", "-e", f"trace={TRACED}",
    "--absolute-timestamps=format:unix,precision:ns", "--syscall-times=ns",
)  # fmt: skip
SECTOR = 512

_LINE = re.compile(r"(\d+\.\d+) (\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?.*? <(\d+\.\d+)>$", re.DOTALL)
_ARGUMENT = re.compile(r'(-?\w+)?<([^>]*)>|"([^"]*)"|([^,\s"<>]+)')


@dataclass(frozen=True)
class Call:
    """A system call that went well: when it began and had ended, its arguments with paths in place of descriptors."""

    began_at: float
    ended_at: float
    name: str
    arguments: list[bytes]
    result: int


def read_log(files: Iterable[Path], root: Path) -> Iterator[Call]:
    """Read what strace wrote of files below `root`, from a file for each thread."""
    named = "".join(f"\\x{byte:02x}" for byte in str(root).encode())
    for file in files:
        for line in file.read_text().splitlines():
            # A file that has no name any more is none that a power cut leaves.
            found = None if named not in line or "(deleted)" in line else _LINE.match(line)
            if found is None or int(found[4]) < 0:
                continue
            arguments = [_bytes(a[1] or a[2] or a[3]) for a in _ARGUMENT.findall(found[3])]
            began_at = float(found[1])
            yield Call(began_at, began_at + float(found[6]), found[2], arguments, int(found[4]))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()


@dataclass
class File:
    """A file: what is certainly on the disk, and what was written since."""

    synced: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)  # where and what; None: cut off there
    n_synced: int = 0  # so many changes are in `synced`
    position: int = 0

    def written(self, since: Iterable[tuple[int, bytes | None]]) -> bytes:
        """Give the content if of all that was written since, this much got to the disk."""
        content = bytearray(self.synced)
        for at, piece in since:
            if len(content) < at:
                content.extend(bytes(at - len(content)))
            if piece is None:
                del content[at:]
            else:
                content[at : at + len(piece)] = piece
        return bytes(content)

    def sync(self, covered: int) -> None:
        """Make the first `covered` changes of all certain."""
        n = max(0, covered - self.n_synced)
        self.synced, self.since, self.n_synced = self.written(self.since[:n]), self.since[n:], self.n_synced + n

    def now(self) -> bytes:
        """Give the content that a reader sees."""
        return self.written(self.since)


FOLDER = File()
Names = dict[str, File]


class Disk:
    """The files below one folder, and what of them is certain.

    Args:
        root: The folder.
        before: A copy of it from before the calls, which is taken as synced.
        ignores: Syncs of such a path are left out, as by a program that forgot them.
    """

    def __init__(self, root: Path, before: Path, ignores: Callable[[str], bool] = lambda _: False) -> None:
        self._root = str(root)
        self._ignores = ignores
        self.names: Names = {}
        for path in before.rglob("*"):
            self.names[str(root / path.relative_to(before))] = FOLDER if path.is_dir() else File(path.read_bytes())
        self._synced_names = dict(self.names)
        self._since: list[tuple[int, str, File | None]] = []
        self._n_named = 0

    def replay(self, calls: Iterable[Call]) -> Iterator[float]:
        """Do what the calls did, in the order of their ends; give the time after each that changed something.

        A sync covers what had been done when it began.
        """
        order = itertools.count()
        steps = []
        for call in calls:
            syncs = call.name in {"fsync", "fdatasync"}
            if syncs:
                steps.append((call.began_at, next(order), call, True))
            steps.append((call.ended_at, next(order), call, False))
        begun: dict[int, tuple[int, File | None]] = {}
        for at, _, call, is_begin in sorted(steps, key=lambda step: step[:2]):
            if is_begin:
                file = self.names.get(call.arguments[0].decode())
                is_file = file is not None and file is not FOLDER
                begun[id(call)] = (file.n_synced + len(file.since), file) if is_file else (self._n_named, None)
            elif call.name in {"fsync", "fdatasync"}:
                self._sync(call.arguments[0].decode(), *begun.pop(id(call)))
                yield at
            elif self._do(call):
                yield at

    def _sync(self, path: str, covered: int, file: File | None) -> None:
        if self._ignores(path):
            return
        if file is not None:
            file.sync(covered)
            return
        kept = []
        for number, name, target in self._since:
            if number < covered and os.path.dirname(name) == path:  # noqa: PTH120 - it is done a million times
                _set(self._synced_names, name, target)
            else:
                kept.append((number, name, target))
        self._since = kept

    def _do(self, call: Call) -> bool:
        path, *others = _paths(call)
        if not path.startswith(self._root + "/"):
            return False
        file = self.names.get(path)
        match call.name:
            case "openat" | "creat":
                self._open(path, call.arguments[2] if call.name == "openat" else b"O_CREAT|O_TRUNC")
            case "write" if file is not None:
                file.since.append((file.position, call.arguments[1][: call.result]))
                file.position += call.result
            case "pwrite64" if file is not None:
                file.since.append((int(call.arguments[3]), call.arguments[1][: call.result]))
            case "lseek" if file is not None:
                file.position = call.result
            case "ftruncate" | "truncate" if file is not None:
                file.since.append((int(call.arguments[1]), None))
            case "rename" | "renameat" | "renameat2" | "link" | "linkat":
                assert file is not None, call
                self._name(others[0], file)
                if call.name.startswith("rename"):
                    self._name(path, None)
            case "mkdir" | "mkdirat":
                self._name(path, FOLDER)
            case "unlink" | "unlinkat" | "rmdir":
                self._name(path, None)
            case "writev" | "pwritev" | "pwritev2" | "fallocate" | "copy_file_range" | "sendfile" | "splice":
                raise NotImplementedError(f"{call.name} of {path}")
            case _:
                return False
        return True

    def _open(self, path: str, flags: bytes) -> None:
        if path not in self.names and b"O_CREAT" in flags:
            self._name(path, File())
        file = self.names.get(path)
        if file is None or file is FOLDER:
            return
        if b"O_TRUNC" in flags:
            file.since.append((0, None))
        file.position = len(file.now()) if b"O_APPEND" in flags else 0

    def _name(self, path: str, file: File | None) -> None:
        self._since.append((self._n_named, path, file))
        self._n_named += 1
        _set(self.names, path, file)

    def build(self, folder: Path, chance: random.Random | None) -> None:
        """Put into `folder` what a power cut leaves now: of what is not synced nothing, or any part of it."""
        names = dict(self._synced_names)
        for _, name, file in self._since:
            if chance is not None and chance.random() < 0.5:
                _set(names, name, file)
        for name in sorted(names):
            target = folder / Path(name).relative_to(self._root)
            if not target.parent.is_dir() or name.endswith("-shm"):
                continue  # the folder's own name was lost, and all below it; or it was memory, not disk
            file = names[name]
            if file is FOLDER:
                target.mkdir()
            else:
                target.write_bytes(file.written(_some(file.since, chance)))


def _some(since: list[tuple[int, bytes | None]], chance: random.Random | None) -> list[tuple[int, bytes | None]]:
    """Choose what got to the disk: a beginning of it, or any part; of a write perhaps some sectors only."""
    if chance is None:
        return []
    if chance.random() < 0.5:
        return since[: chance.randint(0, len(since))]
    some = [step for step in since if chance.random() < 0.5]
    if some and chance.random() < 0.5:
        number = chance.randrange(len(some))
        at, piece = some[number]
        if piece is not None and len(piece) > SECTOR:
            some[number] = at, piece[: SECTOR * chance.randint(1, len(piece) // SECTOR)]
    return some


def _set(names: Names, path: str, file: File | None) -> None:
    if file is None:
        names.pop(path, None)
    else:
        names[path] = file


def _paths(call: Call) -> list[str]:
    """Give the paths that a call is about."""
    given = call.arguments
    if call.name in {"openat", "mkdirat", "unlinkat"}:
        pairs = [given[:2]]
    elif call.name in {"renameat", "renameat2", "linkat"}:
        pairs = [given[:2], given[2:4]]
    else:
        pairs = [[path] for path in (given[:2] if call.name in {"rename", "link"} else given[:1])]
    return [str(Path(*(part.decode() for part in pair))) for pair in pairs]
