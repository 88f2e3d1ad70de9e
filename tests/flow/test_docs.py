"""What the pages tell to type works as it is written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.service import ROOT, Service

DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.md")])
RUN = {"bash", "python"}
SHOWN = {"json", "text"}
WITH_THE_CLIENT = {"cli.md", "client.md"}
"""Pages that `tests/client/test_docs.py` runs."""


class Block(NamedTuple):
    language: str
    said: str
    code: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [Block(*(info.partition(" ")[::2]), code) for info, code in found]


RUNNABLE = [
    page
    for page in PAGES
    if page.name not in WITH_THE_CLIENT and any(block.language in RUN and not block.said for block in blocks(page))
]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_in_order(service: Service, tmp_path: Path, page: Path) -> None:
    script = ["set -a"]
    for block in blocks(page):
        if block.language == "bash" and not block.said:
            script.append(block.code)
        elif block.language == "python" and not block.said:
            script.append(f"{sys.executable} - <<'THE_END'\n{block.code}THE_END")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    text = "\n".join(script).replace("http://127.0.0.1:8000", str(service.http.base_url).rstrip("/"))
    done = subprocess.run(
        ["bash", "-eu", "-c", text],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.code)
        elif block.language in RUN:
            assert not block.said or block.said.startswith("no-run "), block
        elif block.language != "text":
            assert block.language == "sh", block
            assert block.said.startswith("no-run "), block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_the_equations_lead_to_the_lines_of_their_functions() -> None:
    found = re.findall(r"\[`(\w+)`\]\(\.\./(engine/\w+\.py)#L(\d+)\)", (DOCS / "engine.md").read_text())
    assert {name for name, _, _ in found} >= {
        *("feed_forward", "output_error", "hidden_error", "weight_gradient", "bias_gradient", "descend"),
    }
    for name, file, line in found:
        assert f"def {name}(" in (ROOT / file).read_text().splitlines()[int(line) - 1]
