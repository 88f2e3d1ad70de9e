"""Small tables, which are read once."""

import os
from pathlib import Path

from app.contract.datasets import Format
from app.tables.reading import read_table
from app.tables.small import MOST_KEPT, SMALL_BYTES, small_table
from app.tables.summary import Limits

LIMITS = Limits(max_rows=100_000, max_columns=10)


def write(folder: Path, numbers: range, name: str = "table") -> Path:
    (folder / "source").write_text("a\n" + "".join(f"{number}\n" for number in numbers))
    read_table(folder / "source", Format.CSV, {}, folder / name, LIMITS)
    return folder / name


def numbers(table: Path) -> list[float]:
    frame = small_table(table)
    assert frame is not None
    return frame["a"].to_list()


def test_what_was_written_just_now_is_not_read_again(tmp_path: Path) -> None:
    table = write(tmp_path, range(5))
    written = table.stat()
    with table.open("r+b") as file:
        file.write(b"no table" * (written.st_size // 8))
    os.utime(table, ns=(written.st_atime_ns, written.st_mtime_ns))
    assert numbers(table) == [0, 1, 2, 3, 4]


def test_a_table_that_is_another_by_now_is_read_anew(tmp_path: Path) -> None:
    table = write(tmp_path, range(5))
    assert numbers(table) == [0, 1, 2, 3, 4]
    other = write(tmp_path, range(7, 9), "other").rename(table)
    assert numbers(other) == [7, 8]
    table.write_bytes(write(tmp_path, range(3), "other").read_bytes())
    assert numbers(table) == [0, 1, 2]


def test_more_tables_than_are_kept_are_each_their_own(tmp_path: Path) -> None:
    tables = [write(tmp_path, range(n), f"table {n}") for n in range(2, MOST_KEPT + 5)]
    for _ in range(2):
        for table, n in zip(tables, range(2, MOST_KEPT + 5), strict=True):
            assert numbers(table) == list(range(n))


def test_a_large_table_is_not_kept(tmp_path: Path) -> None:
    table = write(tmp_path, range(40_000))
    assert table.stat().st_size > SMALL_BYTES
    assert small_table(table) is None
