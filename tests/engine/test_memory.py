"""Rows are mapped, never copied: training on an array larger than memory is allowed to be."""

import subprocess
import sys

import pytest

ARRAY_BYTES = 4 << 30
ANONYMOUS_BYTES = 512 << 20

TRAIN = """
import resource, sys
import numpy as np
import engine
from engine.kernels import available, warm

n_inputs, n_rows = 784, int(sys.argv[1]) // (784 * 4)
x = np.lib.format.open_memmap(sys.argv[3], "w+", np.float32, (n_rows, n_inputs))  # a hole in the file: zeros
y = np.eye(10, dtype=np.float32)[np.arange(n_rows) % 10]
assert x.nbytes > int(sys.argv[1]) - n_inputs * 4
x.flush()
x = np.load(sys.argv[3], mmap_mode="r")
network = engine.NetworkSpec(n_inputs, (engine.LayerSpec(16, "relu"), engine.LayerSpec(10, "softmax")))
training = engine.TrainingSpec("cross_entropy", epochs=1, batch_size=512, kernels=sys.argv[4])
if training.kernels == "numba":
    assert available(network, training)
    warm("float32")
# From here on, private memory beyond this is refused by the system: the interpreter, the targets and all else included.
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]),) * 2)
state = engine.initial_state(network, training)
(report,) = (event for event in engine.train(network, training, state, engine.Rows(x, y)) if event)
anonymous = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
print(n_rows, report.train_loss, int(anonymous.split()[1]) * 1024)
try:
    np.ones(int(sys.argv[2]), np.uint8)
except MemoryError:
    print("the bound holds")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_training_on_a_mapped_array_of_4_gib_stays_below_512_mib(tmp_path, kernels):
    path = tmp_path / "x.npy"
    arguments = [str(ARRAY_BYTES), str(ANONYMOUS_BYTES), str(path), kernels]
    done = subprocess.run([sys.executable, "-c", TRAIN, *arguments], capture_output=True, text=True, timeout=280)
    path.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    numbers, bound = done.stdout.splitlines()
    n_rows, loss, anonymous = (float(word) for word in numbers.split())
    assert n_rows == ARRAY_BYTES // (784 * 4)
    # Nothing can be learned from zeros but that all classes are as likely.
    assert loss == pytest.approx(2.302585, abs=0.01)
    assert anonymous < ANONYMOUS_BYTES
    assert bound == "the bound holds"
