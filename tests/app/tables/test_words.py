"""Missing values and large integers: one rule for uploads and predictions."""

import json

import pytest

from app.contract.datasets import Format, Kind
from app.tables.fitted import FittedInput, FittedPreprocessing, FittedTarget
from app.tables.reading import preview
from app.tables.words import MISSING, MISSING_NUMBERS, is_missing_number

SPELLED = ["NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", "?", "-", "--", ".", "", "n.a.", "missing", "NaT"]
SPELLED += ["\\N", "#VALUE!", "#DIV/0!", "<NA>", "(null)"]


@pytest.mark.parametrize("missing", SPELLED)
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5"], Kind.NUMERIC),
        (["yes", "no"], Kind.BOOLEAN),
        (["0", "1"], Kind.BOOLEAN),
        (["2024-01-31", "2024-02-01"], Kind.DATETIME),
        (["31.01.2024", "01.02.2024"], Kind.DATETIME),
    ],
)
def test_among_numbers_truth_values_and_times_every_spelling_is_missing(missing, values, kind, read):
    column = read("a,b\n" + "".join(f"{value},x\n" for value in [*values, missing, f" {missing} "])).columns[0]
    assert (column.kind, column.n_missing) == (kind, 2)


@pytest.mark.parametrize("missing", MISSING)
def test_among_words_what_nobody_means_as_a_value_is_missing(missing, read):
    column = read(f"a,b\nred,x\nblue,x\n{missing},x\n{missing.upper()},x\n").columns[0]
    assert (column.kind, column.n_missing, column.categories) == (Kind.CATEGORICAL, 2, ["blue", "red"])


@pytest.mark.parametrize("word", sorted(set(MISSING_NUMBERS) - set(MISSING)))
def test_among_words_what_may_be_a_value_is_one(word, read):
    column = read(f"a,b\nsome,x\nmany,x\n{word},x\n").columns[0]
    assert (column.kind, column.n_missing, column.categories) == (Kind.CATEGORICAL, 0, sorted(["some", "many", word]))


def test_plus_and_minus_are_categories(read):
    assert read("rhesus,n\n+,1\n-,2\n+,3\n").columns[0].categories == ["+", "-"]


def test_a_column_of_nothing_but_missing_values_is_all_missing(read):
    column = read("a,b\n" + "".join(f"{missing},x\n" for missing in MISSING_NUMBERS)).columns[0]
    assert (column.kind, column.n_missing) == (Kind.NUMERIC, len(MISSING_NUMBERS))


@pytest.mark.parametrize("kind", [Kind.NUMERIC, Kind.BOOLEAN, Kind.DATETIME])
def test_a_prediction_takes_what_is_missing_in_an_upload_for_missing(kind):
    target = FittedTarget("y", Kind.NUMERIC)
    number = FittedInput("a", kind, "standardize", offset=0.0, scale=1.0, fill=7.0)
    fitted = FittedPreprocessing("regression", (number,), (target,), "mean")
    for missing in SPELLED:
        assert is_missing_number(missing)
        assert fitted.encode_rows([{"a": missing}], "f8").tolist() == [[7.0]]


def test_integers_that_would_lose_digits_are_text_unless_their_kind_is_given(read, table):
    large = [2**53 + 1, 2**63, 10**30]
    text = "id,n,f\n" + "".join(f"{one},{2**53},1e300\n" for one in large)
    lines = "".join(json.dumps({"id": one, "n": 2**53, "f": 1e300}) + "\n" for one in large)
    columns = json.dumps({"columns": {"id": large, "n": [2**53] * 3, "f": [1e300] * 3}})
    for content, format in ((text, Format.CSV), (lines, Format.JSONL), (columns, Format.JSON)):
        summary = read(content, format)
        assert [column.kind for column in summary.columns] == [Kind.CATEGORICAL, Kind.NUMERIC, Kind.NUMERIC]
        assert [row["id"] for row in preview(table, 3)] == [str(one) for one in large]
        assert [notice.code for notice in summary.warnings] == ["large_integers"]
        assert read(content, format, kinds={"id": Kind.NUMERIC}).columns[0].max == 1e30
