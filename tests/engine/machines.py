"""Machines that have less than this one, or are another: what a process is told so that its machine code does without."""

import os
from collections.abc import Mapping

from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

ANOTHER = "its name"
_AVX512 = ("amx", "avx10", "avx512", "evex512")
WITHOUT = {
    "nothing": (),
    ANOTHER: (),
    "AMX": ("amx",),
    "vectors of 64 bytes": _AVX512,
    "vectors of 32 bytes": (*_AVX512, "avx", "f16c", "fma", "vaes", "vpclmulqdq", "xop"),
}
"""Names of machines that lack something, and how the names of the features that they lack begin.

One has all that this one has, but not its name, and with it other sizes: Ice Lake's, or none of its own.
"""


def environment(without: str) -> Mapping[str, str]:
    """The environment of such a process."""
    lacking = WITHOUT[without]
    features = {name: has and not name.startswith(lacking) for name, has in get_host_cpu_features().items()}
    told = ",".join(f"{'+' if has else '-'}{name}" for name, has in features.items())
    name = get_host_cpu_name()
    if without == ANOTHER:
        name = "icelake-server" if name != "icelake-server" else "x86-64"
    return {**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": told}
