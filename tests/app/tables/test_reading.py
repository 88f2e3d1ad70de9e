import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.contract.datasets import Format, Kind, RoleHint
from app.errors import DescentError, InvalidRequest, TooLarge, UnreadableTable
from app.tables import structure
from app.tables.reading import preview, read_table
from app.tables.structure import examine
from app.tables.summary import Limits
from app.tables.words import MISSING, seconds

LIMITS = Limits(max_rows=10**9, max_columns=20_000)
BAD_CSV = {
    "empty": (b"", "empty_file"),
    "only a byte order mark": (b"\xef\xbb\xbf", "empty_file"),
    "only blank lines": (b"\n\r\n\n", "empty_file"),
    "header only": (b"a,b\n", "no_rows"),
    "header only, no line end": (b"a,b", "no_rows"),
    "short row": (b"a,b\n1,2\n3\n", "ragged_row"),
    "long row": (b"a,b\n1,2\n3,4,5\n", "ragged_row"),
    "blank line between rows": (b"a,b\n1,2\n\n3,4\n", "ragged_row"),
    "NUL": (b"a,b\n1,\x002\n", "not_a_csv"),
    "PNG": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not_a_csv"),
    "gzip that is none": (b"\x1f\x8b\x08\x00abc\n", "damaged"),
    "UTF-8 and then another encoding, in too few letters": (b"a,b\n1,\xff\xfe\n", "not_utf8"),
    "a blank first line": (b"\na,b\n1,2\n", "blank_first_line"),
    "name of 501 characters": (b"a" * 501 + b",b\n1,2\n", "long_column_name"),
    "zip": (b"PK\x03\x04abc\n", "not_a_csv"),
    "HTML": (b"<!DOCTYPE html>\n<html></html>\n", "not_a_csv"),
    "unclosed quote": (b'a,b\n1,"x\n2,y\n', "unclosed_quote"),
    "quote within a value": (b'a,b\n1,5" pipe\n', "stray_quote"),
    "text after a quote": (b'a,b\n1,"x"y\n', "stray_quote"),
    "old Mac line ends": (b"a,b\r1,2\r3,4\r", "bad_line_end"),
    "infinity": (b"a,b\n1,2\ninf,3\n", "not_finite"),
    "too large a number": (b"a,b\n1,2\n1e400,3\n", "not_finite"),
}
BAD_JSON = {
    "empty": ("", "", "empty_file"),
    "no JSON": ("{columns", "", "not_json"),
    "a number": ("1", "", "wrong_shape"),
    "a list of numbers": ('[{"a": 1}, 2]', "/1", "wrong_shape"),
    "a list of lists": ("[[1, 2], [3, 4]]", "/0", "wrong_shape"),
    "an empty list": ("[]", "", "no_rows"),
    "empty objects": ("[{}, {}]", "", "no_rows"),
    "a nested value in a list": ('[{"a": 1}, {"a": {"b": 2}}]', "/1/a", "nested_value"),
    "1e400 in a list": ('[{"a": 1}, {"a": 1e400}]', "/1/a", "not_finite"),
    "no name in a list": ('[{"a": 1}, {"": 2}]', "/1/", "empty_column_name"),
    "name twice in a list": ('[{"a": 1, "a": 2}]', "", "duplicate_column"),
    "unknown field": ('{"columns": {"a": [1]}, "x": 1}', "/x", "unknown_field"),
    "inputs alone": ('{"inputs": [[1]]}', "", "wrong_shape"),
    "no columns": ('{"columns": {}}', "/columns", "wrong_shape"),
    "no list": ('{"columns": {"a/b": 1}}', "/columns/a~1b", "wrong_type"),
    "no name": ('{"columns": {" ": [1]}}', "/columns/ ", "empty_column_name"),
    "name twice": ('{"columns": {"a": [1], "a": [2]}}', "", "duplicate_column"),
    "no rows": ('{"columns": {"a": []}}', "", "no_rows"),
    "unequal": ('{"columns": {"a": [1, 2], "b": [1]}}', "/columns/b", "unequal_lengths"),
    "nested": ('{"columns": {"a": [1, [2]]}}', "/columns/a/1", "nested_value"),
    "object": ('{"columns": {"a": [{}]}}', "/columns/a/0", "nested_value"),
    "NaN": ('{"columns": {"a": [NaN]}}', "", "not_finite"),
    "Infinity": ('{"columns": {"a": [-Infinity]}}', "", "not_finite"),
    "1e400": ('{"columns": {"a": [1e400]}}', "/columns/a/0", "not_finite"),
    "integer beyond 64-bit floats": ('{"columns": {"a": [1' + "0" * 400 + "]}}", "/columns/a/0", "not_finite"),
    "integer of 5,000 digits": ('{"columns": {"a": [' + "1" * 5000 + "]}}", "", "not_finite"),
    "half a surrogate pair": (r'{"columns": {"a": ["\ud800"]}}', "/columns/a/0", "not_utf8"),
    "half a surrogate pair in a name": (r'{"columns": {"\ud800": [1]}}', "/columns", "not_utf8"),
    "deep": ("[" * 200_000, "", "nested_value"),
    "ragged": ('{"inputs": [[1, 2], [3]], "targets": [1, 2]}', "/inputs/1", "ragged_row"),
    "row is no list": ('{"inputs": [[1, 2], 3], "targets": [1, 2]}', "/inputs/1", "ragged_row"),
    "fewer targets": ('{"inputs": [[1], [2]], "targets": [1]}', "/targets", "unequal_lengths"),
    "nested target": ('{"inputs": [[1], [2]], "targets": [[1], [[2]]]}', "/targets/1/0", "nested_value"),
    "inputs no list": ('{"inputs": 3, "targets": [1]}', "/inputs", "wrong_shape"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv_is_refused_with_its_fault_and_leaves_no_file(case, read, table):
    content, code = BAD_CSV[case]
    with pytest.raises(UnreadableTable) as caught:
        read(content)
    assert caught.value.status == 422
    assert code in {fault.code for fault in caught.value.faults}
    assert [path.name for path in table.parent.iterdir()] == ["upload"]


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json_is_refused_with_a_pointer(case, read, table):
    content, at, code = BAD_JSON[case]
    with pytest.raises(UnreadableTable) as caught:
        read(content, Format.JSON)
    assert (at, code) in {(fault.pointer, fault.code) for fault in caught.value.faults}
    assert not table.exists()


def test_ragged_rows_are_named_by_their_line_in_the_file(read):
    with pytest.raises(UnreadableTable) as caught:
        read('a,b\n"1\n1",2\n3\n' + "4,5\n" * 3 + "6,7,8\n" + "9\n" * 20 + "\n\n")
    messages = [fault.message for fault in caught.value.faults]
    assert messages[:2] == ["line 4 has 1 value, the header has 2", "line 8 has 3 values, the header has 2"]
    assert len(messages) == 6
    assert messages[-1].startswith("17 more lines")


def test_blank_lines_inside_are_named_though_a_chunk_ends_between_them(tmp_path, monkeypatch):
    monkeypatch.setattr(structure, "CHUNK_BYTES", 1)
    path = tmp_path / "upload"
    path.write_bytes(b"a,b\n1,2\n\n\n3,4\n")
    with pytest.raises(UnreadableTable) as caught:
        examine(path, LIMITS)
    assert [fault.message[:6] for fault in caught.value.faults] == ["line 3", "line 4"]


def test_all_faults_of_the_header_and_the_rows_come_at_once(read):
    with pytest.raises(UnreadableTable) as caught:
        read("a," + "b" * 501 + "\n1,2\n3\n")
    assert {fault.code for fault in caught.value.faults} == {"long_column_name", "ragged_row"}


@pytest.mark.parametrize(
    ("limits", "content"),
    [(Limits(2, 9), "a\n1\n2\n3\n"), (Limits(9, 2), "a,b,c\n1,2,3\n"), (Limits(9, 9, 4), "a,b\n1,2\n3,4\n5,6\n")],
)
def test_table_above_a_limit_is_too_large(limits, content, read):
    with pytest.raises(TooLarge):
        read(content, limits=limits)


def test_json_above_a_limit_is_too_large(read):
    for limits in (Limits(2, 9), Limits(9, 1, max_json_bytes=10)):
        with pytest.raises(TooLarge):
            read('{"columns": {"a": [1, 2, 3]}}', Format.JSON, limits=limits)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separators_line_ends_and_byte_order_marks_are_recognised(separator, line_end, mark, read, table):
    lines = [f"a{separator}b", f'1{separator}"x, y; z"', f"2{separator}u"]
    summary = read(mark + line_end.join(lines))
    assert [column.name for column in summary.columns] == ["a", "b"]
    assert preview(table, 9) == [{"a": 1, "b": "x, y; z"}, {"a": 2, "b": "u"}]


def test_kind_is_decided_over_all_rows_not_the_first(read):
    rows = ["1,2020-01-01,true,0,a"] * 2000 + ["x,soon,maybe,2,b"]
    summary = read("number,time,truth,bit,word\n" + "\n".join(rows))
    assert [column.kind for column in summary.columns] == [
        "categorical",
        "categorical",
        "categorical",
        "numeric",
        "categorical",
    ]


@pytest.mark.parametrize(
    ("values", "kind", "categories"),
    [
        (["1", " 2.5", "-3e-7", "+.5"], Kind.NUMERIC, None),
        (["0", "1", "NA", "1"], Kind.BOOLEAN, ["0", "1"]),
        (["Yes", "no", "T", "f", "FALSE"], Kind.BOOLEAN, ["false", "true"]),
        (["2024-02-29", "2024-03-01T10:00:00.5Z", "2024-03-01 10:00+01:00"], Kind.DATETIME, None),
        (["2024-02-30", "2024-03-01"], Kind.CATEGORICAL, ["2024-02-30", "2024-03-01"]),
        (["1_000", "0x10"], Kind.CATEGORICAL, ["0x10", "1_000"]),
        ([f"name {i}" for i in range(30)], Kind.TEXT, None),
        ([f"name {i % 30}" for i in range(60)], Kind.CATEGORICAL, sorted(f"name {i}" for i in range(30))),
        (["", "?", "NaN", "null"], Kind.NUMERIC, None),
    ],
)
def test_kind_fits_the_values(values, kind, categories, read):
    column = read("a,b\n" + "".join(f"{value},x\n" for value in values)).columns[0]
    assert (column.kind, column.categories) == (kind, categories)


@pytest.mark.parametrize("missing", MISSING)
def test_missing_values_are_counted_however_they_are_spelled(missing, read, table):
    column = read(f"a,b\n1,x\n{missing.upper()},x\n {missing},x\n2,x\n").columns[0]
    assert (column.kind, column.n_missing, column.n_unique, column.mean) == (Kind.NUMERIC, 2, 2, 1.5)


def test_statistics_of_the_largest_numbers_do_not_overflow(read):
    column = read("a\n1.7e308\n1.7e308\n-1.7e308\n").columns[0]
    assert column.mean == pytest.approx(1.7e308 / 3)
    assert column.std == pytest.approx(1.7e308 * (8 / 9) ** 0.5)


def test_kinds_override_keeps_the_strings_as_written(read, table):
    summary = read("zip,n\n01,1\n1,2\n1.0,3\n", kinds={"zip": Kind.CATEGORICAL, "n": Kind.CATEGORICAL})
    assert [column.categories for column in summary.columns] == [["01", "1", "1.0"], ["1", "2", "3"]]


def test_kinds_override_that_cannot_be_names_the_rows(read):
    with pytest.raises(InvalidRequest) as caught:
        read("a/b,c\n1,x\nx,y\n", kinds={"a/b": Kind.NUMERIC, "q": Kind.TEXT, "c": Kind.DATETIME})
    faults = {fault.pointer: fault for fault in caught.value.faults}
    assert set(faults) == {"/kinds/a~1b", "/kinds/q", "/kinds/c"}
    assert "row 2 holds 'x'" in faults["/kinds/a~1b"].message
    assert faults["/kinds/q"].allowed == ("a/b", "c")


def test_infinite_number_is_named_by_column_and_row(read):
    with pytest.raises(UnreadableTable) as caught:
        read("a,b\n1,x\n2,y\n-Infinity,z\n")
    assert "'a': row 3 holds '-Infinity'" in caught.value.faults[0].message


def test_json_columns_have_the_kinds_of_their_values(read, table):
    columns = {
        "n": [1, 2.5, None],
        "b": [True, None, False],
        "s": ["1", "2", "NA"],
        "o": [0, 1, 0],
        "m": [1, "x", True],
    }
    summary = read(json.dumps({"columns": columns}), Format.JSON)
    assert [column.kind for column in summary.columns] == [
        "numeric",
        "boolean",
        "categorical",
        "boolean",
        "categorical",
    ]
    assert summary.columns[2].n_missing == 1
    assert preview(table, 1) == [{"n": 1, "b": True, "s": "1", "o": 0, "m": "1"}]


def test_json_inputs_and_targets_become_columns_and_targets_are_hinted(read):
    summary = read('{"inputs": [[0, 0.5], [1, 2]], "targets": [[1, "a"], [0, "b"]]}', Format.JSON)
    assert [column.name for column in summary.columns] == ["x0", "x1", "y0", "y1"]
    assert [column.role_hint for column in summary.columns] == [None, None, RoleHint.TARGET, RoleHint.TARGET]


def test_a_failed_reading_keeps_the_table_that_was_there(read, table):
    read("a\n1\n")
    before = table.read_bytes()
    with pytest.raises(UnreadableTable):
        read("a,b\n1\n")
    assert table.read_bytes() == before


def test_path_with_wildcards_is_read_as_it_is_spelled(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "*.csv").write_text("b\n2\n3\n")
    summary = read_table(tmp_path / "*.csv", Format.CSV, {}, tmp_path / "[x]*.arrow", LIMITS)
    assert (summary.n_rows, summary.columns[0].name) == (2, "b")
    assert preview(tmp_path / "[x]*.arrow", 1) == [{"b": 2}]


cells = st.text(
    st.sampled_from("ab1.\",;\n\r\t| '#\\é€\u2028😀")
    | st.characters(codec="utf-8", exclude_characters="\0\x1c\x1d\x1e\x1f"),
    max_size=6,
)


@st.composite
def written(draw):
    """A table of strings, and the bytes that Python writes for it."""
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=6))
    names = [f"c{i}" + draw(st.sampled_from(["", " ", '"', "\n", ","])) + "e" for i in range(width)]
    text = io.StringIO(newline="")
    options = {"delimiter": draw(st.sampled_from(",;\t|")), "lineterminator": draw(st.sampled_from(["\n", "\r\n"]))}
    returns = any("\r" in cell for row in rows for cell in row)  # which the module leaves unquoted
    quoting = csv.QUOTE_ALL if returns else draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    csv.writer(text, quoting=quoting, **options).writerows([names, *rows])
    return names, rows, text.getvalue().encode()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written())
def test_what_the_csv_module_writes_is_read_back_as_it_was(tmp_path, table_of):
    names, rows, content = table_of
    source, stored = tmp_path / "upload", tmp_path / "table"
    source.write_bytes(content)
    try:
        read_table(source, Format.CSV, dict.fromkeys(names, Kind.TEXT), stored, LIMITS)
    except DescentError as error:
        assert error.faults  # noqa: PT017
        assert "," in "".join(names)  # which may be the separator, for all that the header says
        return
    frame = pl.read_ipc(stored)
    expected = [tuple(None if cell.strip().lower() in MISSING else cell for cell in row) for row in rows]
    if frame.columns == names or "," not in "".join(names):
        assert frame.rows() == expected


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60) | st.text(st.sampled_from('ab01,;\n\r"\t ?é\0.e-'), max_size=60).map(str.encode),
    format=st.sampled_from(Format),
)
def test_any_bytes_are_read_or_refused(tmp_path, content, format):
    source = tmp_path / "upload"
    source.write_bytes(content)
    try:
        summary = read_table(source, format, {}, tmp_path / "table", LIMITS)
    except DescentError as error:
        assert error.faults or isinstance(error, TooLarge)  # noqa: PT017
    else:
        assert summary.n_rows == pl.read_ipc(tmp_path / "table").height


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.sampled_from('a1,"\n\r'), max_size=12).map(str.encode), max_size=4), st.integers(1, 12))
def test_structure_does_not_depend_on_where_chunks_end(tmp_path, parts, size):
    path = tmp_path / "upload"
    path.write_bytes(b'a,b\n"1\n",2\n' + b"".join(parts))

    def outcome():
        try:
            return examine(path, LIMITS)
        except UnreadableTable as error:
            return error.faults

    with pytest.MonkeyPatch.context() as patch:
        whole = outcome()
        patch.setattr(structure, "CHUNK_BYTES", size)
        pieces = outcome()
    if isinstance(whole, tuple) and isinstance(pieces, tuple):
        assert bool(whole) == bool(pieces)  # an early stop may leave out later faults
    else:
        assert whole == pieces


times = st.datetimes().map(lambda time: time.isoformat()) | st.datetimes().map(
    lambda time: f"{time:%Y-%m-%d %H:%M}".zfill(16)
)
zones = st.sampled_from(["", "Z", "+00:00", "-07:30", "+1400"])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(times, zones).map("".join), min_size=2, max_size=20, unique=True))
def test_time_in_a_prediction_is_the_same_number_as_in_a_table(tmp_path, texts):
    source = tmp_path / "upload"
    source.write_text("a\n" + "".join(f"{text}\n" for text in texts))
    read_table(source, Format.CSV, {"a": Kind.DATETIME}, tmp_path / "table", LIMITS)
    stored = pl.read_ipc(tmp_path / "table")["a"].dt.epoch("us").to_numpy() / 1e6
    assert stored.tolist() == [seconds(text) for text in texts]
    preview(Path(tmp_path / "table"), 20)


@pytest.mark.slow
def test_large_csv_with_line_ends_in_quotes_is_streamed_and_complete(tmp_path):
    block = "".join(f'{i},"two\nlines, {i % 7}",{i / 8}\n' for i in range(50_000))
    source = tmp_path / "upload"
    source.write_text("a,b,c\n" + block * 32)
    assert source.stat().st_size > 32 * 2**20
    summary = read_table(source, Format.CSV, {}, tmp_path / "table", LIMITS)
    assert summary.n_rows == 50_000 * 32
    assert [column.n_unique for column in summary.columns] == [50_000, 7, 50_000]
