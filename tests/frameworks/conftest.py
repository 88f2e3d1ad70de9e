"""Libraries that are not among our packages: these tests run where PyTorch and Keras are installed, as `.ci/run` does it."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") and find_spec("keras") else ["test_*.py"]
