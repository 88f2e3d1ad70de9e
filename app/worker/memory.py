"""Memory of one job: what it may take, and whether a process ended for want of it."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.settings import MIB

# A stored state is copied a few times on its way to the database, and the compiler may be at work beside the training.
MARGIN_BYTES = 512 * MIB
TIMES = 3
STATUS = Path("/proc/self/status")


@contextmanager
def limited(estimate_bytes: int) -> Iterator[None]:
    """Have allocations fail with a `MemoryError` that go far beyond what the job was admitted with.

    Without a limit the kernel would end some process of the machine, ours or another.
    """
    if not STATUS.exists():  # not on Linux: there the limit does not count what it does here
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _data_bytes() + TIMES * estimate_bytes + MARGIN_BYTES
    allowed = [limit for limit in (wanted, before, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(allowed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _data_bytes() -> int:
    """What this process has now of what the limit counts: memory that is its own and can be written to."""
    status = STATUS.read_text()
    return int(status.partition("VmData:")[2].split()[0]) * 1024


def kills() -> int:
    """Count the processes that the kernel has ended for want of memory, in this container or on this machine."""
    with suppress(OSError, ValueError, IndexError):
        group = Path("/proc/self/cgroup").read_text().partition("0::")[2].split("\n")[0]
        for folder in (Path("/sys/fs/cgroup" + group), Path("/sys/fs/cgroup")):
            events = folder / "memory.events"
            if events.exists():
                return _count(events)
    with suppress(OSError, ValueError, IndexError):
        return _count(Path("/proc/vmstat"))
    return 0


def _count(path: Path) -> int:
    return int(path.read_text().partition("oom_kill ")[2].split()[0])
