"""Fixtures that more than one room of tests uses."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.service import PENGUINS, Service, fresh_database

# The same examples on every run, unless `--hypothesis-profile=default` asks for new ones.
# An example may take as long as it takes: how long that is depends on what else the machine does.
hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a running service that tests share; none of them kills it."""
    with fresh_database() as url:
        running = Service(tmp_path_factory.mktemp("service"), url)
        try:
            yield running.start()
        finally:
            running.close()


@pytest.fixture(scope="module")
def one_slot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a running service with one slot that the tests of a module share; they may kill its worker, and start another."""
    with fresh_database() as url:
        running = Service(tmp_path_factory.mktemp("one_slot"), url, worker_slots="1")
        try:
            yield running.start()
        finally:
            running.close()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """Give a service that has not been started, for a test that kills parts of it."""
    with fresh_database() as url:
        own = Service(tmp_path, url, worker_slots="1")
        try:
            yield own
        finally:
            own.close()


@pytest.fixture(scope="session")
def penguins(service: Service) -> str:
    """Give the id of the penguins, uploaded."""
    return str(service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"])
