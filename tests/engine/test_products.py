"""Machine code with all that the machine has, and as machines have it that lack something."""

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.engine.machines import WITHOUT, environment

# Machines that lack something have their code compiled anew: minutes, where two tests do that side by side.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
ONE_ROUNDING = 2.0**-24


def _run(without: str, module: Sequence[str]) -> str:
    command = [sys.executable, "-m", *module]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(without), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def _found(without: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run(without, ["tests.engine.products"]))
    return found


@pytest.mark.parametrize("without", WITHOUT)
def test_products_differ_from_exact_ones_by_no_more_than_a_few_roundings(without: str) -> None:
    """NumPy's own come to four roundings on these; numbers of 8 bits would be a thousand times as far off.

    That nothing is written but the product is seen there, too.
    """
    errors = _found(without)["errors"]
    assert len(errors) == 696
    assert max(errors.values()) < 6.0 * ONE_ROUNDING, errors


@pytest.mark.parametrize("without", WITHOUT)
def test_a_number_that_is_none_is_in_all_that_it_is_a_part_of_and_nowhere_else(without: str) -> None:
    assert _found(without)["finite_where_they_should_not_be"] == 0.0


@pytest.mark.parametrize("without", WITHOUT)
def test_zeros_are_left_out_of_products_that_are_large_enough_and_have_many(without: str) -> None:
    found = _found(without)
    pays = found["vector_bytes"] >= 32 and not found["has_amx"]  # it is faster with zeros and all
    assert found["sparse"] == {
        "rows 0.0": pays, "columns 0.0": pays, "rows 0.5": pays, "columns 0.5": pays, "rows 0.8": False,
        "columns 0.8": False, "rows 1.0": False, "columns 1.0": False, "short": False, "few": False, "slim": False,
        "deep": False,
    }  # fmt: skip


@pytest.mark.parametrize("without", WITHOUT)
def test_a_matrix_that_is_turned_where_it_is_is_its_transpose(without: str) -> None:
    assert _found(without)["turned_wrongly"] == []


def test_large_products_are_made_by_amx_where_it_is_and_by_tiles_where_it_is_not_wanted() -> None:
    found, without = _found("nothing"), _found("AMX")
    assert found["made_by_amx"] == (found["shapes"] if found["has_amx"] else 0)
    assert not without["has_amx"]
    assert without["made_by_amx"] == 0


@pytest.mark.parametrize("without", [name for name in WITHOUT if name.startswith("vectors")])
def test_steps_on_a_machine_of_narrower_vectors_are_the_plain_ones(without: str) -> None:
    """Vectors as wide as most machines have them, and as all have them; each compiles anew."""
    assert _found(without)["vector_bytes"] <= 32
    same = "widths_around or copied_in_parts or up_to_rounding or leave_zeros_out or zeros_are_left_out or test_curves"
    options = "-q", "-n", "0", "--timeout", "600", "-p", "no:cacheprovider", "-k", same
    said = _run(without, ["pytest", *options, "tests/engine/test_kernels.py", "tests/engine/test_curves.py"])
    assert " passed" in said
    assert "failed" not in said
