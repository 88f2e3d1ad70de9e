"""A model applied to tables: predictions, metrics, importance and hardest rows, against the same thing done row by row."""

import csv
import io
import random

import numpy as np
import polars as pl
import pytest
from sklearn.inspection import permutation_importance
from sklearn.metrics import root_mean_squared_error

from app.contract.evaluation import Metric, PredictionsFormat
from app.contract.preprocessing import Task
from app.errors import InvalidRequest
from app.evaluation import rows
from app.evaluation.hardest import hardest
from app.evaluation.importance import importance
from app.evaluation.measures import evaluate
from app.evaluation.predictions import predict
from app.evaluation.subject import column_faults
from app.exports.weights import from_npz, to_npz
from engine.predict import predict as feed_forward

FLOWERS = "length,colour,wild,species\n" + "".join(
    f"{i * 0.37 % 5:.2f},{('red', 'blue', 'white')[i % 3]},{('true', 'false')[i % 2]},{('rose', 'lily', 'iris')[i * 7 % 3]}\n"
    for i in range(60)
)
HOUSES = "rooms,area,id,price\n" + "".join(
    f"{1 + i % 5},{40 + i * 13 % 97},{i * 31 % 60}.5,{100 + i * 17 % 211}\n" for i in range(60)
)


@pytest.fixture(params=[3, 7, 65_536])
def small_chunks(request, monkeypatch):
    """Answers may not depend on how many rows are taken at a time."""
    monkeypatch.setattr(rows, "MAX_ROWS", request.param)
    monkeypatch.setattr("app.evaluation.hardest.MAX_CELLS", 4 * request.param)


def predicted(table, subject, format=PredictionsFormat.CSV):
    content = io.BytesIO()
    predict(content.write, table, subject, format)
    return content.getvalue()


def as_rows(content, subject):
    """What `/predict` answers for the same rows, sent as JSON."""
    frame = pl.read_csv(io.StringIO(content))
    sent = [{name: row[name] for name in subject.preprocessing.feature_names} for row in frame.to_dicts()]
    x = subject.preprocessing.encode_rows(sent, subject.dtype)
    outputs = feed_forward(subject.network, subject.parameters(), x)
    return subject.preprocessing.decode(outputs, probabilities=subject.probabilities)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_csv_says_what_a_prediction_of_rows_says(bench, small_chunks, output):
    content = FLOWERS if output == "softmax" else FLOWERS.replace("iris", "lily")
    subject = bench.model(content, "species", output=output)
    table, _ = bench.table(content)
    found = pl.read_csv(predicted(table, subject))
    expected = as_rows(content, subject)
    labels = subject.preprocessing.classes
    assert found.columns == ["species", *(f"p_{label}" for label in labels)]
    assert found["species"].to_list() == [one["value"] for one in expected]
    for label in labels:
        assert found[f"p_{label}"].to_list() == pytest.approx(
            [one["probabilities"][label] for one in expected], abs=1e-6
        )


def test_parquet_says_what_csv_says(bench, small_chunks):
    for content, target in ((FLOWERS, "species"), (FLOWERS, "wild"), (HOUSES, ["price", "area"])):
        subject = bench.model(content, target)
        table, _ = bench.table(content)
        parquet = pl.read_parquet(predicted(table, subject, PredictionsFormat.PARQUET))
        csv = pl.read_csv(predicted(table, subject))
        assert parquet.equals(csv.cast(dict(parquet.schema)))
        assert parquet.height == 60


def test_a_regression_is_predicted_in_the_unit_of_its_column(bench, small_chunks):
    subject = bench.model(HOUSES, ["price", "area"])
    table, _ = bench.table(HOUSES)
    found = pl.read_csv(predicted(table, subject))
    assert found.columns == ["price", "area"]
    expected = [one["value"] for one in as_rows(HOUSES, subject)]
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-6)


def test_a_row_that_cannot_be_predicted_is_a_blank_line_in_its_place(bench, small_chunks):
    subject = bench.model(HOUSES, "price", missing="drop_row")
    table, _ = bench.table("rooms,area,id\n1,50,0.5\n,50,0.5\n2,60,1.5\n3,1e300,1.5\n")
    lines = predicted(table, subject).decode().splitlines()
    assert len(lines) == 5
    assert [line == "" for line in lines] == [False, False, False, False, True], "1e300 is too far from the others"


def test_missing_and_unseen_values_follow_the_rule_and_never_fail(bench):
    subject = bench.model(FLOWERS, "species")
    table, columns = bench.table("length,colour,wild\n,green,\n1.5,,true\n2.5,red,no\n")
    assert not column_faults(subject.preprocessing, columns, with_targets=False)
    assert pl.read_csv(predicted(table, subject))["species"].null_count() == 0


def test_columns_of_another_type_with_the_same_values_are_taken(bench):
    subject = bench.model("size,zip,y\n0,a1,0.5\n2,7,1.5\n3,8,2.5\n5,7.5,3.5\n4,a1,1.5\n", "y")
    assert [one.kind for one in subject.preprocessing.inputs] == ["numeric", "categorical"]
    # Here `size` looks like truth values and `zip` like numbers.
    table, columns = bench.table("size,zip\n0,7\n1,8\n1,7.5\n1,\n")
    assert {column.name: column.kind for column in columns} == {"size": "boolean", "zip": "numeric"}
    assert not column_faults(subject.preprocessing, columns, with_targets=False)
    expected = as_rows("size,zip\n0,'7'\n1,'8'\n1,'7.5'\n1,\n".replace("'", ""), subject)
    assert pl.read_csv(predicted(table, subject))["y"].to_list() == pytest.approx([one["value"] for one in expected])


def test_words_of_truth_are_no_numbers(bench):
    subject = bench.model(HOUSES, "price")
    _, columns = bench.table("rooms,area,id,price\ntrue,50,1.5,false\nfalse,60,2.5,true\n")
    faults = column_faults(subject.preprocessing, columns, with_targets=True)
    assert [fault.code for fault in faults] == ["wrong_kind", "wrong_kind"]


def test_columns_without_a_single_value_are_taken_for_any_kind(bench):
    content = "at,length,colour,species\n" + "".join(
        f"2026-01-{i + 1:02},{i / 3:.3f},{'rgb'[i % 3]},{'xy'[i % 2]}\n" for i in range(28)
    )
    subject = bench.model(content, "species")
    table, columns = bench.table("at,length,colour,species\n,,,x\n,,,y\n")
    assert not column_faults(subject.preprocessing, columns, with_targets=True)
    assert evaluate(table, subject)["n_evaluated"] == 2


def test_a_probability_column_never_takes_the_name_of_another(bench):
    content = FLOWERS.replace("species", "p_rose")
    subject = bench.model(content, "p_rose")
    table, _ = bench.table(content)
    assert pl.read_csv(predicted(table, subject)).columns == ["p_rose", "p_iris", "p_lily", "p_rose_"]


def test_names_with_commas_and_quotes_survive_in_csv(bench):
    labels = ('"a,b"', '"c""d"', "e f")
    content = 'length,"the ""kind"", roughly"\n'
    content += "".join(f"{i / 7:.3f},{labels[i % 3]}\n" for i in range(30))
    subject = bench.model(content, 'the "kind", roughly')
    table, _ = bench.table(content)
    found = list(csv.DictReader(io.StringIO(predicted(table, subject).decode(), newline="")))
    assert list(found[0]) == ['the "kind", roughly', "p_a,b", 'p_c"d', "p_e f"]
    assert {row['the "kind", roughly'] for row in found} <= {"a,b", 'c"d', "e f"}
    assert len(found) == 30


def test_long_text_of_hard_rows_is_cut(bench):
    content = "length,note,y\n" + "".join(f"{i / 7:.3f},{'x' * (400 + i)}{i},{i}.5\n" for i in range(200))
    subject = bench.model(content, "y")
    assert subject.preprocessing.feature_names == ("length",)
    found = hardest(bench.table(content)[0], subject, 200)["rows"]
    assert max(len(row["values"]["note"]) for row in found) == 500


def test_faults_of_the_columns_are_listed_all_at_once(bench):
    subject = bench.model(FLOWERS, "species", missing="error")
    _, columns = bench.table("length,wild,species\nlong,1.5,2026-01-01\nshort,2.5,2026-01-02\n")
    faults = column_faults(subject.preprocessing, columns, with_targets=True)
    assert [(fault.pointer, fault.code) for fault in faults] == [
        ("/dataset_id", "wrong_kind"),
        ("/dataset_id", "lacking_column"),
        ("/dataset_id", "wrong_kind"),
        ("/dataset_id", "wrong_kind"),
    ]
    _, columns = bench.table("length,colour,wild,species\n,red,true,rose\n1.5,red,,rose\n")
    faults = column_faults(subject.preprocessing, columns, with_targets=True)
    assert faults == [], "gaps are filled as in training, even where training refused them"


def test_evaluation_counts_what_it_leaves_out_and_why(bench, small_chunks):
    subject = bench.model(FLOWERS, "species", missing="drop_row")
    lines = ["length,colour,wild,species", *(["1.5,red,true,rose"] * 3), "2.5,blue,false,lily"]
    lines += ["2.5,blue,false,tulip", "1.5,red,true,", "1.5,,true,tulip", "1e300,red,true,rose", "0.5,red,true,daisy"]
    found = evaluate(bench.table("\n".join(lines) + "\n")[0], subject)
    assert (found["n_rows"], found["n_evaluated"]) == (9, 4)
    assert (found["n_without_target"], found["n_unseen_class"], found["n_without_prediction"]) == (1, 3, 1)
    assert found["unseen_classes"] == {"tulip": 2, "daisy": 1}
    assert {one["code"] for one in found["warnings"]} == {"missing_target", "unseen_class", "unpredictable_rows"}
    assert {name: one["support"] for name, one in found["per_class"].items()} == {"iris": 0, "lily": 1, "rose": 3}
    assert found["roc_auc"] is None
    alone = evaluate(bench.table("\n".join(lines[:5]) + "\n")[0], subject)
    for name in ("loss", "accuracy", "balanced_accuracy", "log_loss", "per_class", "confusion_matrix"):
        assert found[name] == alone[name], "what is left out plays no part"


def test_a_table_without_a_row_that_can_be_used_is_refused(bench):
    subject = bench.model(FLOWERS, "species")
    table, _ = bench.table("length,colour,wild,species\n1.5,red,true,tulip\n")
    for use in (
        lambda: evaluate(table, subject),
        lambda: hardest(table, subject, 5),
        lambda: importance(table, subject, Metric.LOSS, repeats=1, seed=0, max_rows=5),
    ):
        with pytest.raises(InvalidRequest) as caught:
            use()
        assert [fault.code for fault in caught.value.faults] == ["no_rows"]


def test_numbers_as_classes_are_known_whatever_they_look_like(bench):
    content = "length,level\n" + "".join(f"{i / 7:.4f},{i % 3}\n" for i in range(60))
    subject = bench.model(content, "level", task=Task.CLASSIFICATION)
    table, columns = bench.table("length,level\n0.15,0\n0.25,1\n0.35,1\n")
    assert columns[1].kind == "boolean"
    found = evaluate(table, subject)
    assert [one["support"] for one in found["per_class"].values()] == [1, 2, 0]
    found = evaluate(bench.table("length,level\n0.15,0\n0.25,1\n0.35,3\n0.5,2\n")[0], subject)
    assert found["unseen_classes"] == {"3": 1}


def test_metrics_of_several_targets_are_those_of_each_and_over_all(bench, small_chunks):
    subject = bench.model(HOUSES, ["price", "area"])
    table, _ = bench.table(HOUSES)
    found = evaluate(table, subject)
    right = pl.read_csv(io.StringIO(HOUSES)).select("price", "area").to_numpy()
    residual = pl.read_csv(predicted(table, subject)).to_numpy() - right
    for place, name in enumerate(("price", "area")):
        one = found["per_target"][name]
        assert one["rmse"] == pytest.approx(np.sqrt((residual[:, place] ** 2).mean()), rel=1e-6)
        assert one["mae"] == pytest.approx(np.abs(residual[:, place]).mean(), rel=1e-6)
    assert found["rmse"] == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-6)
    assert found["mae"] == pytest.approx(np.abs(residual).mean(), rel=1e-6)
    r2 = 1 - (residual**2).sum(0) / ((right - right.mean(0)) ** 2).sum(0)
    assert found["r2"] == pytest.approx(r2.mean(), rel=1e-6)


def test_hardest_rows_are_the_first_of_all_rows_sorted_by_loss(bench, small_chunks):
    subject = bench.model(FLOWERS, "species")
    content = FLOWERS + FLOWERS.split("\n", 1)[1]  # every row twice: equal losses
    table, _ = bench.table(content)
    everything = hardest(table, subject, 1000)["rows"]
    assert len(everything) == 120
    probabilities = [one["probabilities"] for one in as_rows(content, subject)]
    species = pl.read_csv(io.StringIO(content))["species"].to_list()
    costs = [-np.log(chances[name]) for chances, name in zip(probabilities, species, strict=True)]
    assert [one["loss"] for one in everything] == pytest.approx([costs[one["row"]] for one in everything], rel=1e-5)
    key = [(-one["loss"], one["row"]) for one in everything]
    assert key == sorted(key)
    first = everything[0]
    assert first["probability"] == pytest.approx(np.exp(-first["loss"]), rel=1e-5)
    assert first["actual"] == species[first["row"]] == first["values"]["species"]
    for limit in (1, 5, 60):
        assert hardest(table, subject, limit)["rows"] == everything[:limit]


def test_hardest_rows_of_a_regression_are_in_the_unit_of_the_column(bench):
    subject = bench.model(HOUSES, "price")
    table, _ = bench.table(HOUSES)
    (row,) = hardest(table, subject, 1)["rows"]
    said = pl.read_csv(predicted(table, subject))["price"]
    right = pl.read_csv(io.StringIO(HOUSES))["price"]
    assert row["row"] == int((said - right).abs().arg_max())
    assert row["predicted"] == pytest.approx(said[row["row"]])
    assert row["actual"] == pytest.approx(right[row["row"]])
    assert row["probability"] is None


def numeric_table(n=300):
    generator = random.Random(4)
    lines = ["a,b,c,colour,y"]
    for _ in range(n):
        a, b, c = (generator.gauss(0, 1) for _ in range(3))
        lines.append(f"{a:.5f},{b:.5f},{c:.5f},{generator.choice(['red', 'blue', 'white'])},{3 * a + b * b:.5f}")
    return "\n".join(lines) + "\n"


def test_importance_is_scikit_learns_within_its_noise(bench):
    content = numeric_table()
    subject = bench.model(content, "y")
    table, _ = bench.table(content)
    found = importance(table, subject, Metric.RMSE, repeats=40, seed=0, max_rows=10_000)
    assert found["n_rows"] == 300
    assert found["baseline"] == pytest.approx(evaluate(table, subject)["rmse"], rel=1e-6)

    frame = pl.read_csv(io.StringIO(content))
    colours = {"blue": 0, "red": 1, "white": 2}
    x = frame.select("a", "b", "c", pl.col("colour").replace_strict(colours)).to_numpy().astype(float)
    words = {place: name for name, place in colours.items()}

    class Model:
        def fit(self, x, y):
            return self

        def predict(self, x):
            sent = [{"a": r[0], "b": r[1], "c": r[2], "colour": words[int(r[3])]} for r in x.tolist()]
            inputs = subject.preprocessing.encode_rows(sent, "float32")
            outputs = feed_forward(subject.network, subject.parameters(), inputs)
            return [one["value"] for one in subject.preprocessing.decode(outputs, probabilities=False)]

    def score(model, x, y):
        return -root_mean_squared_error(y, model.predict(x))

    options = {"scoring": score, "n_repeats": 40, "random_state": 1}
    expected = permutation_importance(Model(), x, frame["y"].to_numpy(), **options)
    by_name = {one["name"]: one for one in found["columns"]}
    for place, name in enumerate(("a", "b", "c", "colour")):
        noise = max(expected.importances_std[place], 1e-9)
        assert abs(by_name[name]["mean"] - expected.importances_mean[place]) < 5 * noise * np.sqrt(2 / 40), name
        assert by_name[name]["std"] == pytest.approx(noise, rel=0.6)
    means = [one["mean"] for one in found["columns"]]
    assert means == sorted(means, reverse=True)


def test_importance_is_the_same_for_the_same_seed_whatever_the_chunks(bench, monkeypatch):
    content = numeric_table(100)
    subject = bench.model(content, "y")
    table, _ = bench.table(content)
    options = {"repeats": 3, "seed": 5, "max_rows": 40}
    first = importance(table, subject, Metric.LOSS, **options)
    assert first["n_rows"] == 40
    assert importance(table, subject, Metric.LOSS, **options) == first
    monkeypatch.setattr(rows, "MAX_ROWS", 9)
    again = importance(table, subject, Metric.LOSS, **options)
    assert again["baseline"] == pytest.approx(first["baseline"], rel=1e-6)
    assert [one["name"] for one in again["columns"]] == [one["name"] for one in first["columns"]]
    other = importance(table, subject, Metric.LOSS, **{**options, "seed": 6})
    assert other["baseline"] != first["baseline"], "other rows are drawn"


def test_a_column_that_does_not_vary_does_not_matter(bench):
    subject = bench.model(FLOWERS, "species")
    table, _ = bench.table(FLOWERS.replace("blue", "red").replace("white", "red"))
    for metric in (Metric.ACCURACY, Metric.ROC_AUC, Metric.LOG_LOSS, Metric.BALANCED_ACCURACY):
        found = importance(table, subject, metric, repeats=3, seed=0, max_rows=100)
        colour = next(one for one in found["columns"] if one["name"] == "colour")
        assert (colour["mean"], colour["std"]) == (0.0, 0.0)
        assert found["baseline"] == pytest.approx(evaluate(table, subject)[metric])


def test_a_column_is_important_for_a_score_and_for_a_loss_alike(bench):
    """The only column that the target goes by: without it the loss rises, and the score falls."""
    content = "a,b,y\n" + "".join(f"{i % 17},{i * 7 % 13},{i % 17 * 2}.5\n" for i in range(200))
    subject = bench.model(content, "y")
    W = from_npz(subject.weights.read_bytes())
    W = {**W, "layers.0.weight": np.eye(8, 2) * 0.01, "layers.1.weight": np.eye(1, 8) * 100}
    subject.weights.write_bytes(to_npz(W))
    table, _ = bench.table(content)
    for metric in (Metric.R2, Metric.RMSE, Metric.LOSS, Metric.MAE):
        first, second = importance(table, subject, metric, repeats=3, seed=0, max_rows=200)["columns"]
        assert (first["name"], second["name"]) == ("a", "b")
        assert first["mean"] > 0.5
        assert abs(second["mean"]) < 1e-9


def test_an_undefined_metric_is_refused(bench):
    subject = bench.model(FLOWERS, "species")
    table, _ = bench.table("length,colour,wild,species\n1.5,red,true,rose\n2.5,red,true,rose\n")
    with pytest.raises(InvalidRequest) as caught:
        importance(table, subject, Metric.ROC_AUC, repeats=1, seed=0, max_rows=100)
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/metric", "undefined_metric")]
