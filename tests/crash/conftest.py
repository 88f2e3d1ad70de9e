"""A store that speaks S3, and two machines with one bucket in it, for the tests that break them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3 import Machines, Store, machines, store_in


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with store_in(tmp_path / "s3") as running:
        yield running


@pytest.fixture
def both(store: Store, tmp_path: Path) -> Iterator[Machines]:
    with machines(tmp_path / "machines", store) as made:
        yield made
