"""Whoever has no mouse gets everywhere, sees where they are, and is kept nowhere."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.browsing import PENGUINS, Service, ask_for_all

pytestmark = pytest.mark.slow

OPEN_ALL = "document.querySelectorAll('details').forEach((one) => (one.open = true))"

# What can be clicked, and must be reached: by itself, or as what its label or its surroundings name.
COUNT = """() => {
    const reachable = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    const isThere = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled;
    window.wanted = [...document.querySelectorAll(reachable)].filter((one) => isThere(one) && one.tabIndex >= 0);
    const ofLabel = (one) => one.closest("label")?.control ?? null;
    const isDead = (one) => !one.closest(reachable) && !ofLabel(one);
    const looksLikeIt = [...document.querySelectorAll("main *")].filter((one) => getComputedStyle(one).cursor === "pointer");
    const dead = looksLikeIt.filter((one) => isThere(one) && isDead(one)).map((one) => one.outerHTML.slice(0, 200));
    return { count: window.wanted.length, dead };
}"""

# Where the focus is: its number among those wanted, and what is wrong with how that is shown.
LOOK = """() => {
    const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
        paint.clearRect(0, 0, 1, 1);
        paint.fillStyle = colour;
        paint.fillRect(0, 0, 1, 1);
        return [...paint.getImageData(0, 0, 1, 1).data];
    };
    const light = (colour) => {
        const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = colour.map((part) => linear(part / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (one) => {
        for (let at = one; at; at = at.parentElement) {
            const colour = rgb(getComputedStyle(at).backgroundColor);
            if (colour[3] === 255) return colour.slice(0, 3);
        }
        return [255, 255, 255];
    };
    const focused = document.activeElement;
    if (!focused || focused === document.body) return { at: null };
    const shown = focused.closest(".drop") ?? focused; // its own input is not seen
    const style = getComputedStyle(shown), box = shown.getBoundingClientRect();
    const [high, low] = [light(rgb(style.outlineColor)), light(behind(shown.parentElement))].sort((a, b) => b - a);
    const faults = [];
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) faults.push("no outline");
    if ((high + 0.05) / (low + 0.05) < 3) faults.push(`contrast ${(high + 0.05) / (low + 0.05)}`);
    if (box.width < 2 || box.height < 2) faults.push("too small to be seen");
    if (box.bottom < 1 || box.top > innerHeight - 1) faults.push("not scrolled to");
    return { at: window.wanted.indexOf(focused), faults, html: focused.outerHTML.slice(0, 200) };
}"""


def walk(page: Page) -> tuple[int, list[int], list[Any]]:
    """Press Tab until it has gone round the page: how many there are, those reached, and what is wrong."""
    page.evaluate("() => { document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0); }")
    found = page.evaluate(COUNT)
    assert found["dead"] == [], "they look as if they could be clicked, and no key gets there"
    reached: list[int] = []
    wrong: list[Any] = []
    for _ in range(found["count"] + 10):
        page.keyboard.press("Tab")
        seen = page.evaluate(LOOK)
        if seen["at"] is None:
            continue  # past the end of the page, from where it begins again
        if reached and seen["at"] == reached[0]:
            break
        reached.append(seen["at"])
        if seen["faults"] or seen["at"] < 0:
            wrong.append((seen["faults"], seen["html"]))
    return found["count"], reached, wrong


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_tab_reaches_everything_in_order_with_an_outline_that_is_seen(
    browser: Browser, service: Service, scheme: Any, width: int
) -> None:
    dataset = service.dataset(PENGUINS.read_bytes())
    ended = service.ended(service.job(dataset, training={"epochs": 20}))
    rooms = ["", "start", f"start/{dataset['id']}", f"jobs/{ended['id']}", f"compare/{ended['id']}", "models"]
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    for room in [*rooms, f"models/{ended['model_id']}", "playground", "nowhere"]:
        page.goto("about:blank")  # the focus starts anew
        page.goto(f"{service.address}/#/{room}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("networkidle")
        if room.startswith("start/"):
            expect(page.get_by_role("complementary", name="What it costs")).to_contain_text("339 parameters")
        ask_for_all(page)
        page.evaluate(OPEN_ALL)
        page.wait_for_timeout(300)
        count, reached, wrong = walk(page)
        assert wrong == [], room
        # Where a walk begins depends on where the focus was last; it goes round, in the order of the page.
        start = reached.index(min(reached))
        assert reached[start:] + reached[:start] == list(range(count)), room
    context.close()
