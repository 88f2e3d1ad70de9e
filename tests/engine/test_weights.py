"""Weights by name, first weights, and prediction."""

import numpy as np
import pytest

import engine.batches
from engine import WeightsError, flat_parameters, initial_state, named_arrays, predict
from tests.engine import paper
from tests.engine.cases import as_paper, network, random_state, rows, training


def test_named_arrays_and_back_is_the_same_vector():
    net, spec = network(3, 4, 2), training()
    parameters = random_state(net, spec).parameters
    arrays = named_arrays(net, parameters)
    assert {name: array.shape for name, array in arrays.items()} == {
        "layers.0.weight": (4, 3),
        "layers.0.bias": (4,),
        "layers.1.weight": (2, 4),
        "layers.1.bias": (2,),
    }
    np.testing.assert_array_equal(flat_parameters(net, arrays, "float64"), parameters)
    np.testing.assert_array_equal(initial_state(net, spec, weights=arrays).parameters, parameters)


def test_network_without_biases_has_none():
    net = network(3, 4, 2, bias=False)
    assert set(named_arrays(net, np.zeros(net.n_parameters))) == {"layers.0.weight", "layers.1.weight"}


def test_every_wrong_or_missing_name_is_listed():
    net = network(3, 4, 2)
    arrays = named_arrays(net, np.zeros(net.n_parameters))
    del arrays["layers.0.bias"]
    arrays |= {
        "layers.0.weight": np.zeros((3, 4)),
        "layers.1.weight": np.full((2, 4), 1e300),
        "layers.1.bias": np.array(["a", "b"]),
        "layers.2.bias": np.zeros(1),
    }
    with pytest.raises(WeightsError) as raised:
        flat_parameters(net, arrays, "float32")
    assert [fault.split()[0] for fault in raised.value.faults] == [
        "layers.0.bias", "layers.2.bias", "layers.0.weight", "layers.1.weight", "layers.1.bias",
    ]  # fmt: skip


def test_auto_draws_by_activation_and_leaves_biases_at_zero():
    net = network(300, 200, 100, hidden="relu", output="softmax")
    arrays = named_arrays(net, initial_state(net, training()).parameters)
    assert arrays["layers.0.weight"].std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    assert arrays["layers.1.weight"].std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    assert np.abs(arrays["layers.0.weight"]).max() > np.sqrt(6 / 500)
    assert not arrays["layers.0.bias"].any()
    assert not arrays["layers.1.bias"].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_prediction_is_the_papers_forward_pass(dtype):
    net, data = network(3, 4, 2, output="softmax"), rows(7, 3, 2)
    parameters = random_state(net, training()).parameters
    wanted = [paper.feed_forward(as_paper(net, parameters), x)[1][-1] for x in data.x]
    answer = predict(net, parameters.astype(dtype), data.x)
    assert answer.dtype == dtype
    np.testing.assert_allclose(answer, wanted, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_prediction_in_blocks_is_that_of_each_row(monkeypatch):
    net, data = network(3, 4, 2), rows(11, 3, 2)
    parameters = random_state(net, training()).parameters
    whole = predict(net, parameters, data.x)
    monkeypatch.setattr(engine.batches, "_slice_rows", lambda row_bytes, row_flops: 4)
    np.testing.assert_allclose(predict(net, parameters, data.x), whole, rtol=1e-13)


def test_prediction_of_no_rows_is_no_rows():
    net = network(3, 4, 2)
    assert predict(net, np.zeros(net.n_parameters), np.zeros((0, 3))).shape == (0, 2)


def test_prediction_takes_integers():
    net = network(3, 2)
    parameters = random_state(net, training()).parameters
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(predict(net, parameters, x), predict(net, parameters, x.astype(float)))
