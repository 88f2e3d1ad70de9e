"""Which rows are held out: by group, by time, by a column, from another dataset."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupShuffleSplit

from app.contract.datasets import Format
from app.contract.jobs import JobCreate
from app.contract.preprocessing import (
    ColumnValidation,
    DatasetValidation,
    GroupValidation,
    Preprocessing,
    Task,
    TimeValidation,
)
from app.errors import InvalidRequest
from app.tables.choice import choose
from app.tables.fitted import FittedPreprocessing
from app.tables.held_out import dataset_faults
from app.tables.preparation import fit, prepare
from app.tables.reading import read_table
from app.tables.selection import select
from app.tables.split import split_groups, split_times
from tests.app.tables.conftest import LIMITS

fractions = st.floats(0.001, 0.999)


@given(st.lists(st.integers(0, 12), max_size=80), fractions, st.integers(0, 2**64))
def test_groups_are_whole_on_one_side_and_the_share_is_met_as_nearly_as_they_allow(groups, fraction, seed):
    groups = np.array(groups, np.int64)
    train, held_out = split_groups(groups, fraction=fraction, seed=seed)
    assert sorted([*train, *held_out]) == list(range(len(groups)))
    assert not set(groups[train]) & set(groups[held_out])
    there, sizes = np.unique(groups, return_counts=True)
    if len(there) >= 2:
        assert len(train)
        assert len(held_out)
        assert abs(len(held_out) - fraction * len(groups)) <= sizes.max()


@given(st.lists(st.floats(-1e9, 1e9) | st.integers(0, 5), max_size=80), fractions)
def test_the_rows_held_out_are_the_latest_and_no_time_is_on_both_sides(times, fraction):
    times = np.array(times, np.float64)
    train, held_out = split_times(times, fraction=fraction)
    assert sorted([*train, *held_out]) == list(range(len(times)))
    if len(np.unique(times)) >= 2:
        assert times[train].max() < times[held_out].min()
        counts = [int((times >= cut).sum()) for cut in np.unique(times)[1:]]
        nearest = min(abs(count - fraction * len(times)) for count in counts)
        assert abs(len(held_out) - fraction * len(times)) == pytest.approx(nearest)
    else:
        assert not len(held_out)


def test_a_split_by_group_of_a_seed_never_changes():
    groups = np.array([0, 0, 1, 1, 1, 2, 3, 3, 4, 5])
    assert split_groups(groups, fraction=0.3, seed=0)[1].tolist() == [0, 1, 9]
    assert split_groups(groups, fraction=0.3, seed=1)[1].tolist() == [0, 1, 8]


def test_many_groups_of_one_size_are_held_out_as_scikit_learn_holds_them_out():
    groups = np.repeat(np.arange(50), 4)
    _, ours = split_groups(groups, fraction=0.2, seed=3)
    splitter = GroupShuffleSplit(1, test_size=0.2, random_state=3)
    _, theirs = next(splitter.split(np.zeros(200), groups=groups))
    assert len(ours) == len(theirs) == 40
    assert len(set(groups[ours])) == len(set(groups[theirs])) == 10


ROWS = "who,when,fold,x,y\n" + "".join(
    f"{'abcdefg'[i % 7]},2024-0{1 + i % 6}-1{i % 9},{('train', 'Test', 'train', 'validation')[i % 4]},{i * 0.37},{i % 3 + i / 7}\n"
    for i in range(84)
)


@pytest.fixture
def learn(read, table, tmp_path):
    def learn(content, target="y", *, validation, seed=0, other=None, features=None, task=Task.AUTO, **options):
        columns = read(content).columns
        preprocessing = Preprocessing(**options)
        choice = choose(
            columns, target=target, features=features, task=task, preprocessing=preprocessing, max_classes=100,
            validation=validation,
        )  # fmt: skip
        split = {"validation": validation, "seed": seed}
        if other is not None:
            split["validation_table"] = tmp_path / "other.arrow"
            (tmp_path / "other").write_text(other)
            others = read_table(tmp_path / "other", Format.CSV, {}, split["validation_table"], LIMITS).columns
            needed = [column for column in columns if column.name in {*choice.features, *choice.targets}]
            faults = dataset_faults(
                others, needed, targets=choice.targets, features=choice.features, missing=preprocessing.missing
            )
            if faults:
                raise InvalidRequest("the rows to validate on cannot be used", faults)
        flags = {"one_output": False, "scale_targets": False}
        fitted = fit(table, choice, preprocessing, **split, **flags)
        again = FittedPreprocessing.from_json(json.loads(json.dumps(fitted.preprocessing.to_json())))
        return choice, fitted, prepare(table, again, **split, dtype=np.float64, scratch=tmp_path)

    return learn


def test_a_column_that_divides_the_rows_is_no_feature_unless_it_is_asked_for(learn):
    by_group = GroupValidation(group_column="who")
    choice, fitted, prepared = learn(ROWS, validation=by_group)
    assert choice.features == ("when", "fold", "x")
    assert (choice.use("who").encoding, choice.use("who").width) == ("split", 0)
    assert learn(ROWS, validation=by_group, features=["x", "who"])[0].features == ("x", "who")
    assert (fitted.n_train, fitted.n_validation) == (len(prepared.x_train), len(prepared.x_validation))


def test_a_table_is_divided_by_group_time_and_column(read, table, learn):
    who, when, fold = (np.array([line.split(",")[i] for line in ROWS.splitlines()[1:]]) for i in range(3))
    ways = {
        "group": (GroupValidation(group_column="who", fraction=0.3), who),
        "time": (TimeValidation(time_column="when", fraction=0.3), when),
        "column": (ColumnValidation(column="fold"), fold),
        "values": (ColumnValidation(column="fold", values=["Test"]), fold),
    }
    sides = {}
    for name, (way, values) in ways.items():
        _, fitted, _ = learn(ROWS, validation=way)
        selection = select(table, fitted.preprocessing, validation=way, seed=0)
        assert sorted([*selection.train, *selection.held_out]) == list(range(84))
        sides[name] = set(values[selection.train]), set(values[selection.held_out])
    assert not sides["group"][0] & sides["group"][1]
    assert max(sides["time"][0]) < min(sides["time"][1])
    assert sides["column"] == ({"train"}, {"Test", "validation"})
    assert sides["values"] == ({"train", "validation"}, {"Test"})


@pytest.mark.parametrize(
    ("cells", "values", "expected"),
    [
        (["0", "1"], None, [1, 3, 5]),
        (["no", "yes"], None, [1, 3, 5]),
        (["0", "1"], [True], [1, 3, 5]),
        (["no", "yes"], [False], [0, 2, 4]),
        (["3", "4.5"], [3], [0, 2, 4]),
        (["a", "VAL"], None, [1, 3, 5]),
    ],
)
def test_a_column_says_in_its_own_words_which_rows_are_held_out(cells, values, expected, table, learn):
    content = "f,x,y\n" + "".join(f"{cells[i % 2]},{i * 0.7},{i * 1.1}\n" for i in range(6))
    way = ColumnValidation(column="f", values=values)
    _, fitted, _ = learn(content, validation=way)
    assert select(table, fitted.preprocessing, validation=way, seed=0).held_out.tolist() == expected


@pytest.mark.parametrize("cells", [("no", "yes"), ("0", "1"), ("2024-01-01", "2024-01-02"), ("1.5", "-2"), ("é", "z")])
def test_a_column_of_any_kind_makes_groups(cells, table, learn):
    content = "g,x,y\n" + "".join(f"{cells[i % 2]},{i * 0.7},{i * 1.1}\n" for i in range(10))
    way = GroupValidation(group_column="g", fraction=0.5)
    _, fitted, _ = learn(content, validation=way)
    selection = select(table, fitted.preprocessing, validation=way, seed=0)
    assert {len(set(side % 2)) for side in (selection.train, selection.held_out)} == {1}


def test_rows_that_are_on_no_side_are_left_out_with_a_warning(learn):
    content = "g,x,y\n" + "".join(f"{'' if i % 5 == 0 else 'abc'[i % 3]},{i * 0.7},{i * 1.1}\n" for i in range(30))
    _, fitted, prepared = learn(content, validation=GroupValidation(group_column="g"))
    assert len(prepared.x_train) + len(prepared.x_validation) == fitted.n_train + fitted.n_validation == 24
    assert [code for code, _ in fitted.warnings] == ["missing_side"]


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        ({"group_column": "whom"}, ("/validation/group_column", "unknown_column")),
        ({"group_column": "one"}, ("/validation/group_column", "one_group")),
        ({"group_column": "y"}, ("/validation/group_column", "column_is_used")),
        ({"time_column": "who"}, ("/validation/time_column", "not_ordered")),
        ({"time_column": "one"}, ("/validation/time_column", "constant_column")),
        ({"column": "x"}, ("/validation/values", "needs_values")),
        ({"column": "when", "values": ["2024-01-10"]}, ("/validation/column", "datetime_column")),
        ({"column": "who"}, ("/validation/column", "no_validation_rows")),
        ({"column": "who", "values": ["a", "A"]}, ("/validation/values/1", "unknown_value")),
        ({"column": "who", "values": list("abcdefg")}, ("/validation/column", "no_training_rows")),
    ],
)
def test_a_column_that_cannot_divide_the_rows_is_refused(way, fault, learn):
    content = "one," + "\n".join(f"{'7,' if i else ''}{line}" for i, line in enumerate(ROWS.splitlines())) + "\n"
    validation = JobCreate.model_validate({"validation": way}).validation
    with pytest.raises(InvalidRequest) as caught:
        learn(content, validation=validation)
    assert [(one.pointer, one.code) for one in caught.value.faults] == [fault]


def test_what_is_wrong_with_target_features_and_validation_is_said_at_once(learn):
    with pytest.raises(InvalidRequest) as caught:
        learn(ROWS, target="z", features=["u"], validation=GroupValidation(group_column="w"))
    assert {one.pointer for one in caught.value.faults} == {"/target", "/features/0", "/validation/group_column"}


OTHER = DatasetValidation(dataset_id="ds_other")


def test_rows_of_another_dataset_are_prepared_as_the_training_rows_are(learn):
    train = "c,x,t,y\n" + "".join(
        f"{'ab'[i % 2]},{i},2024-01-0{1 + i % 9},{('u', 'v')[i % 2 == 0]}\n" for i in range(12)
    )
    other = "y,t,extra,x,c\nv,2024-01-02,1,3,b\nw,2024-01-01,2,4,a\nu,,3,,z\n,2024-01-01,3,,z\n"
    _, fitted, prepared = learn(train, validation=OTHER, other=other)
    assert (fitted.n_train, fitted.n_validation) == (12, 2)
    assert sorted(code for code, _ in fitted.warnings) == ["missing_target", "unseen_class"]
    rows = [{"c": "b", "x": 3, "t": "2024-01-02"}, {"c": "z", "x": None, "t": None}]
    assert prepared.x_validation.tobytes() == fitted.preprocessing.encode_rows(rows, np.float64).tobytes()
    assert prepared.y_validation.tolist() == [[0, 1], [1, 0]]
    alone = learn(train, validation=None)[1].preprocessing
    assert fitted.preprocessing == alone, "nothing is learned from the rows to validate on"


def test_categories_that_the_other_dataset_writes_as_numbers_are_found(learn):
    train = "code,y\n" + "".join(f"{'17x'[i % 3]},{i * 0.3}\n" for i in range(12))
    _, fitted, prepared = learn(train, validation=OTHER, other="code,y\n7,1\n1,2\n5,0.5\n")
    assert fitted.preprocessing.input_names == ("code=1", "code=7", "code=x")
    assert prepared.x_validation.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("other", "faults"),
    [
        ("x,y\n1,2\n", {("/validation/dataset_id", "lacking_column")}),
        ("c,x,y\na,one,2\nb,two,3\n", {("/validation/dataset_id", "incompatible_kind")}),
        ("c,x,y\na,1,\n", {("/validation/dataset_id", "empty_column")}),
        ("c,x,y\n,,2\n", set()),
        ("c,x,y\n2024-01-01,1,2\n", {("/validation/dataset_id", "incompatible_kind")}),
    ],
)
def test_a_dataset_that_lacks_columns_or_has_others_is_refused(other, faults, learn):
    train = "c,x,y\n" + "".join(f"{'ab'[i % 2]},{i},{i * 0.3}\n" for i in range(12))
    if not faults:
        assert len(learn(train, validation=OTHER, other=other)[2].x_validation) == 1
        return
    with pytest.raises(InvalidRequest) as caught:
        learn(train, validation=OTHER, other=other)
    assert {(one.pointer, one.code) for one in caught.value.faults} == faults


def test_a_gap_in_the_other_dataset_is_refused_where_gaps_are_errors(learn):
    train = "x,y\n" + "".join(f"{i},{i * 0.3}\n" for i in range(12))
    with pytest.raises(InvalidRequest) as caught:
        learn(train, validation=OTHER, other="x,y\n1,2\n,3\n", missing="error")
    assert [one.pointer for one in caught.value.faults] == ["/preprocessing/missing"]


def test_two_ways_at_once_are_refused_with_their_names():
    with pytest.raises(ValueError, match="Give only one of group_column, time_column"):
        JobCreate.model_validate({"validation": {"group_column": "a", "time_column": "b"}})
