"""The chain of hashes: the same for a run that was interrupted anywhere, another one for anything else."""

import json
from dataclasses import replace

import numpy as np
import pytest

from app.worker.chain import Chain
from engine import checkpoint
from engine.batches import Rows
from engine.forking import fork
from engine.spec import LayerSpec, NetworkSpec, OptimizerSpec, TrainingSpec
from engine.state import TrainingState
from engine.training import initial_state, train

pytestmark = pytest.mark.slow

NETWORK = NetworkSpec(3, (LayerSpec(4, "tanh"), LayerSpec(1, "sigmoid")))
TRAINING = TrainingSpec(loss="binary_cross_entropy", epochs=150, batch_size=7)


def rows(n: int = 40, seed: int = 1) -> Rows:
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return Rows(x, (x[:, :1] > 0).astype(np.float32))


def run(state: TrainingState, chain: Chain, training: TrainingSpec = TRAINING, until: int = 10**9) -> None:
    chain.begin(state)
    for report in train(NETWORK, training, state, rows()):
        if report is not None:
            chain.add(report, state)
            if report.epoch == until:
                return


def whole(training: TrainingSpec = TRAINING) -> Chain:
    state, chain = initial_state(NETWORK, training), Chain(training.epochs, None, is_new=True)
    run(state, chain, training)
    chain.end(state)
    return chain


@pytest.mark.parametrize("stops", [[1], [2, 3], [149], [5, 50, 51, 100]])
def test_an_interrupted_run_has_the_chain_of_an_undisturbed_one(stops: list[int]) -> None:
    state, saved = initial_state(NETWORK, TRAINING), None
    for stop in [*stops, 10**9]:
        chain = Chain(TRAINING.epochs, saved, is_new=saved is None)
        run(state, chain, until=stop)
        stored = checkpoint.dump(state), json.dumps(chain.to_json())
        state, saved = checkpoint.load(stored[0], NETWORK, TRAINING), json.loads(stored[1])
    chain.end(state)
    assert chain.links == whole().links
    assert [link["epoch"] for link in chain.links] == list(range(3, 151, 3))


def test_a_last_bit_of_one_weight_changes_every_link_from_there() -> None:
    state, chain = initial_state(NETWORK, TRAINING), Chain(TRAINING.epochs, None, is_new=True)
    run(state, chain, until=60)
    state.parameters[0] = np.nextafter(state.parameters[0], np.float32(9))
    run(state, chain)
    mine, theirs = chain.links, whole().links
    assert mine[:20] == theirs[:20]
    assert not {link["sha256"] for link in mine[20:]} & {link["sha256"] for link in theirs[20:]}


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_size": 8}, {"l2": 1e-7}])
def test_another_training_has_another_chain(change: dict) -> None:
    assert whole(replace(TRAINING, **change)).links[0] != whole().links[0]


def test_a_long_training_has_few_links() -> None:
    chain = Chain(10_000_000, None, is_new=True)
    assert len(range(0, 10_000_000, chain._every)) <= 64


def test_a_training_begun_without_a_chain_gets_no_links() -> None:
    state = initial_state(NETWORK, TRAINING)
    chain = Chain(TRAINING.epochs, None, is_new=False)
    run(state, chain)
    chain.end(state)
    assert chain.links == []


@pytest.mark.parametrize("epoch", [1, 7, 29])
def test_a_fork_in_the_middle_of_an_epoch_goes_on_there_unless_its_batches_change(epoch: int) -> None:
    state = initial_state(NETWORK, TRAINING)
    run(state, Chain(150, None, is_new=True), until=epoch)
    saved = checkpoint.read(checkpoint.dump(state))
    saved.position = 14
    same = fork(saved, NETWORK, replace(TRAINING, epochs=200))
    other = fork(saved, NETWORK, replace(TRAINING, epochs=200, batch_size=8))
    assert (same.epoch, same.position, same.step) == (epoch, 14, state.step)
    assert (other.epoch, other.position, other.step) == (epoch, 0, state.step)
    assert np.array_equal(other.slots, state.slots)


def test_another_optimizer_starts_with_nothing_remembered() -> None:
    state = initial_state(NETWORK, TRAINING)
    run(state, Chain(150, None, is_new=True), until=9)
    saved = checkpoint.read(checkpoint.dump(state))
    forked = fork(saved, NETWORK, replace(TRAINING, optimizer=OptimizerSpec("amsgrad", 0.01)))
    assert (forked.step, forked.epoch) == (0, 9)
    assert not forked.slots.any()
    assert np.array_equal(forked.parameters, state.parameters)
    assert (forked.best_epoch, forked.best_loss) == (state.best_epoch, state.best_loss)
    assert fork(saved, NETWORK, replace(TRAINING, l2=0.1)).best_epoch == 0, "its loss is another number"
