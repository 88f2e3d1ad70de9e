"""What the documents of client and command show works as it is written."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.blocks import of_the_page, run_page
from tests.service import ROOT, Service

DOCS = ROOT / "docs"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_client_does_what_its_document_shows(service: Service, tmp_path: Path) -> None:
    assert len(of_the_page(DOCS / "client.md")) >= 7
    printed = run_page(DOCS / "client.md", service, tmp_path)
    for shown in ("identical", "Gentoo", "/training/epochs", "/training/optimizer/name"):
        assert shown in printed
    assert (tmp_path / "penguins.onnx").exists()
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 345


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_command_does_what_its_document_shows(service: Service, tmp_path: Path) -> None:
    printed = run_page(DOCS / "cli.md", service, tmp_path)
    assert "saved penguins.onnx" in printed
    assert (tmp_path / "penguins.npz").exists()
    assert '"epoch":20' in printed


def test_every_command_is_in_its_document() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "descent", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    document = (DOCS / "cli.md").read_text()
    commands = ("serve", "worker", "migrate", "train", "jobs", "watch", "download", "predict", "doctor")
    assert [name for name in commands if name not in done.stdout or f"`descent {name}" not in document] == []
