"""The process that exports: it may die, hang or lack memory, and the next export is none the worse for it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from app.contract.models import WeightsFormat
from app.exports.files import write
from app.exports.process import Exporter, Order
from tests.app.exports.cases import network, preprocessing, weights

GIB = 2**30


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    exporter = Exporter(timeout_s=60, memory_bytes=GIB)
    yield exporter
    exporter.close()


def order(folder: Path, format: WeightsFormat = WeightsFormat.ONNX, units: int = 5) -> Order:
    fitted = preprocessing()
    spec = network(fitted, [(units, "relu", False)])
    npz = folder / "weights.npz"
    npz.write_bytes(write(WeightsFormat.NPZ, spec, weights(spec), fitted))
    target = npz if format is WeightsFormat.NPZ else folder / f"file.{format}"
    hash_of_npz = sha256(npz.read_bytes()).hexdigest()
    return Order(format, npz, hash_of_npz, spec, fitted.to_json(), "float32", None, target)


def test_there_is_no_process_until_it_is_needed(exporter: Exporter, tmp_path: Path) -> None:
    assert exporter.pid is None
    exported = exporter.export(order(tmp_path))
    assert exported.checked is not None
    assert exported.checked.ok
    content = (tmp_path / "file.onnx").read_bytes()
    assert (exported.sha256, exported.size_bytes) == (sha256(content).hexdigest(), len(content))
    assert exporter.pid is not None


@pytest.mark.slow
def test_a_process_that_was_killed_is_replaced(exporter: Exporter, tmp_path: Path) -> None:
    wanted = order(tmp_path, WeightsFormat.NPZ)
    exporter.export(wanted)
    before = exporter.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    again = exporter.export(wanted)
    assert again.checked is not None
    assert again.checked.ok
    assert exporter.pid not in {None, before}


@pytest.mark.slow
def test_an_export_that_takes_too_long_ends_and_the_next_one_works(tmp_path: Path) -> None:
    exporter = Exporter(timeout_s=60, memory_bytes=GIB)
    try:
        exporter.export(order(tmp_path))
        exporter._timeout_s = 0.0001
        assert "longer" in (exporter.export(order(tmp_path)).fault or "")
        exporter._timeout_s = 60
        assert exporter.export(order(tmp_path)).checked is not None
    finally:
        exporter.close()


@pytest.mark.slow
def test_lack_of_memory_is_a_fault_and_the_next_export_works(tmp_path: Path) -> None:
    exporter = Exporter(timeout_s=60, memory_bytes=60 * 2**20)
    try:
        exported = exporter.export(order(tmp_path, WeightsFormat.JSON, units=100_000))
        assert "memory" in (exported.fault or ""), exported
        assert exporter.export(order(tmp_path, WeightsFormat.JSON)).checked is not None
    finally:
        exporter.close()


def test_damaged_weights_are_never_made_a_file_of(exporter: Exporter, tmp_path: Path) -> None:
    wanted = order(tmp_path)
    content = bytearray(wanted.npz.read_bytes())
    content[-200] ^= 1
    wanted.npz.write_bytes(content)
    exported = exporter.export(wanted)
    assert "damaged" in (exported.fault or "")
    assert not wanted.target.exists()


@pytest.mark.slow
def test_a_bug_is_told_with_its_traceback_and_not_to_the_client(exporter: Exporter, tmp_path: Path) -> None:
    wanted = order(tmp_path)
    broken = Order(**{**vars(wanted), "preprocessing": {}})
    exported = exporter.export(broken)
    assert (exported.checked, exported.fault) == (None, "")
    assert "Traceback" in (exported.traceback or "")
    assert exporter.export(wanted).checked is not None, "the process goes on"


@pytest.mark.slow
def test_many_threads_at_once_each_get_their_own_answer(exporter: Exporter, tmp_path: Path) -> None:
    found: dict[int, str] = {}

    def one(units: int) -> None:
        folder = tmp_path / str(units)
        folder.mkdir()
        found[units] = exporter.export(order(folder, WeightsFormat.SAFETENSORS, units)).sha256

    threads = [threading.Thread(target=one, args=(units,)) for units in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = {int(path.parent.name): path.read_bytes() for path in tmp_path.glob("*/file.safetensors")}
    assert found == {units: sha256(content).hexdigest() for units, content in files.items()}
    assert len(set(found.values())) == 8


@pytest.mark.slow
def test_closing_ends_the_process_at_once_also_during_an_export(tmp_path: Path) -> None:
    exporter = Exporter(timeout_s=600, memory_bytes=4 * GIB)
    exporter.export(order(tmp_path))
    pid = exporter.pid
    assert pid is not None
    wanted = order(tmp_path, WeightsFormat.JSON)
    faults: list[str | None] = []
    thread = threading.Thread(target=lambda: faults.append(exporter.export(wanted).fault))
    os.kill(pid, signal.SIGSTOP)  # this export would never end
    thread.start()
    time.sleep(0.2)
    exporter.close()
    thread.join(30)
    assert not thread.is_alive()
    assert len(faults) == 1
    assert not Path(f"/proc/{pid}").exists()
    assert exporter.export(wanted).fault is not None


def test_the_process_computes_with_one_thread(exporter: Exporter, tmp_path: Path) -> None:
    exporter.export(order(tmp_path))
    environment = Path(f"/proc/{exporter.pid}/environ").read_bytes().split(b"\0")
    assert b"OPENBLAS_NUM_THREADS=1" in environment


def test_the_api_process_loads_neither_onnx_nor_its_runtime() -> None:
    program = "import sys, app.main; print(sorted({'onnx', 'onnxruntime', 'polars'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
