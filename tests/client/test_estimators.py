"""The estimators are scikit-learn's in all that it checks."""

import os
import pickle
import warnings

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from descent import Client, DescentClassifier, DescentRegressor
from tests.service import Service


@pytest.fixture
def at(service: Service, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"http://127.0.0.1:{service.port}"
    monkeypatch.setenv("DESCENT_URL", url)
    return url


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("estimator", [DescentClassifier(), DescentRegressor()], ids=lambda one: type(one).__name__)
def test_scikit_learn_finds_nothing_to_object_to(at: str, estimator: DescentClassifier | DescentRegressor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the checks provoke, and those they skip
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {one["check_name"]: repr(one["exception"]) for one in results if one["status"] == "failed"}
    assert failed == {}
    assert sum(one["status"] == "passed" for one in results) > 40
    assert [one["check_name"] for one in results if one["status"] == "xfail"] == []


def test_a_classifier_works_in_pipelines_and_cross_validation(at: str) -> None:
    X, y = make_classification(120, 5, random_state=0)
    names = np.array(["no", "yes"])[y]
    whole = make_pipeline(StandardScaler(), DescentClassifier((8,), epochs=30))
    assert cross_val_score(whole, X, names, cv=3).mean() > 0.8


def test_a_fitted_estimator_survives_pickling_and_leaves_no_rows_behind(at: str) -> None:
    X = np.linspace(-1, 1, 80)[:, None]
    with Client(at) as client:
        before = [dataset.id for dataset in client.datasets.list()]
        fitted = DescentRegressor((16,), activation="tanh", epochs=150, patience=50, validation_fraction=0.2)
        fitted.fit(X, X[:, 0] ** 2)
        assert [dataset.id for dataset in client.datasets.list()] == before
        assert fitted.model(client).task == "regression"
    assert fitted.score(X, X[:, 0] ** 2) > 0.95
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    assert os.environ["DESCENT_URL"] == at
