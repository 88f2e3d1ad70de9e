"""Times in the forms that people write, the same in an upload and in a prediction."""

import datetime as dt

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.contract.datasets import Format, Kind
from app.errors import InvalidRequest
from app.tables.reading import preview, read_table
from app.tables.times import Form, form_of
from app.tables.words import seconds
from tests.app.tables.conftest import LIMITS

pytestmark = pytest.mark.slow

FORMS = {
    "2024/01/31": "2024-01-31T00:00:00Z",
    "2024/1/5 7:05": "2024-01-05T07:05:00Z",
    "2024.01.31": "2024-01-31T00:00:00Z",
    "31.01.2024": "2024-01-31T00:00:00Z",
    "1.2.2024 10:00:00.5": "2024-02-01T10:00:00.500000Z",
    "31.01.2024, 10:00": "2024-01-31T10:00:00Z",
    "31 Jan 2024": "2024-01-31T00:00:00Z",
    "31-Jan-2024 11:59 PM": "2024-01-31T23:59:00Z",
    "5 September 2024": "2024-09-05T00:00:00Z",
    "Jan 31, 2024": "2024-01-31T00:00:00Z",
    "Wednesday, January 31, 2024 12:30 AM": "2024-01-31T00:30:00Z",
    "Wed, 31 Jan 2024 10:00:00 +0130": "2024-01-31T08:30:00Z",
    "Wed, 31 Jan 2024 10:00:00 GMT": "2024-01-31T10:00:00Z",
    "31/01/2024": "2024-01-31T00:00:00Z",
    "31-01-2024 10:00": "2024-01-31T10:00:00Z",
    "01/31/2024 10:00:00 am": "2024-01-31T10:00:00Z",
    "12/12/2024 12:00 pm": "2024-12-12T12:00:00Z",
}


@pytest.mark.parametrize("text", [text for text in FORMS if text[:5] != "12/12"])
def test_common_forms_are_times(text, read, table):
    column = read(f'when,n\n"{text}",1\nNA,2\n-,3\n').columns[0]
    assert (column.kind, column.n_missing) == (Kind.DATETIME, 2)
    assert preview(table, 1)[0]["when"] == FORMS[text]


@pytest.mark.parametrize("text", FORMS)
def test_common_forms_are_understood_in_a_prediction(text):
    moment = dt.datetime.fromisoformat(FORMS[text])
    assert seconds(f" {text} ") == moment.timestamp()


@pytest.mark.parametrize("order", ["dmy", "mdy"])
def test_the_whole_column_decides_whether_the_day_or_the_month_is_first(order, read, table):
    days = [dt.date(2024, 2, 1) + dt.timedelta(days=i) for i in range(2000)]
    spelled = "%d/%m/%Y" if order == "dmy" else "%m/%d/%Y"
    column = read("when\n" + "".join(f"{day:{spelled}}\n" for day in days)).columns[0]
    assert column.kind is Kind.DATETIME
    assert pl.read_ipc(table)["when"].dt.date().to_list() == days


@pytest.mark.parametrize("rows", [["01/02/2024", "03/04/2024"], ["31/01/2024", "01/31/2024"]])
def test_dates_of_which_the_month_cannot_be_told_are_no_times(rows, read):
    summary = read("when,n\n" + "".join(f"{row},1\n" for row in rows))
    assert summary.columns[0].kind is Kind.CATEGORICAL
    if "31" not in rows[0]:
        assert [notice.code for notice in summary.warnings] == ["ambiguous_dates"]
    with pytest.raises(InvalidRequest):
        read("when,n\n" + "".join(f"{row},1\n" for row in rows), kinds={"when": Kind.DATETIME})


@pytest.mark.parametrize(
    "text",
    ["01/02/2024", "30.02.2024", "31/31/2024", "31 Foo 2024", "1.1.24", "13:00", "2024-1-1", "1/1/2024 13:00 PM"],
)
def test_what_names_no_moment_is_none_in_a_prediction(text):
    assert seconds(text) is None


def test_a_column_of_two_forms_is_no_column_of_times(read):
    assert read("when,n\n2024-01-31,1\n31.01.2024,2\n").columns[0].kind is Kind.CATEGORICAL


moments = st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9999, 12, 31))
spellings = {
    Form.YEAR_FIRST: ["%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%Y.%m.%dT%H:%M"],
    Form.DOTTED: ["%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y, %H:%M:%S.%f"],
    Form.NAMED: ["%d %b %Y", "%d-%B-%Y %I:%M %p", "%a, %d %b %Y %H:%M:%S +0230", "%d %b %Y %H:%M:%S GMT"],
    Form.NAMED_FIRST: ["%b %d, %Y", "%A, %B %d %Y %I:%M:%S %p"],
    Form.DAY_FIRST: ["%d/%m/%Y", "%m/%d/%Y %I:%M%p", "%d-%m-%Y %H:%M:%S"],
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_form_is_the_same_number_in_a_table_and_in_a_prediction(tmp_path, data):
    form = data.draw(st.sampled_from(list(spellings)))
    spelled = data.draw(st.sampled_from(spellings[form]))
    texts = [time.strftime(spelled) for time in data.draw(st.lists(moments, min_size=1, max_size=20))]
    assert {form_of(text) for text in texts} == {form}
    source = tmp_path / "upload"
    source.write_text("a;b\n" + "".join(f'"{text}";x\n' for text in texts))
    summary = read_table(source, Format.CSV, {}, tmp_path / "table", LIMITS)
    if summary.columns[0].kind is not Kind.DATETIME:
        assert form is Form.DAY_FIRST
        return
    stored = pl.read_ipc(tmp_path / "table")["a"].dt.epoch("us").to_numpy() / 1e6
    for number, text in zip(stored.tolist(), texts, strict=True):
        assert seconds(text) in {number, None}
        if form is not Form.DAY_FIRST:
            assert seconds(text) == number
