"""What the pages tell to type works as it is written."""

import json
import re
from pathlib import Path

import pytest

from app.contract.jobs import JobCreate
from app.contract.problems import Problem
from tests.blocks import PAGES, PRINTED, blocks, of_the_page, run_page
from tests.service import ROOT, Service

DOCS = ROOT / "docs"
ELSEWHERE = {"README.md": "flow/test_readme.py", "cli.md": "client/test_docs.py", "client.md": "client/test_docs.py"}
"""Pages that another test runs, and looks at what they print."""
RUN_HERE = [page for page in PAGES if page.name not in ELSEWHERE and of_the_page(page)]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", RUN_HERE, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_in_order(service: Service, tmp_path: Path, page: Path) -> None:
    run_page(page, service, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run(page: Path) -> None:
    for block in blocks(page):
        if block.language in {PRINTED, "json"}:
            assert not block.by, block
        elif block.by == ".ci/run":
            _is_in_ci(block.code)
        elif block.by.endswith(".sh"):
            assert f"tests.blocks {page.name} {block.by}" in (ROOT / block.by).read_text(), block
            assert block.by in (ROOT / ".ci" / "run").read_text()
        elif block.by:
            assert f'run_by("{page.name}", __file__)' in (ROOT / block.by).read_text(), block
        else:
            assert block.language in {"bash", "python"}, f"nobody runs {block}"
            if page not in RUN_HERE:
                assert "run_page(" in (ROOT / "tests" / ELSEWHERE[page.name]).read_text()


def _is_in_ci(code: str) -> None:
    """Every line of it is a command that `.ci/run` runs."""
    ci = (ROOT / ".ci" / "run").read_text()
    for line in code.splitlines():
        command = line.partition("#")[0].strip()
        assert re.search(rf"\b{re.escape(command)}( |$)", ci, re.MULTILINE), f".ci/run does not run: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_json_is_what_the_contract_says(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            said = json.loads(block.code)
            kind = Problem if "status" in said else JobCreate
            assert kind.model_validate(said).model_dump(exclude_unset=True).keys() == said.keys()


def test_the_blocks_are_found_however_they_are_fenced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\na\n```\n- x\n  ~~~python by tests/x.py\n  b\n  ~~~\n````\n```\n````\n")
    found = [(block.language, block.by, block.code) for block in blocks(page)]
    assert found == [("bash", "", "a\n"), ("python", "tests/x.py", "  b\n"), ("", "", "```\n")]


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
