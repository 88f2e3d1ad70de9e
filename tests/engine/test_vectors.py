"""What machine code makes of numbers by itself, and how the arrays lie that it is given."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

import engine.jit
import engine.vectors
from engine.arrays import VECTOR_BYTES, aligned_rows, empty, with_room
from tests.engine.machines import environment

ROOT = Path(__file__).parents[2]

LENGTH = engine.vectors.VECTOR_BYTES // 4


@intrinsic
def _root(typing, x, out):
    """The roots of a vector."""
    del typing

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        vector = engine.vectors.Vectors(builder, kind.dtype)
        source, target = (
            engine.vectors.pointer_to(context, builder, kind, array, ir.Constant(ir.IntType(64), 0))
            for array in arguments
        )
        vector.store(vector.root(vector.load(source, None)), target, None)
        return context.get_dummy_value()

    return types.void(x, out), generate


@pytest.mark.parametrize("aside", [True, False])
def test_root_is_right_within_the_last_bit_or_two(monkeypatch, aside):
    monkeypatch.setattr(engine.vectors, "ROOTS_ASIDE", aside)
    roots = njit(lambda x, out: _root(x, out))
    x, out = empty((LENGTH,), np.float32), empty((LENGTH,), np.float32)
    generator = np.random.default_rng(0)
    for _ in range(200):
        x[:] = np.exp2(generator.uniform(-125, 127, LENGTH))
        roots(x, out)
        np.testing.assert_allclose(out, np.sqrt(x), rtol=2.0**-22)
    x[:4] = 0.0, 1.0, np.nan, 4.0
    roots(x, out)
    assert out[0] <= 1.1e-19
    assert out[1] == pytest.approx(1.0, rel=2.0**-22)
    assert np.isnan(out[2])
    assert out[3] == pytest.approx(2.0, rel=2.0**-22)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 1000])
@pytest.mark.parametrize("n_rows", [1, 3])
def test_every_row_begins_where_a_vector_may(dtype, n, n_rows):
    rows = aligned_rows(n_rows, n, dtype)
    assert rows.shape == (n_rows, n)
    assert not rows.any()
    assert all(row.ctypes.data % VECTOR_BYTES == 0 for row in rows)
    rows[:] = np.arange(n_rows * n).reshape(n_rows, n)
    whole = with_room(rows)
    assert whole.flags.c_contiguous
    assert np.shares_memory(whole, rows)
    np.testing.assert_array_equal(whole[:, :n], rows)
    # A part has the room of the whole, and rows without room are what they were.
    assert with_room(rows[1:]).shape == (n_rows - 1, whole.shape[1])
    assert with_room(np.zeros((2, n), dtype)).shape == (2, n)


def test_what_several_add_at_once_to_what_a_function_was_compiled_to_is_all_kept(tmp_path):
    keys = range(100)
    with ThreadPoolExecutor(4) as several:
        list(several.map(lambda key: engine.jit._Kept(tmp_path, "function", "stamp").save(key, f"code {key}"), keys))
    kept = engine.jit._Kept(tmp_path, "function", "stamp")
    assert [kept.load(key) for key in keys] == [f"code {key}" for key in keys]


@pytest.mark.slow
def test_a_process_that_lacks_something_throws_away_nothing_that_others_compiled(tmp_path):
    asked = "from engine.compiled import pays_turned as f; f(1, 1, 1, 4); print(sum(f.stats.cache_hits.values()))"

    def hits(without):
        told = {**environment(without), "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", asked], cwd=ROOT, env=told, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert hits("nothing") == 0
    for without in ("AMX", "vectors of 32 bytes"):
        hits(without)
    assert hits("nothing") == 1
