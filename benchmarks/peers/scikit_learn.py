"""scikit-learn's MLPClassifier and MLPRegressor, going on by `warm_start`."""

import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.peers import Contestant
from benchmarks.workloads import Workload, first_weights, one_hot, rows

ACTIVATIONS = {"sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
FOREVER = 1_000_000_000


class ScikitLearn(Contestant):
    """`fit` with `warm_start` trains the epochs of a call on; that begins Adam's moments anew, at the same cost."""

    def __init__(self, workload: Workload) -> None:
        warnings.simplefilter("ignore", ConvergenceWarning)
        self.x, y = rows(workload)
        # Of two classes scikit-learn would make one logistic output: less work than two. As labels they stay two.
        self.y = one_hot(y, 2).astype(int) if workload.classes == 2 else y.ravel()
        kind = MLPRegressor if workload.classes is None else MLPClassifier
        adam = workload.optimizer == "adam"
        self.model = kind(
            hidden_layer_sizes=workload.widths[1:-1],
            activation=ACTIVATIONS[workload.activation],
            solver="adam" if adam else "sgd",
            alpha=0.0,
            batch_size=workload.batch,
            learning_rate_init=workload.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
            tol=0.0,
            n_iter_no_change=FOREVER,
            warm_start=True,
            max_iter=1,
            random_state=0,
        )
        self.model.fit(self.x, self.y)
        if workload.classes == 2:
            self.model.out_activation_ = "softmax"
        self.weights = first_weights(workload)
        self.versions = {"scikit-learn": sklearn.__version__}

    def restart(self) -> None:
        """Go back to the first weights; `fit` makes new moments."""
        self.model.coefs_ = [np.ascontiguousarray(W.T) for W, _ in self.weights]
        self.model.intercepts_ = [b.copy() for _, b in self.weights]

    def run(self, epochs: int, *, shuffle: bool) -> list[float]:
        """One `fit` for all epochs."""
        self.model.set_params(max_iter=epochs, shuffle=shuffle).fit(self.x, self.y)
        return list(self.model.loss_curve_[-epochs:])


prepare = ScikitLearn
