"""What would grow when it is unpacked is refused before, quickly and in little memory."""

import gzip
import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard

from app.contract.datasets import Format
from app.errors import DescentError, TooLarge, UnreadableTable
from app.settings import MIB
from app.tables.reader import TableReader
from app.tables.summary import Limits
from tests.app.tables.conftest import LIMITS

ZEROS = bytes(MIB)


@pytest.fixture(scope="module")
def process():
    """A reader with less memory than any of the bombs needs."""
    process = TableReader(timeout_s=60, memory_bytes=256 * MIB)
    yield process
    process.close()


def peak_bytes(process: TableReader) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def processor_s(process: TableReader) -> float:
    """Give the seconds that it has kept a processor busy, which do not depend on what else the machine does."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def npy(descr: str, shape: str, content: bytes = b"") -> bytes:
    """An array whose header says what it likes."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header + content


def zipped(size_said: int | None = None, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    packed = buffer.getvalue()
    if size_said is None:
        return packed
    place = packed.rfind(b"PK\x01\x02")
    return packed[: place + 24] + struct.pack("<I", size_said) + packed[place + 28 :]


def written(write, **options) -> bytes:
    buffer = io.BytesIO()
    write(buffer, **options)
    return buffer.getvalue()


def gzip_bomb() -> bytes:
    return gzip.compress(b"a\n") + gzip.compress(ZEROS) * 2000


def zstd_bomb() -> bytes:
    return zstandard.ZstdCompressor().compress(ZEROS) * 10_000


def parquet_bomb() -> bytes:
    return written(pl.DataFrame({"a": pl.repeat(0, 20_000_000, dtype=pl.Int8, eager=True)}).write_parquet)


def arrow_bomb(write: str) -> bytes:
    frame = pl.DataFrame({"a": pl.repeat(0.0, 20_000_000, eager=True)})
    return written(getattr(frame, write), compression="zstd")


BOMBS = {
    "gzip": (gzip_bomb, Format.CSV, "too_much_packed"),
    "zstd": (zstd_bomb, None, "too_much_packed"),
    "gzip in gzip": (lambda: gzip.compress(gzip.compress(b"a\n1\n")), None, "packed_twice"),
    "npz": (lambda: zipped(x=npy("'<f8'", "(20000000, 1)", ZEROS * 160)), Format.NPZ, "too_much_packed"),
    "npz that says it is small": (
        lambda: zipped(200, x=npy("'<f8'", "(20000000, 1)", ZEROS * 160)),
        Format.NPZ,
        "damaged",
    ),
    "npz of a huge shape": (lambda: zipped(x=npy("'<f8'", f"({10**8}, 10)")), Format.NPZ, "damaged"),
    "npz of rows without bytes": (lambda: zipped(x=npy("'<U0'", f"({10**8},)")), Format.NPZ, "damaged"),
    "npz of Python objects": (lambda: zipped(x=npy("'|O'", "(1,)", b"x" * 8)), Format.NPZ, "wrong_type"),
    "npz of many files": (lambda: zipped(**{f"x{i}": b"" for i in range(5000)}), Format.NPZ, "unknown_array"),
    "npy of too many rows": (lambda: npy("'<f8'", f"({10**12}, 1)"), Format.NPY, "too_large"),
    "npy of too many columns": (lambda: npy("'<f8'", f"(1, {10**9})"), Format.NPY, "too_large"),
    "npy of a negative size": (lambda: npy("'<f8'", "(-1, 1)"), Format.NPY, "damaged"),
    "npy of nested types": (lambda: npy("[('a', " * 150 + "'f4'" + ")]" * 150, "(1,)"), Format.NPY, "damaged"),
    "npy of deep types": (lambda: npy("[" * 100_000, "(1,)"), Format.NPY, "damaged"),
    "npy of a large header": (lambda: npy("'<f8'" + " " * 5 * MIB, "(1,)"), Format.NPY, "too_large"),
    "Parquet": (parquet_bomb, Format.PARQUET, "too_much_packed"),
    "Arrow file": (lambda: arrow_bomb("write_ipc"), Format.ARROW, "too_much_packed"),
    "Arrow stream": (lambda: arrow_bomb("write_ipc_stream"), Format.ARROW, "too_much_packed"),
    "deep JSON": (lambda: b'{"columns":' + b"[" * 10_000_000, Format.JSON, "nested_value"),
    "deep JSON lines": (lambda: b'{"a":' + b"[" * 10_000_000, Format.JSONL, "nested_value"),
    "a CSV of too many columns": (lambda: b"," * 10_000_000 + b"\n", Format.CSV, "too_large"),
    "a CSV with a header of 100 MB": (lambda: b"a" * 100_000_000 + b"\n1\n", Format.CSV, "not_a_csv"),
    "a CSV with a header of 100 MB of names": (lambda: b"a," * 50_000_000 + b"\n1\n", Format.CSV, "not_a_csv"),
    "a CSV with a quote of 100 MB": (lambda: b'a,b\n1,"' + b"x" * 100_000_000, Format.CSV, "not_a_csv"),
    "JSON lines of too many names": (
        lambda: "".join(f'{{"a{i}":1,"b{i}":2}}\n' for i in range(20_000)).encode(),
        Format.JSONL,
        "too_large",
    ),
    "JSON lines with a line of 100 MB": (lambda: b'{"a":"' + b"x" * 100_000_000, Format.JSONL, "not_json"),
    "Parquet of huge metadata": (lambda: b"PAR1" + bytes(70 * MIB) + struct.pack("<I", 70 * MIB) + b"PAR1", None, "too_large"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", BOMBS)
def test_bomb_is_refused_quickly_and_in_little_memory(case, process, tmp_path):
    make, format, code = BOMBS[case]
    (tmp_path / "upload").write_bytes(make())
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak is counted anew
    pid, before, start = process.pid, peak_bytes(process), processor_s(process)
    with pytest.raises(DescentError) as caught:
        process.read_table(tmp_path / "upload", format, {}, tmp_path / "table", LIMITS)
    assert isinstance(caught.value, TooLarge | UnreadableTable)
    assert code in {caught.value.code, *(fault.code for fault in caught.value.faults)}
    assert process.pid == pid
    assert processor_s(process) - start < 10
    assert peak_bytes(process) - before < 150 * MIB
    assert [path.name for path in tmp_path.iterdir()] == ["upload"]


def test_unpacking_stops_at_the_limit_of_this_installation(read, table):
    content = gzip.compress(bytes(range(32, 127)) * 1000)
    with pytest.raises(TooLarge) as caught:
        read(content, limits=Limits(9, 9, max_unpacked_bytes=50_000))
    assert "50,000" in caught.value.detail
    assert [path.name for path in table.parent.iterdir()] == ["upload"]


def test_a_table_that_packs_well_is_no_bomb(read):
    assert read(gzip.compress(b"a,b\n" + b"0,0\n" * 200_000)).n_rows == 200_000
    frame = pl.DataFrame({"a": np.zeros(200_000), "b": np.ones(200_000)})
    assert read(written(frame.write_parquet), Format.PARQUET).n_rows == 200_000
