"""Tables made by chance: each is refused, or predicted as its rows are when they are sent one by one."""

import csv
import io
import random

import polars as pl
import pytest

from app.contract.evaluation import Metric, PredictionsFormat
from app.errors import DescentError
from app.evaluation.hardest import hardest
from app.evaluation.importance import importance
from app.evaluation.measures import evaluate
from app.evaluation.predictions import predict
from app.evaluation.subject import column_faults
from app.tables.reading import preview
from engine.predict import predict as feed_forward

CELLS = {
    "number": lambda r: repr(round(r.gauss(0, 10 ** r.choice([0, 3, -3])), 3)),
    "count": lambda r: str(r.randint(0, 3)),
    "0 or 1": lambda r: str(r.randint(0, 1)),
    "truth": lambda r: r.choice(["true", "false"]),
    "word": lambda r: r.choice(["a", "b", "c é", "d,x"]),
    "day": lambda r: f"20{r.randint(10, 30)}-0{r.randint(1, 9)}-1{r.randint(0, 9)}",
    "huge": lambda r: r.choice(["1e308", "-1e308", "1e-300", "3"]),
    "code": lambda r: r.choice(["1", "2", "x", "07"]),
    "nothing": lambda r: "",
}


def table(r, kinds, n_rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(f"c{place}" for place in range(len(kinds) - 1)), "t"])
    writer.writerows(["" if r.random() < 0.15 else CELLS[kind](r) for kind in kinds] for _ in range(n_rows))
    return text.getvalue()


def differs(said, value, expected):
    """Whether a prediction is another one than rounding explains."""
    if isinstance(value, float) and expected["value"] is not None:
        return said is None or abs(said - value) > 1e-4 * max(1, abs(value))
    first, second = sorted(expected.get("probabilities", {"": 1, " ": 0}).values())[:-3:-1]
    return said != value and first - second > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_odd_tables_are_refused_or_predicted_as_their_rows_are(bench, seed):
    r, n_predicted = random.Random(seed), 0
    while n_predicted < 8:
        kinds = [r.choice(list(CELLS)) for _ in range(r.randint(2, 6))]
        others = [kind if r.random() < 0.8 else r.choice(list(CELLS)) for kind in kinds]
        rule = {"missing": r.choice(["mean", "drop_row", "error"]), "categorical": r.choice(["one_hot", "ordinal"])}
        try:
            subject = bench.model(table(r, kinds, r.randint(5, 60)), "t", **rule)
            stored, columns = bench.table(table(r, others, r.randint(1, 60)))
        except DescentError:
            continue
        if column_faults(subject.preprocessing, columns, with_targets=True):
            continue
        check(stored, subject)
        n_predicted += 1


def check(stored, subject):
    fitted, content = subject.preprocessing, io.BytesIO()
    predict(content.write, stored, subject, PredictionsFormat.PARQUET)
    found = pl.read_parquet(content.getvalue())["t"].to_list()
    rows = preview(stored, 1000)
    assert len(found) == len(rows)
    for row, said in zip(rows, found, strict=True):
        try:
            x = fitted.encode_rows([{name: row[name] for name in fitted.feature_names}], subject.dtype)
        except DescentError:
            assert said is None
            continue
        outputs = feed_forward(subject.network, subject.parameters(), x)
        (expected,) = fitted.decode(outputs, probabilities=subject.probabilities)
        assert not differs(said, expected["value"], expected), (row, said, expected)
    assert refusal(lambda: evaluate(stored, subject)) in {None, "no_rows"}
    assert refusal(lambda: hardest(stored, subject, 3)) in {None, "no_rows"}
    options = {"repeats": 2, "seed": 0, "max_rows": 20}
    found = refusal(lambda: importance(stored, subject, Metric.LOSS, **options))
    assert found in {None, "no_rows", "undefined_metric"}


def refusal(use):
    """The code of the first fault; None if there is none."""
    try:
        use()
    except DescentError as error:
        return error.faults[0].code
    return None
