"""scikit-learn's estimators, trained through the service. This module alone needs scikit-learn."""

from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from descent.client import Client
from descent.handles import Model

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("DescentClassifier and DescentRegressor need scikit-learn: pip install scikit-learn") from error

Array: TypeAlias = NDArray[Any]
TARGET = "y"


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both have. The training is done by the service, and so is the prediction.

    Args:
        hidden_layers: Units of each hidden layer.
        activation: Of the hidden layers.
        optimizer: Its name.
        learning_rate: None: the optimizer's default.
        epochs: Passes over the rows.
        batch_size: Rows of a step, or `full`.
        l2: Strength of the penalty on the weights.
        validation_fraction: Share of the rows held out; 0: none.
        patience: Epochs without a better validation loss after which to stop; None: all are trained.
        dtype: `float32` or `float64`.
        random_state: The seed.
        base_url: Where the service is; None: `DESCENT_URL`, else this machine.
        keep_dataset: Leave the rows on the service when they have been trained on.
    """

    def __init__(
        self,
        hidden_layers: tuple[int, ...] = (32,),
        *,
        activation: str = "relu",
        optimizer: str = "adam",
        learning_rate: float | None = 0.01,
        epochs: int = 100,
        batch_size: int | str = 32,
        l2: float = 0.0,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        dtype: str = "float64",
        random_state: int = 0,
        base_url: str | None = None,
        keep_dataset: bool = False,
    ) -> None:
        self.hidden_layers = hidden_layers
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.l2 = l2
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.dtype = dtype
        self.random_state = random_state
        self.base_url = base_url
        self.keep_dataset = keep_dataset

    def _train(self, X: Array, y: Array, task: str) -> None:
        """Have a network trained, and keep what is needed to find its model again."""
        names = [f"x{number}" for number in range(X.shape[1])]
        columns = {name: X[:, number] for number, name in enumerate(names)} | {TARGET: y}
        # Classes are sent as numbers, and columns of few whole numbers are still numbers.
        kinds = dict.fromkeys(names, "numeric") | {TARGET: "categorical" if task == "classification" else "numeric"}
        with Client(self.base_url) as client:
            dataset = client.datasets.create(columns, name="scikit-learn", kinds=kinds)
            job = None
            try:
                job = client.jobs.create(dataset, target=TARGET, features=names, task=task, **self._options())
                job.wait()
            except KeyboardInterrupt:
                if job is not None:
                    job.cancel()
                raise
            model = job.model()
            if not self.keep_dataset:
                dataset.delete()
        self.job_id_, self.model_id_ = job.id, model.id
        self.n_iter_, self.loss_ = model.epoch, job.latest.train_loss if job.latest else None

    def _options(self) -> dict[str, Any]:
        rate = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        training: dict[str, Any] = {
            "optimizer": {"name": self.optimizer, **rate},
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "l2": self.l2,
            "dtype": self.dtype,
            "seed": self.random_state,
        }
        if self.patience is not None:
            training["early_stopping"] = {"patience": self.patience}
        return {
            "network": {"hidden_layers": list(self.hidden_layers), "activation": self.activation},
            "training": training,
            "validation": {"fraction": self.validation_fraction} if self.validation_fraction else None,
        }

    def _predictions(self, X: Any) -> list[Any]:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        with Client(self.base_url) as client:
            return client.models.get(self.model_id_).predict(X)

    def model(self, client: Client) -> Model:
        """Give the trained model, to be downloaded."""
        check_is_fitted(self)
        return client.models.get(self.model_id_)


class DescentClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier that is trained through the service; `_Estimator` says what its parameters are."""

    def fit(self, X: Any, y: Any) -> Self:
        """Train a network to tell classes apart."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_, places = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"{type(self).__name__} needs rows of at least two classes, and got one class.")
        self._train(X, places, "classification")
        return self

    def predict_proba(self, X: Any) -> Array:
        """Give the probability of each class, `(rows, classes)`."""
        predictions = self._predictions(X)
        names = [str(place) for place in range(len(self.classes_))]
        return np.array([[one.probabilities[name] for name in names] for one in predictions])

    def predict(self, X: Any) -> Array:
        """Give the class of each row."""
        places = self.predict_proba(X).argmax(axis=1)
        classes: Array = self.classes_[places]
        return classes


class DescentRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor that is trained through the service; `_Estimator` says what its parameters are."""

    def fit(self, X: Any, y: Any) -> Self:
        """Train a network to predict a number."""
        X, y = validate_data(self, X, y, y_numeric=True)
        if X.shape[0] < 2:
            raise ValueError(f"{type(self).__name__} needs at least 2 rows, and got 1 sample.")
        self._train(X, y.astype(np.float64), "regression")
        return self

    def predict(self, X: Any) -> Array:
        """Give the number of each row."""
        return np.array([one.value for one in self._predictions(X)], np.float64)
