import subprocess
import sys

import pytest

from app.contract.datasets import Column, Kind, RoleHint
from app.contract.preprocessing import Preprocessing, Task
from app.errors import InvalidRequest
from app.tables.choice import choose


def column(name, kind=Kind.NUMERIC, n_unique=10, n_missing=0, role_hint=None):
    return Column(
        name=name, kind=kind, n_missing=n_missing, n_unique=n_unique, min=None, max=None, mean=None, std=None,
        categories=None, date_order=None, role_hint=role_hint,
    )  # fmt: skip


COLUMNS = [
    column("length", n_missing=2),
    column("mass"),
    column("island", Kind.CATEGORICAL, 3),
    column("comment", Kind.TEXT, 344),
    column("day", Kind.DATETIME, 50),
    column("sex", Kind.BOOLEAN, 2),
    column("species", Kind.CATEGORICAL, 3),
    column("year", n_unique=1),
    column("void", n_unique=0, n_missing=344),
]


def chosen(target, features=None, task=Task.AUTO, max_classes=1000, columns=COLUMNS, **preprocessing):
    return choose(
        columns,
        target=target,
        features=features,
        task=task,
        preprocessing=Preprocessing(**preprocessing),
        max_classes=max_classes,
    )


def faults(*args, **kwargs):
    with pytest.raises(InvalidRequest) as caught:
        chosen(*args, **kwargs)
    return {(fault.pointer, fault.code) for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("target", "task"),
    [
        ("species", "classification"),
        ("sex", "classification"),
        ("mass", "regression"),
        (["mass", "sex"], "regression"),
        (["mass"], "regression"),
    ],
)
def test_auto_task_follows_the_target(target, task):
    assert chosen(target).task == task


def test_every_other_usable_column_is_a_feature_and_every_column_says_why():
    choice = chosen("species")
    assert choice.features == ("length", "mass", "island", "day", "sex")
    assert choice.use("comment").why == "text: 344 different values, more than max_categories (100)"
    assert choice.use("year").why == "constant: one value only"
    assert [use.name for use in choice.columns] == [one.name for one in COLUMNS]
    assert [use.name for use in choice.columns if not use.used] == ["comment", "year", "void"]


def test_features_keep_the_order_in_which_they_are_asked_for():
    assert chosen("species", ["mass", "island", "length"]).features == ("mass", "island", "length")


def test_another_target_of_the_upload_is_no_feature_unless_it_is_asked_for():
    columns = [column("x0"), column("y0", role_hint=RoleHint.TARGET), column("y1", role_hint=RoleHint.TARGET)]
    assert chosen("y0", columns=columns).features == ("x0",)
    assert chosen("y0", ["y1"], columns=columns).features == ("y1",)


def test_all_faults_come_at_once_with_pointers():
    found = faults(["nope", "mass", "mass", "island"], ["mass", "what", "day", "day", "year", "comment"])
    assert found == {
        ("/target/0", "unknown_column"), ("/target/2", "duplicate_column"), ("/target/3", "not_numeric"),
        ("/features/0", "target_is_feature"), ("/features/1", "unknown_column"), ("/features/3", "duplicate_column"),
        ("/features/4", "constant_column"), ("/features/5", "too_many_categories"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"target": "year"}, ("/target", "constant_target")),
        ({"target": "void"}, ("/target", "constant_target")),
        ({"target": "comment"}, ("/target", "text_target")),
        ({"target": "comment", "task": Task.REGRESSION}, ("/target", "not_numeric")),
        ({"target": "species", "task": Task.REGRESSION}, ("/target", "not_numeric")),
        ({"target": "mass", "task": Task.CLASSIFICATION, "max_classes": 9}, ("/target", "too_many_classes")),
        ({"target": "day"}, ("/target", "not_numeric")),
        ({"target": "day", "task": Task.CLASSIFICATION}, ("/target", "datetime_target")),
        ({"target": ["mass", "sex"], "task": Task.CLASSIFICATION}, ("/task", "several_targets")),
        ({"target": []}, ("/target", "no_target")),
        ({"target": "mass", "features": []}, ("/features", "no_usable_features")),
        ({"target": "mass", "columns": [column("mass"), column("c", n_unique=1)]}, ("/features", "no_usable_features")),
        ({"target": "mass", "missing": "error"}, ("/preprocessing/missing", "missing_values")),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_learned_is_refused(arguments, fault):
    assert faults(**arguments) == {fault}


def test_unknown_column_lists_at_most_fifty_columns():
    with pytest.raises(InvalidRequest) as caught:
        chosen("nope", columns=[column(f"c{i}") for i in range(60)])
    assert caught.value.faults[0].allowed == tuple(f"c{i}" for i in range(50))


def test_numeric_target_of_a_classification_has_its_values_as_classes():
    choice = chosen("mass", task=Task.CLASSIFICATION)
    assert (choice.task, choice.use("mass").encoding, choice.use("mass").width) == ("classification", "classes", 10)


def test_dropped_categories_are_unused_even_if_they_are_asked_for():
    assert chosen("mass", ["island", "length"], categorical="drop").features == ("length",)


def test_modules_that_the_api_imports_do_not_import_polars():
    modules = "app.tables.choice, app.tables.fitted, app.tables.reader, app.tables.split, app.tables.summary"
    code = f"import sys, {modules}; sys.exit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
