"""The API's own page in a real browser: it works without the internet."""

import os
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.service import Service

pytestmark = pytest.mark.slow


def test_the_viewer_shows_the_document_and_asks_no_other_host(own_service: Service) -> None:
    own_service.start_api()
    asked, faults = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ["TEST_CHROMIUM"], args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{own_service.http.base_url}/docs")
        expect(page.locator("#operations-jobs-submit_job")).to_be_visible(timeout=60_000)
        page.locator("#operations-jobs-submit_job button").first.click()
        expect(page.get_by_text("The answer is 202 once the job is stored")).to_be_visible(timeout=30_000)
        browser.close()
    assert faults == []
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    assert hosts == {f"127.0.0.1:{own_service.port}"}
