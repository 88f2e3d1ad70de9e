"""Below the process: the kernel kills a training process at a system call, or answers it EIO or ENOSPC."""

import sys
from itertools import islice

import pytest

from tests.crash.injected import Nursery, Point, Tried, numbered, sample, strike, strike_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CI_FAULTS, MUST_HAPPEN = 66, 50


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """Without strace, or where it may not trace, this raises: these faults are not to go untested unnoticed."""
    return Tried(tmp_path_factory.mktemp("injected"))


def test_no_fault_at_a_system_call_changes_a_bit(tried: Tried) -> None:
    """A sample, with every call that is made rarely; `make torture-faults` tries them all."""
    points = iter(sample(tried.points(), len(tried.points()), seed=1))
    chosen = list(islice(points, CI_FAULTS))
    assert {point.call for point in chosen} >= {"pwrite64", "write", "fsync", "fdatasync", "rename", "openat"}
    found = list(strike_all(tried, chosen))
    # One that asks for a later call than this time's run made does not happen: how many are made is a matter of time.
    while (missing := MUST_HAPPEN - sum(one.happened for one in found)) > 0 and (more := list(islice(points, missing))):
        found += strike_all(tried, more)
    assert [one for one in found if one.wrong] == []
    sys.stdout.write(f"{MUST_HAPPEN - missing} faults of {len(found)} happened, 0 violations\n")
    assert missing <= 0


def test_a_disk_that_only_answers_with_errors_ends_the_job_by_name(tried: Tried) -> None:
    with Nursery() as nursery, tried.copy() as folder:
        nursery.trace(folder, tried.job_id, ["-e", "inject=rename:error=EIO"])
        with pytest.raises(AssertionError, match="storage_error"):
            tried.outcome(folder)


def test_what_is_lost_on_the_way_is_found(tried: Tried) -> None:
    """The proof can fail: a sync that is skipped is harmless here, but a write that is answered and not made is not."""
    with Nursery() as nursery:
        assert strike(tried, nursery, Point("fdatasync", "KILL", 1)).wrong is None
        with tried.copy() as folder:
            nursery.trace(folder, tried.job_id, ["-e", "inject=rename:retval=0"])
            with pytest.raises(AssertionError, match="not whole"):
                tried.outcome(folder)


def test_calls_are_numbered_as_strace_counts_them() -> None:
    log = ['openat(AT_FDCWD, "a", O_RDONLY) = 3', 'openat(AT_FDCWD, "b", O_RDWR|O_CREAT, 0600) = 4', "fsync(4) = 0"]
    assert numbered([*log, "fsync(4) = 0"]) == {"openat": [2], "fsync": [1, 2]}
