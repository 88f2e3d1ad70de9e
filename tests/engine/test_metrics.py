"""The metrics of an evaluation are those of scikit-learn, where it defines them."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as oracle

from engine.classification import Classification, answers, roc_auc
from engine.losses import LOSSES
from engine.predict import Scorer, predict
from engine.regression import Regression
from engine.spec import LayerSpec, NetworkSpec

pytestmark = pytest.mark.slow

# Few different scores, so that many are equal.
SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
NUMBERS = st.floats(-1e6, 1e6).map(lambda number: round(number, 9))


@st.composite
def classified(draw, n_classes):
    n = draw(st.integers(1, 40))
    actual = draw(arrays.arrays(np.int64, n, elements=st.integers(0, n_classes - 1)))
    raw = draw(arrays.arrays(np.float64, (n, n_classes), elements=SCORES))
    raw = raw + 0.01
    return actual, raw / raw.sum(1, keepdims=True)


def added(actual, outputs, n_classes, pieces=3, **options):
    found = Classification(n_classes, probabilities=True, **options)
    for rows in np.array_split(np.arange(len(actual)), pieces):
        found.add(actual[rows], outputs[rows])
    return found.read()


def with_oracle(function, *given, **options):
    """Call scikit-learn, which warns (and gives NaN) where a metric is undefined; None then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = function(*given, **options)
    return None if np.ndim(value) == 0 and np.isnan(value) else value


@settings(max_examples=150, deadline=None)
@given(st.integers(3, 5).flatmap(lambda k: st.tuples(st.just(k), classified(k))))
def test_metrics_of_several_classes_are_scikit_learns(case):
    n_classes, (actual, p) = case
    labels = range(n_classes)
    found, said = added(actual, p, n_classes), p.argmax(1)
    assert found.confusion.tolist() == oracle.confusion_matrix(actual, said, labels=labels).tolist()
    assert found.accuracy == pytest.approx(oracle.accuracy_score(actual, said))
    assert found.balanced_accuracy == pytest.approx(with_oracle(oracle.balanced_accuracy_score, actual, said))
    assert found.log_loss == pytest.approx(oracle.log_loss(actual, y_proba=p, labels=labels))
    expected = oracle.precision_recall_fscore_support(actual, said, labels=labels, zero_division=0)
    for place, (precision, recall, f1, support) in enumerate(zip(*expected, strict=True)):
        one = found.classes[place]
        assert (one.precision, one.recall, one.f1) == pytest.approx((precision, recall, f1))
        assert one.support == support
        area = with_oracle(oracle.roc_auc_score, actual == place, p[:, place])
        assert one.roc_auc == (area if area is None else pytest.approx(area))
    if len(set(actual.tolist())) == n_classes:
        area = oracle.roc_auc_score(actual, p, multi_class="ovr", labels=labels)
        assert found.roc_auc == pytest.approx(area)
    else:
        assert found.roc_auc is None, "a class has no rows"


@settings(max_examples=150, deadline=None)
@given(classified(2), st.sampled_from(["two outputs", "one output"]))
def test_metrics_of_two_classes_are_scikit_learns(case, shape):
    actual, p = case
    found = added(actual, p if shape == "two outputs" else p[:, 1:], 2)
    said = (p[:, 1] > p[:, 0]).astype(int)
    assert found.accuracy == pytest.approx(oracle.accuracy_score(actual, said))
    assert found.log_loss == pytest.approx(oracle.log_loss(actual, y_proba=p, labels=[0, 1]))
    area = with_oracle(oracle.roc_auc_score, actual, p[:, 1])
    assert found.roc_auc == (area if area is None else pytest.approx(area))


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.bool_, st.integers(1, 60)), st.data())
def test_area_under_the_curve_is_the_share_of_pairs_in_the_right_order(positive, data):
    scores = data.draw(arrays.arrays(np.float32, len(positive), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])))
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert roc_auc(positive, scores) == (pytest.approx(sum(pairs) / len(pairs)) if pairs else None)


def test_area_of_many_rows_is_exact():
    n = 1_000_000
    positive = np.arange(n) % 2 == 0
    assert roc_auc(positive, np.zeros(n, np.float32)) == 0.5
    assert roc_auc(positive, positive.astype(np.float32)) == 1.0


def test_scores_that_are_too_many_are_not_kept_and_the_other_metrics_stay():
    actual, p = np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
    found = added(actual, p, 2, max_scores=3)
    assert (found.ranked, found.roc_auc, found.accuracy) == (False, None, 1.0)
    assert added(actual, p, 2, max_scores=4).roc_auc == 1.0


def test_probability_of_nought_costs_much_and_not_infinity():
    found = added(np.array([0]), np.array([[0.0, 1.0]], np.float32), 2, pieces=1)
    assert found.log_loss == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_an_undecided_output_says_the_first_class():
    assert answers(np.array([[0.5], [0.50001], [0.4]])).tolist() == [0, 1, 0]
    assert answers(np.array([[0.5, 0.5], [0.1, 0.9]])).tolist() == [0, 1]


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(2, 40), st.integers(1, 3)).flatmap(
        lambda shape: st.tuples(*[arrays.arrays(np.float64, shape, elements=NUMBERS)] * 2)
    )
)
def test_metrics_of_numbers_are_scikit_learns(case):
    actual, said = case
    found = Regression((1.0,) * actual.shape[1])
    for rows in np.array_split(np.arange(len(actual)), 3):
        found.add(actual[rows], said[rows])
    for place, one in enumerate(found.read()):
        y, a = actual[:, place], said[:, place]
        assert one.rmse == pytest.approx(oracle.root_mean_squared_error(y, a), rel=1e-9)
        assert one.mae == pytest.approx(oracle.mean_absolute_error(y, a), rel=1e-9)
        if np.ptp(y) > 1e-6 * np.abs(y).max():  # else its variance is mostly rounding
            assert one.r2 == pytest.approx(oracle.r2_score(y, a), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("said", "r2"), [(0.0, 1.0), (0.25, 0.0)])
def test_r2_of_a_constant_target_says_whether_it_was_met(said, r2):
    assert constant_r2(0.5, 0.5 + said) == r2 == oracle.r2_score([0.5] * 3, [0.5] * 2 + [0.5 + said])
    # The mean of three times 0.1 is not 0.1, which makes scikit-learn's r2 here -1e31.
    assert constant_r2(0.1, 0.1 + said) == r2


def constant_r2(value, last_said):
    found = Regression((1.0,))
    found.add(np.full((3, 1), value), np.array([[value], [value], [last_said]]))
    return found.read()[0].r2


def test_r2_needs_two_rows_and_units_scale_the_errors():
    found = Regression((10.0,))
    found.add(np.array([[1.0]]), np.array([[1.5]]))
    (one,) = found.read()
    assert (one.rmse, one.mae, one.r2) == (5.0, 5.0, None)


def test_variation_far_from_nought_does_not_cancel():
    actual = 1e8 + np.random.default_rng(0).normal(size=(10_000, 1))
    found = Regression((1.0,))
    for rows in np.array_split(np.arange(len(actual)), 7):
        found.add(actual[rows], actual[rows] + 0.5)
    assert found.read()[0].r2 == pytest.approx(1 - 0.25 / actual.var(), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_costs_of_rows_are_what_their_loss_is_the_mean_of(loss):
    output = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "poisson": "softplus"}.get(loss, "linear")
    network = NetworkSpec(3, (LayerSpec(5, "tanh"), LayerSpec(2, output)))
    generator = np.random.default_rng(1)
    stored = generator.normal(size=network.n_stored)
    x, y = generator.normal(size=(10_000, 3)), np.eye(2)[generator.integers(0, 2, 10_000)]
    outputs, costs = Scorer(network, stored, LOSSES[loss], len(x)).score(x, y)
    np.testing.assert_array_equal(outputs, predict(network, stored, x))
    np.testing.assert_allclose(costs[:3], [cost_of(loss, y[row], outputs[row]) for row in range(3)], rtol=1e-9)


def cost_of(loss, y, a):
    """The cost of one row, as its documentation writes it."""
    r = a - y
    return {
        "quadratic": lambda: 0.5 * (r**2).sum(),
        "mean_squared_error": lambda: (r**2).mean(),
        "mean_absolute_error": lambda: np.abs(r).mean(),
        "huber": lambda: np.where(np.abs(r) <= 1, r**2 / 2, np.abs(r) - 0.5).mean(),
        "log_cosh": lambda: np.log(np.cosh(r)).mean(),
        "quantile": lambda: np.abs(r).mean() / 2,
        "poisson": lambda: (a - y * np.log(a + 1e-8)).mean(),
        "binary_cross_entropy": lambda: -(y * np.log(a) + (1 - y) * np.log(1 - a)).mean(),
        "cross_entropy": lambda: -(y * np.log(a)).sum(),
        "hinge": lambda: np.maximum(0, 1 - (2 * y - 1) * a).mean(),
    }[loss]()
