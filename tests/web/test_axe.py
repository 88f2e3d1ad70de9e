"""Nothing that axe-core knows to keep people out, in any room, light and dark, on a desktop and on a phone."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.web.browsing import PENGUINS, Service, ask_for_all

pytestmark = pytest.mark.slow

OPEN_ALL = "document.querySelectorAll('details').forEach((one) => (one.open = true))"


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, service: Service, scheme: str, width: int) -> None:
    axe = Path(os.environ["TEST_AXE"]).read_text(encoding="utf-8")
    dataset = service.dataset(PENGUINS.read_bytes())
    jobs = [service.ended(service.job(dataset, training={"epochs": 20, "seed": seed})) for seed in (1, 2)]
    first, second = (job["id"] for job in jobs)
    model = f"#/models/{jobs[0]['model_id']}"
    rooms = ["#/", "#/start", f"#/start/{dataset['id']}", f"#/jobs/{first}", f"#/compare/{first}+{second}", "#/models"]
    rooms.append(f"#/again/{first}")
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    for room in [*rooms, model, "#/playground", "#/nowhere"]:
        page.goto(f"{service.address}/{room}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_timeout(500)
        ask_for_all(page)
        page.evaluate(OPEN_ALL)
        page.wait_for_timeout(700)
        page.evaluate(axe)
        found = page.evaluate(
            "axe.run().then(({ violations }) => violations.map((one) => [one.id, one.nodes[0].html]))"
        )
        assert found == [], room
    context.close()
