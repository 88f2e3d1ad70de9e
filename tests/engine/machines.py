"""Machines that have less than this one: what a process is told so that its machine code does without."""

import os
from collections.abc import Mapping

from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

_AVX512 = ("amx", "avx10", "avx512", "evex512")
WITHOUT = {
    "nothing": (),
    "AMX": ("amx",),
    "vectors of 64 bytes": _AVX512,
    "vectors of 32 bytes": (*_AVX512, "avx", "f16c", "fma", "vaes", "vpclmulqdq", "xop"),
}
"""Names of machines that lack something, and how the names of the features that they lack begin."""


def environment(without: str) -> Mapping[str, str]:
    """The environment of such a process."""
    lacking = WITHOUT[without]
    features = {name: has and not name.startswith(lacking) for name, has in get_host_cpu_features().items()}
    told = ",".join(f"{'+' if has else '-'}{name}" for name, has in features.items())
    return {**os.environ, "NUMBA_CPU_NAME": get_host_cpu_name(), "NUMBA_CPU_FEATURES": told}
