"""The fenced blocks of the pages, and who runs each. No other test takes a page apart.

A block without a word after its language is run with the others of its page, in order. One `by tests/some/test_file.py` is run
there; one `by .ci/run` consists of commands that `.ci/run` has. JSON is read by the contract. What programs print is `text`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.service import ROOT, Service

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
PRINTED = "text"


class Block(NamedTuple):
    """One of a page.

    Args:
        by: The file that runs it, from the root; empty: it is run with its page.
    """

    page: str
    language: str
    by: str
    code: str


def blocks(page: Path) -> list[Block]:
    """Give all of a page."""
    found: list[Block] = []
    fence = ""
    for line in page.read_text().splitlines(keepends=True):
        if fence:
            if line.strip().startswith(fence) and set(line.strip()) == {fence[0]}:
                fence = ""
            else:
                found[-1] = found[-1]._replace(code=found[-1].code + line)
        elif begun := re.match(r"\s*(```+|~~~+)\s*(\S*)(?: by (\S+)|)\s*$", line):
            fence = begun[1]
            found.append(Block(page.name, begun[2], begun[3] or "", ""))
        else:
            assert not line.lstrip().startswith(("```", "~~~")), f"{page.name}: what is {line}"
    assert not fence, f"{page.name}: the last block has no end"
    return found


def run_by(page: str, file: str) -> list[str]:
    """Give the code of those blocks of a page that name this file (`__file__`) as the one that runs them."""
    own = str(Path(file).relative_to(ROOT))
    (found,) = [one for one in PAGES if one.name == page]
    return [block.code for block in blocks(found) if block.by == own]


def of_the_page(page: Path) -> list[Block]:
    """Give the blocks that are run with their page."""
    return [block for block in blocks(page) if block.language in {"bash", "python"} and not block.by]


def run_page(page: Path, service: Service, place: Path) -> str:
    """Run a page as its reader would, in a folder with the examples, and give what was printed.

    All of it is one shell. Blocks of Python are one program where the page has nothing else, else a program each.
    """
    own = of_the_page(page)
    if {block.language for block in own} == {"python"}:
        own = [Block(page.name, "python", "", "\n".join(block.code for block in own))]
    script = ["set -a -o pipefail"]
    for block in own:
        code = block.code
        script.append(code if block.language == "bash" else f"{sys.executable} - <<'THE_END'\n{code}\nTHE_END")
    url = f"http://127.0.0.1:{service.port}"
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(script).replace("http://127.0.0.1:8000", url)],
        cwd=place,
        env=_environment(place, url),
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def _main(page: str, file: str) -> None:
    """Print the blocks of a page that a script runs: `python -m tests.blocks operations.md tests/containers.sh`."""
    sys.stdout.write("\n".join(run_by(page, str(ROOT / file))))


def _environment(place: Path, url: str) -> dict[str, str]:
    """What a reader has: the examples, the command `descent`, and a service."""
    (place / "examples").symlink_to(ROOT / "examples")
    command = place / ".bin" / "descent"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m descent "$@"\n')
    command.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DESCENT_")}
    said = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "DESCENT_URL": url}
    return {**kept, **said, "PATH": f"{command.parent}:{os.environ['PATH']}"}


if __name__ == "__main__":
    _main(*sys.argv[1:])
