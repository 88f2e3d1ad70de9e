"""Clients of the shared service, directly and through a line that breaks."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from descent import Client, Dataset, Job, Retries
from tests.client.proxy import Proxy, proxy
from tests.service import PENGUINS, Service

collect_ignore = [] if find_spec("torch") else ["test_torch.py"]

QUICK = Retries(first_s=0.01, longest_s=0.05)
FEW_EPOCHS = {"network": {"hidden_layers": [4]}, "training": {"epochs": 20}}


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{service.port}") as one:
        yield one


@pytest.fixture
def line(service: Service) -> Iterator[Proxy]:
    with proxy(service.port) as one:
        yield one


@pytest.fixture
def far(line: Proxy) -> Iterator[Client]:
    """Give a client whose every request goes over the line that breaks."""
    with Client(line.url, retries=QUICK) as one:
        yield one


@pytest.fixture
def birds(client: Client) -> Dataset:
    return client.datasets.create(PENGUINS)


@pytest.fixture
def ended(client: Client, birds: Dataset) -> Job:
    """Give a job that has ended."""
    return client.jobs.create(birds, target="species", **FEW_EPOCHS).wait(60)
