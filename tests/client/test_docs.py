"""What the documents of client and command show works as it is written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service import ROOT, Service


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def environment(service: Service, bin: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DESCENT_")}
    url = f"http://127.0.0.1:{service.port}"
    return {**kept, "PYTHONPATH": str(ROOT), "DESCENT_URL": url, "PATH": f"{bin}:{os.environ['PATH']}"}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_client_does_what_its_document_shows(service: Service, place: Path) -> None:
    parts = blocks("client.md", "python")
    assert len(parts) == 7
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(parts)],
        cwd=place,
        env=environment(service, place),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for shown in ("identical", "Gentoo", "/training/epochs", "/training/optimizer/name"):
        assert shown in done.stdout
    assert (place / "penguins.onnx").exists()
    assert len((place / "predictions.csv").read_text().splitlines()) == 345


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_command_does_what_its_document_shows(service: Service, place: Path) -> None:
    parts = blocks("cli.md", "bash")
    assert len(parts) == 2
    command = place / "descent"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m descent "$@"\n')
    command.chmod(0o755)
    script = "set -o pipefail\n" + "\n".join(parts)
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-eu", "-c", script],
        cwd=place,
        env=environment(service, place),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "saved penguins.onnx" in done.stdout
    assert (place / "penguins.npz").exists()
    assert '"epoch":20' in done.stdout


def test_every_command_is_in_its_document(service: Service, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "descent", "--help"],
        env=environment(service, tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    document = (ROOT / "docs" / "cli.md").read_text()
    commands = ("serve", "worker", "migrate", "train", "jobs", "watch", "download", "predict", "doctor")
    assert [name for name in commands if name not in done.stdout or f"`descent {name}" not in document] == []
