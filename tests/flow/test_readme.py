"""What the README tells a newcomer to type works as it is written."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.blocks import run_page
from tests.service import ROOT, Service

README = (ROOT / "README.md").read_text()


def test_the_first_screen_shows_the_two_commands() -> None:
    first_screen = README.splitlines()[:20]
    for command in ("make serve", "make test"):
        assert any(line.startswith(command) for line in first_screen)


def test_the_first_model_is_made_by_the_lines_of_the_readme(service: Service, tmp_path: Path) -> None:
    printed = run_page(ROOT / "README.md", service, tmp_path)
    accuracy = re.search(r'"accuracy": ([\d.]+)', printed)
    assert accuracy is not None, printed
    assert float(accuracy[1]) >= 0.97
    assert "epoch,train_loss,validation_loss,accuracy" in printed
    prediction = json.loads(printed[printed.rindex("\n{") :])["predictions"][0]
    assert prediction["value"] == "Gentoo"
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)
    with np.load(io.BytesIO((tmp_path / "penguins.npz").read_bytes()), allow_pickle=False) as weights:
        assert weights["layers.0.weight"].shape == (16, 10)


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
