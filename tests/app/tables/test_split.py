import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tables.split import split_rows


def test_split_of_a_seed_never_changes():
    recorded = {
        (12, 0.25, 0): [0, 9, 11],
        (12, 0.25, 1): [1, 8, 9],
        (7, 0.5, 2**63): [2, 3, 4, 5],
    }
    for (n_rows, fraction, seed), held_out in recorded.items():
        assert split_rows(n_rows, fraction=fraction, seed=seed, labels=None)[1].tolist() == held_out


def test_stratified_split_of_a_seed_never_changes():
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3])
    assert split_rows(14, fraction=0.3, seed=0, labels=labels)[1].tolist() == [0, 5, 6, 11]


@given(st.integers(0, 60), st.floats(0.001, 0.999), st.integers(0, 2**64), st.lists(st.integers(0, 5), max_size=60))
def test_split_is_a_partition_and_no_class_is_lost(n_rows, fraction, seed, classes):
    labels = np.unique(classes, return_inverse=True)[1] if classes else None
    n_rows = n_rows if labels is None else len(labels)
    train, held_out = split_rows(n_rows, fraction=fraction, seed=seed, labels=labels)
    assert sorted([*train, *held_out]) == list(range(n_rows))
    assert train.tolist() == sorted(train)
    assert held_out.tolist() == sorted(held_out)
    if n_rows >= 2:
        assert len(train) >= 1
        assert len(held_out) >= (1 if labels is None or np.bincount(labels).max() > 1 else 0)
    if labels is not None:
        assert set(labels[train]) == set(labels)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.8])
def test_each_class_is_held_out_by_its_share(fraction):
    labels = np.repeat([0, 1, 2, 3], [100, 50, 31, 1])
    _, held_out = split_rows(182, fraction=fraction, seed=3, labels=labels)
    shares = np.bincount(labels[held_out], minlength=4)
    assert abs(shares[:3] - np.array([100, 50, 31]) * fraction).max() <= 1
    assert shares[3] == 0
    assert abs(shares.sum() - 182 * fraction) <= 1


def test_other_seeds_hold_out_other_rows():
    splits = {tuple(split_rows(100, fraction=0.2, seed=seed, labels=None)[1]) for seed in range(50)}
    assert len(splits) == 50
