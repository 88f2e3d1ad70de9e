"""Products of large matrices in machine code: with all that the machine has, and without its AMX."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

ROOT = Path(__file__).parents[2]
ONE_ROUNDING = 2.0**-24


@cache
def _found(*, with_amx: bool) -> dict[str, Any]:
    features = {
        **get_host_cpu_features(),
        **({} if with_amx else {"amx-bf16": False, "amx-tile": False, "amx-int8": False}),
    }
    told = ",".join(f"{'+' if has else '-'}{name}" for name, has in features.items())
    environment = {**os.environ, "NUMBA_CPU_NAME": get_host_cpu_name(), "NUMBA_CPU_FEATURES": told}
    command = [sys.executable, "-m", "tests.engine.products"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("with_amx", [True, False])
def test_products_differ_from_exact_ones_by_no_more_than_a_few_roundings(with_amx: bool) -> None:
    """NumPy's own come to four roundings on these; numbers of 8 bits would be a thousand times as far off."""
    errors = _found(with_amx=with_amx)["errors"]
    assert len(errors) == 112
    assert max(errors.values()) < 6.0 * ONE_ROUNDING, errors


@pytest.mark.slow
@pytest.mark.parametrize("with_amx", [True, False])
def test_a_number_that_is_none_is_in_all_that_it_is_a_part_of_and_nowhere_else(with_amx: bool) -> None:
    assert _found(with_amx=with_amx)["finite_where_they_should_not_be"] == 0.0


@pytest.mark.slow
def test_large_products_are_made_by_amx_where_it_is_and_by_tiles_where_it_is_not_wanted() -> None:
    found, without = _found(with_amx=True), _found(with_amx=False)
    assert found["made_by_amx"] == (found["shapes"] if found["has_amx"] else 0)
    assert not without["has_amx"]
    assert without["made_by_amx"] == 0
