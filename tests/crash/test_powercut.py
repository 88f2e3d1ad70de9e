"""The power fails: what was acknowledged is there, whole, and every job goes on to the same bits."""

import random
from pathlib import Path

import pytest

from tests.crash.disk import Call, Disk
from tests.crash.powercut import Recording, check_model, violations

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CI_CUTS, CI_RESUMED = 120, 6


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    made = Recording(tmp_path_factory.mktemp("powercut"))
    check_model(made)
    return made


def test_no_power_cut_loses_what_was_acknowledged(recording: Recording) -> None:
    assert violations(recording, CI_CUTS, seed=1, resumed=CI_RESUMED) == []


def test_without_syncs_of_the_log_acknowledged_rows_are_lost(recording: Recording) -> None:
    """As with synchronous=NORMAL: the proof would notice."""
    wrong = violations(recording, CI_CUTS, seed=1, ignores=lambda path: path.endswith("-wal"))
    assert sum("is lost" in one for one in wrong) > 10


def test_without_syncs_of_files_or_of_folders_what_rows_name_is_lost(recording: Recording) -> None:
    blobs = str(recording.root / "blobs")
    for ignores in (lambda path: path.startswith(f"{blobs}/parts/"), lambda path: path.startswith(f"{blobs}/models")):
        wrong = violations(recording, CI_CUTS, seed=1, ignores=ignores)
        assert sum("the weights of" in one for one in wrong) > 10


def call(name: str, *arguments: str | bytes, at: float, took_s: float = 0.0, result: int = 0) -> Call:
    return Call(at, at + took_s, name, [a.encode() if isinstance(a, str) else a for a in arguments], result)


def after(calls: list[Call], root: Path, seed: int | None = None) -> dict[str, bytes]:
    """Give the files that a power cut leaves after these calls."""
    before, left = root / "before", root / "left"
    for folder in (before, left):
        folder.mkdir(exist_ok=True)
    disk = Disk(root / "data", before)
    for _ in disk.replay(calls):
        pass
    disk.build(left, None if seed is None else random.Random(seed))
    files = {path.name: path.read_bytes() for path in left.rglob("*") if path.is_file()}
    for path in left.iterdir():
        path.unlink()
    return files


def test_only_what_was_synced_outlives_a_power_cut_for_certain(tmp_path: Path) -> None:
    folder, file = f"{tmp_path}/data", f"{tmp_path}/data/a"
    made = [
        call("openat", "/", file, "O_RDWR|O_CREAT", at=1.0, result=3),
        call("pwrite64", file, b"old", "3", "0", at=2.0, result=3),
    ]
    synced = [*made, call("fsync", file, at=3.0)]
    named = [*synced, call("fsync", folder, at=4.0)]
    assert after(made, tmp_path) == {}
    assert after(synced, tmp_path) == {}
    assert after(named, tmp_path) == {"a": b"old"}
    assert after([*named, call("pwrite64", file, b"new", "3", "0", at=5.0, result=3)], tmp_path) == {"a": b"old"}
    late = [call("fsync", file, at=5.0, took_s=2.0), call("pwrite64", file, b"new", "3", "0", at=6.0, result=3)]
    assert after([*named, *late], tmp_path) == {"a": b"old"}, "a sync covers what was written before it began"
    assert after([*named, call("rename", file, f"{folder}/b", at=5.0)], tmp_path) == {"a": b"old"}
    torn = [*named, call("pwrite64", file, b"x" * 2048, "2048", "0", at=5.0, result=2048)]
    left = {len(after(torn, tmp_path, seed)["a"]) for seed in range(60)}
    assert {3, 2048} < left <= {3, 512, 1024, 1536, 2048}, "of what is not synced any part may be there"
