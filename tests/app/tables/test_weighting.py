"""How much each row counts."""

import json

import numpy as np
import pytest

from app.contract.preprocessing import Preprocessing, Task, Validation
from app.errors import InvalidRequest
from app.tables.choice import choose
from app.tables.fitted import FittedPreprocessing
from app.tables.preparation import fit, prepare

ROWS = "x,weight,kind\n" + "".join(f"{i},{i % 4},{'ab'[i % 5 == 0]}\n" for i in range(20))


@pytest.fixture
def weigh(read, table, tmp_path):
    def weigh(content=ROWS, target="kind", *, sample_weight=None, class_weight=None, validation=None, task=Task.AUTO):
        columns, preprocessing = read(content).columns, Preprocessing()
        choice = choose(
            columns,
            target=target,
            features=None,
            task=task,
            preprocessing=preprocessing,
            max_classes=100,
            sample_weight=sample_weight,
        )
        options = {"validation": validation, "seed": 0}
        flags = {"one_output": False, "scale_targets": False}
        fitted = fit(table, choice, preprocessing, **options, **flags, class_weight=class_weight).preprocessing
        assert FittedPreprocessing.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
        return choice, fitted, prepare(table, fitted, **options, dtype=np.float64, scratch=tmp_path)

    return weigh


def test_without_weights_all_rows_count_the_same(weigh):
    _, fitted, prepared = weigh()
    assert fitted.class_weights is None
    assert prepared.w_train is None


def test_a_column_of_weights_is_no_feature_and_goes_with_its_rows(weigh):
    choice, _, prepared = weigh(sample_weight="weight", validation=Validation(fraction=0.5, stratify=False))
    assert choice.features == ("x",)
    assert choice.use("weight").role == "weight"
    assert len(prepared.w_train) == len(prepared.x_train) == 10
    assert len(prepared.w_validation) == len(prepared.x_validation) == 10
    assert sorted([*prepared.w_train, *prepared.w_validation]) == sorted(i % 4 for i in range(20))


def test_balanced_classes_weigh_the_same_together(weigh):
    _, fitted, prepared = weigh(class_weight="balanced")
    assert fitted.class_weights == (20 / (2 * 16), 20 / (2 * 4))
    totals = prepared.w_train @ prepared.y_train
    assert totals == pytest.approx([10.0, 10.0])


def test_named_classes_weigh_what_is_said_times_the_weight_of_the_row(weigh):
    _, fitted, prepared = weigh(class_weight={"b": 3.0}, sample_weight="weight")
    assert fitted.class_weights == (1.0, 3.0)
    expected = [(i % 4) * (3.0 if i % 5 == 0 else 1.0) for i in range(20)]
    assert prepared.w_train.tolist() == expected


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"sample_weight": "wieght"}, "/sample_weight"),
        ({"sample_weight": "kind"}, "/sample_weight"),
        ({"class_weight": {"c": 1.0}}, "/class_weight/c"),
        ({"class_weight": "balanced", "target": "x"}, "/class_weight"),
        ({"content": "x,weight,kind\n1,-1,a\n2,1,b\n3,1,a\n", "sample_weight": "weight"}, "/sample_weight"),
        ({"content": "x,weight,kind\n1,,a\n2,1,b\n3,1,a\n", "sample_weight": "weight"}, "/sample_weight"),
        ({"content": "x,weight,kind\n1,0,a\n2,0,b\n3,0,a\n", "sample_weight": "weight"}, "/sample_weight"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(weigh, options, pointer):
    with pytest.raises(InvalidRequest) as refused:
        weigh(**options)
    assert pointer in {fault.pointer for fault in refused.value.faults}
