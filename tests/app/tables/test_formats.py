"""Every format is read as its own library wrote it."""

import datetime as dt
import gzip
import io
import json

import numpy as np
import polars as pl
import pytest
import zstandard

from app.contract.datasets import Compression, Format, Kind, RoleHint
from app.errors import DescentError, InvalidRequest, UnreadableTable, UnsupportedFormat
from app.tables.reader import TableReader
from app.tables.reading import preview
from tests.app.tables.conftest import LIMITS

TABLE = pl.DataFrame({"n": [1.5, None, -3.0], "w": ["a", "b", None], "t": [True, None, False]})
CSV = b"n,w,t\n1.5,a,true\n,b,\n-3,,false\n"
ROWS = [{"n": 1.5, "w": "a", "t": True}, {"n": None, "w": "b", "t": None}, {"n": -3, "w": None, "t": False}]
KINDS = [Kind.NUMERIC, Kind.CATEGORICAL, Kind.BOOLEAN]


def in_bytes(write, *arguments, **options):
    buffer = io.BytesIO()
    write(buffer, *arguments, **options)
    return buffer.getvalue()


def npz(**arrays):
    return in_bytes(np.savez_compressed, **arrays)


def letters(dtype, *numbers):
    """An array of one string, made of numbers that need not be characters."""
    array = np.array(numbers, np.uint32)
    swapped = isinstance(dtype, str) and dtype.startswith(">")
    return np.frombuffer(array.astype(">u4").tobytes() if swapped else array.tobytes(), dtype)


WRITTEN = {
    Format.CSV: CSV,
    Format.JSON: json.dumps({"columns": TABLE.to_dict(as_series=False)}).encode(),
    Format.JSONL: TABLE.write_ndjson().encode(),
    Format.PARQUET: in_bytes(TABLE.write_parquet),
    Format.ARROW: in_bytes(TABLE.write_ipc),
}


@pytest.mark.parametrize("format", WRITTEN)
@pytest.mark.parametrize("is_said", [True, False])
def test_one_table_is_the_same_in_every_format_said_or_found(format, is_said, read, table):
    summary = read(WRITTEN[format], format if is_said else None)
    assert summary.format is format
    assert [column.kind for column in summary.columns] == KINDS
    assert preview(table, 9) == ROWS


def test_json_as_a_list_of_objects_is_the_same_table_however_it_is_laid_out(read, table):
    objects = [{name: value for name, value in row.items() if value is not None} for row in TABLE.to_dicts()]
    for content in (json.dumps(objects), json.dumps(objects, indent=2), json.dumps(TABLE.to_dicts())):
        summary = read(content.encode(), None)
        assert (summary.format, [column.kind for column in summary.columns]) == (Format.JSON, KINDS)
        assert preview(table, 9) == ROWS


@pytest.mark.parametrize("format", WRITTEN)
@pytest.mark.parametrize("compression", Compression)
def test_any_format_is_read_packed(format, compression, read, table):
    pack = gzip.compress if compression is Compression.GZIP else zstandard.ZstdCompressor().compress
    summary = read(pack(WRITTEN[format]), None)
    assert (summary.format, summary.read.compression) == (format, compression)
    assert preview(table, 9) == ROWS
    assert sorted(path.name for path in table.parent.iterdir()) == ["table.arrow", "upload"]


def test_packed_in_several_pieces_is_read_whole(read):
    for pack in (gzip.compress, zstandard.ZstdCompressor().compress):
        assert read(pack(b"a\n1\n") + pack(b"2\n3\n")).n_rows == 3


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_packed_and_cut_short_is_refused_and_leaves_no_file(pack, read, table):
    content = pack(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(10_000)))
    for length in (len(content) - 1, len(content) // 2, 20):
        with pytest.raises(UnreadableTable) as caught:
            read(content[:length])
        assert caught.value.faults[0].code == "damaged"
        assert [path.name for path in table.parent.iterdir()] == ["upload"]


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_arrow_stream_and_file_are_read_alike(compression, read, table):
    for write in (TABLE.write_ipc, TABLE.write_ipc_stream):
        summary = read(in_bytes(write, compression=compression), None)
        assert (summary.format, summary.n_rows) == (Format.ARROW, 3)
        assert preview(table, 9) == ROWS


TYPES = {
    "i8": (pl.Series([-128, 3, None], dtype=pl.Int8), Kind.NUMERIC, [-128, 3, None]),
    "u64": (pl.Series([0, 5, 2**53], dtype=pl.UInt64), Kind.NUMERIC, [0, 5, 2.0**53]),
    "bits": (pl.Series([0, 1, None], dtype=pl.UInt8), Kind.BOOLEAN, [0, 1, None]),
    "f32": (pl.Series([0.5, float("nan"), None], dtype=pl.Float32), Kind.NUMERIC, [0.5, None, None]),
    "decimal": (pl.Series(["1.50", "-2.25", None]).cast(pl.Decimal(12, 2)), Kind.NUMERIC, [1.5, -2.25, None]),
    "truth": (pl.Series([True, None, False]), Kind.BOOLEAN, [True, None, False]),
    "date": (
        pl.Series([dt.date(2024, 2, 29), None, dt.date(1969, 12, 31)]),
        Kind.DATETIME,
        ["2024-02-29T00:00:00Z", None, "1969-12-31T00:00:00Z"],
    ),
    "ns": (
        pl.Series([dt.datetime(2024, 1, 1, 10, 0, 0, 5)] * 3).dt.cast_time_unit("ns"),
        Kind.DATETIME,
        ["2024-01-01T10:00:00.000005Z"] * 3,
    ),
    "zoned": (
        pl.Series([dt.datetime(2024, 7, 1, 10)] * 3).dt.replace_time_zone("Europe/Berlin"),
        Kind.DATETIME,
        ["2024-07-01T08:00:00Z"] * 3,
    ),
    "clock": (pl.Series([dt.time(10, 0, 0, 500_000)] * 3), Kind.NUMERIC, [36000.5] * 3),
    "lasting": (pl.Series([dt.timedelta(hours=1), None, dt.timedelta(0)]), Kind.NUMERIC, [3600, None, 0]),
    "category": (pl.Series(["1", "2", "1"], dtype=pl.Categorical), Kind.CATEGORICAL, ["1", "2", "1"]),
    "enum": (pl.Series(["u", None, "v"], dtype=pl.Enum(["u", "v"])), Kind.CATEGORICAL, ["u", None, "v"]),
    "digits": (pl.Series(["1", "2", "NA"]), Kind.CATEGORICAL, ["1", "2", None]),
    "large": (pl.Series([2**60, 2**60 + 1, None]), Kind.CATEGORICAL, [str(2**60), str(2**60 + 1), None]),
    "nothing": (pl.Series([None] * 3, dtype=pl.Null), Kind.NUMERIC, [None] * 3),
    "list": (pl.Series([[1], [2, 3], []]), Kind.TEXT, [None] * 3),
    "object": (pl.Series([{"a": 1}] * 3), Kind.TEXT, [None] * 3),
    "bytes": (pl.Series([b"x"] * 3), Kind.TEXT, [None] * 3),
}


@pytest.mark.parametrize("format", [Format.PARQUET, Format.ARROW])
def test_types_decide_the_kinds_and_what_cannot_be_used_is_named(format, read, table):
    frame = pl.DataFrame({name: column for name, (column, _, _) in TYPES.items()})
    content = in_bytes(frame.write_parquet if format is Format.PARQUET else frame.write_ipc)
    summary = read(content, format)
    assert {c.name: c.kind for c in summary.columns} == {name: kind for name, (_, kind, _) in TYPES.items()}
    found = {name: [row[name] for row in preview(table, 9)] for name in TYPES}
    assert found == {name: values for name, (_, _, values) in TYPES.items()}
    messages = {notice.code: notice.message for notice in summary.warnings}
    assert set(messages) == {"unusable_column", "large_integers"}
    assert "'list' holds lists, 'object' holds objects, 'bytes' holds bytes" in messages["unusable_column"]


def test_kinds_overrule_types(read, table):
    frame = pl.DataFrame({"zip": [1234, 99], "bit": [0, 1], "day": [dt.date(2024, 1, 1)] * 2, "id": [2**60, 1]})
    kinds = {"zip": Kind.CATEGORICAL, "bit": Kind.NUMERIC, "day": Kind.TEXT, "id": Kind.NUMERIC}
    summary = read(in_bytes(frame.write_parquet), Format.PARQUET, kinds=kinds)
    assert {column.name: column.kind for column in summary.columns} == kinds
    assert preview(table, 1) == [{"zip": "1234", "bit": 0, "day": "2024-01-01", "id": 2.0**60}]
    nested = in_bytes(pl.DataFrame({"a": [[1]], "b": [1]}).write_parquet)
    with pytest.raises(InvalidRequest) as caught:
        read(nested, Format.PARQUET, kinds={"a": Kind.NUMERIC})
    assert [fault.pointer for fault in caught.value.faults] == ["/kinds/a"]


def test_infinite_number_in_a_typed_file_is_named(read):
    with pytest.raises(UnreadableTable) as caught:
        read(in_bytes(pl.DataFrame({"a": [1.0, float("inf")]}).write_parquet), Format.PARQUET)
    assert "'a': row 2 holds 'inf'" in caught.value.faults[0].message


def test_npz_arrays_become_columns_and_targets_are_hinted(read, table):
    x, y = np.arange(6, dtype=">f4").reshape(3, 2), np.array(["a", "b", "a"])
    summary = read(npz(x=x, y=y), None)
    assert summary.format is Format.NPZ
    assert [column.name for column in summary.columns] == ["x0", "x1", "y0"]
    assert [column.role_hint for column in summary.columns] == [None, None, RoleHint.TARGET]
    assert preview(table, 2) == [{"x0": 0, "x1": 1, "y0": "a"}, {"x0": 2, "x1": 3, "y0": "b"}]


@pytest.mark.parametrize(
    ("y", "kind", "values"),
    [
        (np.array([True, False]), Kind.BOOLEAN, [True, False]),
        (np.array([[7], [-8]], np.int8), Kind.NUMERIC, [7, -8]),
        (np.array(["1", "é"]), Kind.CATEGORICAL, ["1", "é"]),
        (np.array([b"1", b"x"]), Kind.CATEGORICAL, ["1", "x"]),
        (np.array(["2024-01-31", "NaT"], "M8[D]"), Kind.DATETIME, ["2024-01-31T00:00:00Z", None]),
        (np.array([90, "NaT"], "m8[s]"), Kind.NUMERIC, [90, None]),
        (np.array([0.1, np.nan], np.float16), Kind.NUMERIC, [float(np.float16(0.1)), None]),
        (np.array([0.25, 2], np.longdouble), Kind.NUMERIC, [0.25, 2]),
        (np.array([2**63, 1], np.uint64), Kind.CATEGORICAL, [str(2**63), "1"]),
    ],
)
def test_values_of_an_npz_of_any_type_are_read(y, kind, values, read, table):
    summary = read(npz(x=np.ones((2, 1)), y=y), Format.NPZ)
    assert summary.columns[1].kind is kind
    assert [row["y0"] for row in preview(table, 2)] == values


def test_npy_is_read_in_either_order_and_structured_arrays_have_names(read, table):
    array = np.arange(12.0).reshape(4, 3)
    for layout in (np.ascontiguousarray(array), np.asfortranarray(array), array[::2]):
        summary = read(in_bytes(np.save, layout), None)
        assert summary.format is Format.NPY
        assert [list(row.values()) for row in preview(table, 9)] == layout.tolist()
        assert [column.name for column in summary.columns] == ["column_0", "column_1", "column_2"]
    people = np.array([(1.5, "ann"), (2.5, "bob")], dtype=[("height", "f8"), ("name", "U8")])
    summary = read(gzip.compress(in_bytes(np.save, people)), None)
    assert preview(table, 9) == [{"height": 1.5, "name": "ann"}, {"height": 2.5, "name": "bob"}]
    assert read(in_bytes(np.save, np.arange(5)), None).columns[0].max == 4


BAD_ARRAYS = {
    "no x": (npz(y=np.ones(2)), Format.NPZ, "/x", "lacking_array"),
    "another array": (npz(x=np.ones((2, 1)), z=np.ones(2)), Format.NPZ, "/z", "unknown_array"),
    "fewer targets": (npz(x=np.ones((2, 1)), y=np.ones(1)), Format.NPZ, "/y", "unequal_lengths"),
    "three dimensions": (npz(x=np.ones((2, 1, 1)), y=np.ones(2)), Format.NPZ, "/x", "wrong_shape"),
    "complex numbers": (npz(x=np.ones((2, 1), complex), y=np.ones(2)), Format.NPZ, "/x", "wrong_type"),
    "objects": (npz(x=np.array([[{}]]), y=np.ones(1)), Format.NPZ, "/x", "wrong_type"),
    "empty": (npz(x=np.ones((0, 3)), y=np.ones(0)), Format.NPZ, "/x", "no_rows"),
    "structured": (npz(x=np.zeros(2, [("a", "f4")]), y=np.ones(2)), Format.NPZ, "/x", "wrong_shape"),
    "a number alone": (in_bytes(np.save, np.float64(3)), Format.NPY, "", "wrong_shape"),
    "objects alone": (in_bytes(np.save, np.array([{}])), Format.NPY, "", "wrong_type"),
    "nested fields": (in_bytes(np.save, np.zeros(2, [("a", [("b", "f4")])])), Format.NPY, "", "wrong_type"),
    "fields of arrays": (in_bytes(np.save, np.zeros(2, [("a", "f4", 3)])), Format.NPY, "", "wrong_type"),
    "half a surrogate pair": (in_bytes(np.save, np.array(["\ud800"])), Format.NPY, "", "not_utf8"),
    "no characters": (in_bytes(np.save, letters("<U3", 0x168DA1, 0x104392, 0x38C193)), Format.NPY, "", "not_utf8"),
    "no characters, swapped": (in_bytes(np.save, letters(">U2", 0x41, 0x110000)), Format.NPY, "", "not_utf8"),
    "no character alone": (in_bytes(np.save, letters("<U1", 2**32 - 1)), Format.NPY, "", "not_utf8"),
    "no characters in a field": (in_bytes(np.save, letters([("a", "U2")], 0x41, 0x110000)), Format.NPY, "", "not_utf8"),
    "no characters as targets": (npz(x=np.ones((1, 1)), y=letters("<U2", 0x41, 0x110000)), Format.NPZ, "", "not_utf8"),
    "half a surrogate pair as a name": (
        in_bytes(np.save, np.zeros(2, [("LENGTH", "f8")])).replace(b"LENGTH", rb"\ud800"),
        Format.NPY,
        "",
        "not_utf8",
    ),
    "bytes that are no text": (in_bytes(np.save, np.array([b"\xff\xff"])), Format.NPY, "", "not_utf8"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_are_no_table_are_refused_with_a_pointer(case, read, table):
    content, format, at, code = BAD_ARRAYS[case]
    with pytest.raises(UnreadableTable) as caught:
        read(content, format)
    assert (at, code) in {(fault.pointer, fault.code) for fault in caught.value.faults}
    assert [path.name for path in table.parent.iterdir()] == ["upload"]


def test_json_lines_may_lack_names_and_mix_types_late(read, table):
    lines = ['{"a": 1, "b": true}'] * 3000 + ["", '{"c": "é", "a": null}', '{"a": "x", "b": 0.5}']
    summary = read("\ufeff" + "\r\n".join(lines), Format.JSONL)
    assert [(c.name, c.kind, c.n_missing) for c in summary.columns] == [
        ("a", Kind.CATEGORICAL, 1),
        ("b", Kind.CATEGORICAL, 1),
        ("c", Kind.CATEGORICAL, 3001),
    ]
    assert summary.n_rows == 3002
    assert summary.columns[0].categories == ["1", "x"]
    assert summary.columns[1].categories == ["0.5", "true"]


def test_json_lines_with_lists_leave_that_column_out_and_say_so(read):
    summary = read('{"a": 1, "b": [1]}\n{"a": 2, "b": 3}\n', Format.JSONL)
    assert [(column.kind, column.n_missing) for column in summary.columns] == [(Kind.NUMERIC, 0), (Kind.TEXT, 2)]
    assert [notice.code for notice in summary.warnings] == ["unusable_column"]


BAD_LINES = {
    "no JSON": ('{"a": 1}\n{a}\n', "line 2", "not_json"),
    "a list": ('{"a": 1}\n\n[1]\n', "line 3", "wrong_shape"),
    "a name twice": ('{"a": 1, "a": 2}\n', "line 1", "duplicate_column"),
    "NaN": ('{"a": NaN}\n', "line 1", "not_finite"),
    "1e400": ('{"a": 1}\n{"a": 1e400}\n', "line 2", "not_finite"),
    "a huge integer": ('{"a": 1' + "0" * 400 + "}\n", "line 1", "not_finite"),
    "deep": ('{"a": ' + "[" * 100_000 + "\n", "line 1", "nested_value"),
    "half a surrogate pair": ('{"a": "\\ud800"}\n', "line 1", "not_utf8"),
    "half a surrogate pair in a name": ('{"\\ud800": 1}\n', "line 1", "not_utf8"),
    "no names": ("{}\n{}\n", "empty", "no_rows"),
    "nothing": ("\n\n", "no rows", "no_rows"),
    "another encoding": (b'{"a": "\xff"}\n', "line 1", "not_utf8"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_bad_json_lines_are_refused_with_the_line(case, read, table):
    content, place, code = BAD_LINES[case]
    with pytest.raises(UnreadableTable) as caught:
        read(content, Format.JSONL)
    assert [code] == [fault.code for fault in caught.value.faults]
    assert place in caught.value.faults[0].message
    assert [path.name for path in table.parent.iterdir()] == ["upload"]


def test_a_format_that_the_bytes_contradict_is_refused(read):
    packed = {format: gzip.compress(content) for format, content in WRITTEN.items()}
    binary = {Format.PARQUET, Format.ARROW}
    for said in Format:
        for format in WRITTEN:
            if said is format or not binary & {said, format}:
                continue
            for content in (WRITTEN[format], packed[format]):
                with pytest.raises(UnreadableTable) as caught:
                    read(content, said)
                assert caught.value.faults[0].code in {"format_mismatch", "not_a_csv"}


@pytest.mark.parametrize("content", [b"%PDF-1.7\n", b"<!doctype html>", b"BZh91AY", b"\x7fELF\0\0", b"\x89HDF\r\n"])
def test_bytes_of_no_format_that_is_read_say_so(content, read):
    with pytest.raises(UnsupportedFormat) as caught:
        read(content, None)
    assert caught.value.faults[0].allowed == tuple(Format)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical], ids=str)
@pytest.mark.parametrize("length", [4, 40])  # short strings are stored elsewhere than long ones
@pytest.mark.parametrize(
    ("write", "options"),
    [
        ("write_parquet", {}),
        ("write_ipc", {}),
        ("write_ipc", {"compat_level": pl.CompatLevel.oldest()}),
        ("write_ipc_stream", {}),
        ("write_ipc_stream", {"compat_level": pl.CompatLevel.oldest()}),
    ],
)
def test_strings_of_bytes_that_are_no_text_are_refused(write, options, length, dtype, read, table):
    words = pl.DataFrame({"w": pl.Series(["a", "QQQQ".ljust(length, "x"), None], dtype=dtype)})
    content = in_bytes(getattr(words, write), compression="uncompressed", **options)
    assert read(content, None).columns[0].n_unique == 2
    table.unlink()
    with pytest.raises(UnreadableTable):
        read(content.replace(b"QQQQ", b"\xf5\xa8\xb6\xa1"), None)
    assert not table.exists()


@pytest.mark.slow
@pytest.mark.parametrize("format", [Format.PARQUET, Format.ARROW, Format.NPZ, Format.NPY])
def test_a_damaged_file_is_refused_or_read_and_the_next_one_is_read(format, tmp_path):
    """Each is cut short at many places, and has bytes changed at many places."""
    content = WRITTEN.get(format) or (
        npz(x=np.ones((3, 2)), y=np.arange(3)) if format is Format.NPZ else in_bytes(np.save, np.ones((3, 2)))
    )
    random = np.random.default_rng(1)
    damaged = [content[:length] for length in random.integers(1, len(content), 30)]
    for _ in range(50):
        changed = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 5)):
            changed[place] = random.integers(256)
        damaged.append(bytes(changed))
    refused = []
    source = tmp_path / "upload"
    process = TableReader(timeout_s=30, memory_bytes=2**30)
    try:
        for one in damaged:
            source.write_bytes(one)
            try:
                process.read_table(source, format, {}, tmp_path / "table", LIMITS)
            except DescentError as error:
                refused.append(error)
        source.write_bytes(content)
        assert process.read_table(source, format, {}, tmp_path / "table", LIMITS).n_rows == 3
    finally:
        process.close()
    assert len(refused) >= 30
    assert {error.status for error in refused} <= {413, 422}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table", "upload"]
