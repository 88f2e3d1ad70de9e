"""A service to be looked at with a browser, and the first steps there."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, expect

ROOT = Path(__file__).parents[2]
PENGUINS = ROOT / "examples" / "penguins.csv"


class Service:
    """A service of our own, with nothing in it.

    Args:
        data_dir: Its folder.
        port: Where it listens; 0: where there is room.
    """

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        # A variable that is no setting is refused, and the browser's is none.
        env = {name: value for name, value in os.environ.items() if not name.startswith("DESCENT_")}
        env |= {"DESCENT_PORT": str(port), "DESCENT_DATA_DIR": str(data_dir)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        greeting = next(line for line in self._process.stdout if "http://" in line)
        self.address = greeting[greeting.index("http://") :].strip().rstrip("/")

    def end(self) -> None:
        """Stop it, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=30)

    def dataset(self, text: str | bytes, name: str = "penguins.csv") -> dict[str, Any]:
        """Upload a CSV."""
        answer = httpx.post(
            f"{self.address}/v1/datasets", params={"name": name, "format": "csv"}, content=text, timeout=60
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def job(self, dataset: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Submit a job."""
        answer = httpx.post(
            f"{self.address}/v1/jobs", json={"dataset_id": dataset["id"], "target": "species", **more}, timeout=60
        )
        assert answer.status_code == 202, answer.text
        return answer.json()

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """Wait for a job's end."""
        return httpx.get(f"{self.address}/v1/jobs/{job['id']}", params={"wait_s": 60}, timeout=120).json()


# What a room shows when it is asked to, and where it then shows it.
ASKED = {
    "Fork": "Go on from",
    "Predict": "Prediction",
    "Evaluate": "Confusion matrix",
    "Hardest rows": "Hardest rows",
    "Importance of the columns": "Importance of the columns",
}


def ask_for_all(page: Page) -> None:
    """Press each button of a room that shows more, and wait until it is there."""
    for verb, shown in ASKED.items():
        button = page.get_by_role("button", name=verb)
        if button.is_visible():
            button.click()
            expect(page.get_by_label(shown, exact=True).last).to_be_visible()


def unfold(page: Page, title: str) -> None:
    """Open one of the folds of a form."""
    page.locator("summary").filter(has_text=title).click()


def begin(page: Page, service: Service, **fields: str) -> None:
    """Choose the penguins, fill the form and start."""
    page.goto(f"{service.address}/#/start")
    page.get_by_label("Drop a CSV here").set_input_files(PENGUINS)
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " ")).fill(text)
    page.get_by_role("button", name="Start", exact=True).click()
