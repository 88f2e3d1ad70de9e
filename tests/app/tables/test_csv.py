"""CSV as people have it: any separator, encoding, header or none."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.contract.datasets import Format, Header, Kind
from app.errors import InvalidRequest, UnreadableTable
from app.tables.reading import preview, read_table
from app.tables.summary import ReadOptions
from tests.app.tables.conftest import LIMITS


@pytest.mark.parametrize("separator", list(",;\t|^~\x01\x1f"))
def test_sensible_separators_are_guessed(separator, read, table):
    summary = read(f"a{separator}b\n1{separator}x\n2{separator}y\n")
    assert summary.read.separator == separator
    assert preview(table, 1) == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize("separator", list(" :#_.-xB7!'\\\x0c"))
def test_any_ascii_character_is_a_separator_when_it_is_declared(separator, read, table):
    lines = [["name", "n"], ["t,u", "5"], [f"v{separator}w", "6"]]
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    summary = read(text.getvalue(), separator=separator)
    assert summary.read.separator == separator
    assert preview(table, 9) == [{"name": "t,u", "n": 5}, {"name": f"v{separator}w", "n": 6}]


def test_decimal_commas_are_numbers_where_the_separator_is_another(read, table):
    summary = read("Preis;Menge;Code;Mix\n1,5;1.234,5;1.234;1.5\n-2;12;5.678;1,5\n,25;n.a.;7.5;3\n")
    assert [column.kind for column in summary.columns] == [
        Kind.NUMERIC,
        Kind.NUMERIC,
        Kind.NUMERIC,
        Kind.CATEGORICAL,
    ]
    assert [row["Preis"] for row in preview(table, 9)] == [1.5, -2, 0.25]
    assert [row["Menge"] for row in preview(table, 9)] == [1234.5, 12, None]
    assert [row["Code"] for row in preview(table, 9)] == [1.234, 5.678, 7.5]


def test_decimal_commas_do_not_hide_the_separator_without_a_header(read, table):
    summary = read("1,5;2,5\n3,0;4,1\n")
    assert (summary.read.separator, summary.read.has_header) == (";", False)
    assert preview(table, 1) == [{"column_0": 1.5, "column_1": 2.5}]


def test_decimal_comma_can_be_infinite_and_is_refused(read):
    with pytest.raises(UnreadableTable) as caught:
        read("a;b\n1,5;x\n1,0e999;y\n")
    assert "row 2 holds '1,0e999'" in caught.value.faults[0].message


ENCODED = {
    "cp1252": "Straße,Preis\nMüller-Lüdenscheidt,5 €\nAndré’s Café,3 €\nseñor Muñoz,2 €\n",
    "latin-1": "stad,län\nMalmö,Skåne\nGöteborg,Västra Götaland\nLuleå,Norrbotten\n",
    "iso8859-15": "prénom,ville\nHélène,Nîmes\nFrançois,Besançon\n",
    "cp1250": "miasto,kraj\nŁódź,Polska\nKraków,ząb\nGdańsk,łąka\nWrocław,część\nBiałystok,świat\n",
    "cp1251": "город,страна\nМосква,Россия\nКазань,река\nСанкт-Петербург,Нева\nмашина,дом\n",
    "koi8-r": "город,страна\nМосква,Россия\nКазань,река\nСанкт-Петербург,Нева\nмашина,дом\n",
    "cp1253": "πόλη,χώρα\nΑθήνα,Ελλάδα\nΘεσσαλονίκη,Μακεδονία\nκαλημέρα,κόσμε\n",
    "cp1254": "şehir,ülke\nİstanbul,Türkiye\nDiyarbakır,Iğdır\nçalışma,öğretmen\nMuğla,Şanlıurfa\n",
    "shift_jis": "都市,国\n東京,日本\n大阪市,関西地方\n京都,さくら\nカタカナ,テスト\n",
    "gb18030": "城市,国家\n北京,中国\n上海市,中华人民共和国\n广州,广东省\n",
    "utf-8": "mixed,ünïcode\n😀,é\n",
    "utf-8-sig": "mark,x\né,y\n",
    "utf-16": "köy,x\né,😀\n",
    "utf-32": "köy,x\né,😀\n",
}


def rows_of(text):
    names, *rows = csv.reader(io.StringIO(text))
    return [dict(zip(names, row, strict=True)) for row in rows]


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("is_declared", [True, False])
def test_text_is_read_right_in_the_encoding_it_is_in_declared_or_guessed(encoding, is_declared, read, table):
    text = ENCODED[encoding]
    summary = read(text.encode(encoding), encoding=encoding if is_declared else None)
    assert preview(table, 9) == rows_of(text)
    is_guessed = not is_declared and not encoding.startswith("utf")
    assert [notice.code for notice in summary.warnings] == ["guessed_encoding"] * is_guessed


def test_one_letter_beyond_ascii_late_in_the_file_is_read_right(read, table):
    content = ("a,b\n" + "x,1\n" * 1_000_000 + "Müller,2\n").encode("latin-1")
    summary = read(content)
    assert summary.read.encoding == "cp1252"
    assert summary.columns[0].categories == ["Müller", "x"]


def test_text_that_is_not_in_the_declared_encoding_is_refused_with_the_line(read):
    for encoding, content in (
        ("utf-8", b"a\nx\n\xe9\n"),
        ("shift_jis", b"a\nx\n\xff\n"),
        ("utf-16", b"\xff\xfea\0\0\xdc"),
    ):
        with pytest.raises(UnreadableTable) as caught:
            read(content, encoding=encoding)
        assert "line" in caught.value.faults[0].message


@pytest.mark.parametrize("encoding", ["klingon", "hex", "zip", "rot13", "idna", "unicode_escape", "../../etc", "utf-7"])
def test_what_is_no_encoding_of_text_is_refused(encoding, read):
    with pytest.raises(InvalidRequest) as caught:
        read("a\n1\n", encoding=encoding)
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("?encoding", "unknown_encoding")]


HEADS = {
    "words over numbers": ("a,b\n1,2\n3,4\n", True),
    "numbers over numbers": ("5.1,3.5\n4.9,3.0\n", False),
    "the iris of the UCI": ("5.1,3.5,Iris-setosa\n4.9,3.0,Iris-setosa\n", False),
    "adults of the UCI": ("39, State-gov, 77516\n50, Self-emp, 83311\n38, Private, 215646\n", False),
    "years over numbers": ("country,1990,1991,1992\nChad,1,2,3\nMali,4,5,6\n", True),
    "places over numbers": ("0,1,2\n0.5,0.25,3\n", True),
    "three numbers that count, over numbers": ("1,2,3\n4,5,6\n", False),
    "truth tables": ("0,0,0\n0,1,1\n1,0,1\n1,1,0\n", False),
    "words over words": ("city,colour\nRome,red\nOslo,blue\n", True),
    "mushrooms of the UCI": ("p,x,s\ne,x,s\np,b,s\ne,x,y\n", False),
    "times over times": ("2024-01-01,up\n2024-01-02,down\n", False),
    "words over times": ("day,way\n2024-01-01,up\n2024-01-02,down\n", True),
    "a number missing in the first row": ("NA,2\n1,3\n", False),
    "words over missing": ("a,b\nNA,NA\n", True),
    "one row of numbers": ("1,2,3\n", False),
    "one column of numbers": ("1\n2\n3\n", False),
    "one column of words": ("a\na\nb\n", True),
    "an index without a name": (",a\n0,x\n1,y\n", True),
}


@pytest.mark.parametrize("case", HEADS)
def test_header_is_found_by_what_is_below_it(case, read):
    content, has_header = HEADS[case]
    summary = read(content)
    assert summary.read.has_header is has_header
    assert summary.n_rows == content.count("\n") - has_header
    if not has_header:
        assert [column.name for column in summary.columns][:2] == ["column_0", "column_1"][: len(summary.columns)]
        assert [notice.code for notice in summary.warnings] == ["no_header"]


@pytest.mark.parametrize("content", [content for content, _ in HEADS.values() if content.count("\n") > 1])
def test_header_is_as_declared(content, read):
    n_lines = content.count("\n")
    with_header, without = (read(content, header=header) for header in (Header.TRUE, Header.FALSE))
    assert (with_header.n_rows, without.n_rows) == (n_lines - 1, n_lines)
    assert without.columns[0].name == "column_0"
    assert without.warnings == ()


def test_columns_named_alike_or_not_at_all_are_told_apart_and_named_in_the_warnings(read):
    summary = read("a,,a_2,a,a,\n1,2,3,4,5,6\n")
    assert [column.name for column in summary.columns] == ["a", "column_1", "a_2", "a_3", "a_4", "column_5"]
    warnings = {notice.code: notice.message for notice in summary.warnings}
    assert set(warnings) == {"unnamed_column", "renamed_column"}
    assert "column 4 is named 'a_3'" in warnings["renamed_column"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "", " a", "a_2", "a_3", "column_0", "column_1"]), min_size=1, max_size=8))
def test_names_are_all_different_and_those_that_are_already_stay(names):
    from app.tables.names import usable_names

    faults = []
    usable, _ = usable_names(names, faults)
    assert len(set(usable)) == len(names) == len(usable)
    assert all(usable)
    for place, name in enumerate(names):
        if name.strip() and name.strip() not in [other.strip() for other in names[:place]]:
            assert usable[place] == name.strip()


cells = st.text(st.sampled_from("äöüßéàçñøåÄÖ€abcdef -"), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cells, cells), min_size=8, max_size=30), st.sampled_from(["cp1252", "iso8859-15"]))
def test_declared_encodings_give_back_what_was_written(tmp_path, rows, encoding):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("first name", "second name"), *rows])
    source, table = tmp_path / "upload", tmp_path / "table"
    source.write_bytes(text.getvalue().encode(encoding))
    kinds = dict.fromkeys(["first name", "second name"], Kind.TEXT)
    options = ReadOptions(encoding=encoding, header=Header.TRUE, separator=",")
    read_table(source, Format.CSV, kinds, table, LIMITS, options)
    found = [tuple(row.values()) for row in preview(table, 99)]
    assert found == [tuple(None if not cell.strip() else cell for cell in row) for row in rows]
