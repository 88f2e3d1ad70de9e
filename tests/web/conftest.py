"""The page needs a browser: `TEST_CHROMIUM=/usr/bin/chromium make test` (and `playwright`) runs these tests, too.

With `TEST_AXE=…/axe-core/axe.min.js` (of npm) it is also searched for what keeps people out.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.web.browsing import Service

collect_ignore_glob = [] if os.environ.get("TEST_CHROMIUM") else ["test_*.py"]
if not os.environ.get("TEST_AXE"):
    collect_ignore_glob.append("test_axe.py")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Service"]:
    from tests.web.browsing import Service

    running = Service(tmp_path_factory.mktemp("data"))
    yield running
    running.end()


@pytest.fixture(scope="module")
def dataset(service: "Service") -> dict[str, Any]:
    """The penguins, uploaded once for all tests of a file."""
    from tests.web.browsing import PENGUINS

    return service.dataset(PENGUINS.read_bytes())


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # a busy machine is slow, which is no fault of the page
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=os.environ["TEST_CHROMIUM"], args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    context = browser.new_context()
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == [], "the page's own code failed"
