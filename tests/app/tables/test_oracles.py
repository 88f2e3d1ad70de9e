"""The inputs of training and validation rows are those that scikit-learn makes of the same columns."""

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from app.contract.preprocessing import Preprocessing, Task, Validation
from app.tables.choice import choose
from app.tables.preparation import fit, prepare
from app.tables.selection import select

HALF = Validation(fraction=0.5, stratify=False)
G = np.random.default_rng(5)
N = 120
NUMBERS = np.column_stack([G.normal(3, 50, N), G.exponential(1e-3, N), G.integers(0, 9, N)])
NUMBERS[G.random((N, 3)) < 0.1] = np.nan
COLOURS = G.choice(["red", "green", "blue", "pale", "ünï"], N, p=[0.4, 0.3, 0.2, 0.08, 0.02]).astype(object)
COLOURS[:6] = ""
CONTENT = "a,b,c,colour,y\n" + "".join(
    ",".join(["" if np.isnan(one) else repr(one) for one in row.tolist()]) + f",{colour},{i * 0.37}\n"
    for i, (row, colour) in enumerate(zip(NUMBERS, COLOURS, strict=True))
)
SCALERS = {"standardize": StandardScaler(), "minmax": MinMaxScaler(), "none": None}
CODERS = {
    "one_hot": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
}


@pytest.mark.parametrize("categorical", CODERS)
@pytest.mark.parametrize("numeric", SCALERS)
@pytest.mark.parametrize(("missing", "strategy"), [("mean", "mean"), ("median", "median"), ("constant", "constant")])
def test_inputs_are_those_of_scikit_learn(numeric, categorical, missing, strategy, read, table, tmp_path):
    columns, preprocessing = (
        read(CONTENT).columns,
        Preprocessing(numeric=numeric, missing=missing, categorical=categorical),
    )
    choice = choose(
        columns,
        target="y",
        features=["a", "b", "c", "colour"],
        task=Task.AUTO,
        preprocessing=preprocessing,
        max_classes=9,
    )
    split = {"validation": HALF, "seed": 1}
    fitted = fit(table, choice, preprocessing, **split, one_output=False, scale_targets=False).preprocessing
    prepared = prepare(table, fitted, **split, dtype=np.float64, scratch=tmp_path)
    rows = select(table, fitted, **split)

    imputer, scaler, coder = SimpleImputer(strategy=strategy, fill_value=0), SCALERS[numeric], CODERS[categorical]
    # The scale is that of the values that are there: it is fitted before the gaps are filled.
    scale = (lambda x: x) if scaler is None else scaler.fit(NUMBERS[rows.train]).transform
    imputer.fit(NUMBERS[rows.train])
    present = rows.train[COLOURS[rows.train] != ""]
    coder.fit(COLOURS[present, None])
    for side, found in ((rows.train, prepared.x_train), (rows.held_out, prepared.x_validation)):
        expected = np.column_stack([scale(imputer.transform(NUMBERS[side])), coder.transform(COLOURS[side, None])])
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
