"""The machine and the programs that numbers were measured with."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def describe() -> str:
    """One line of Markdown."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}. "
        f"Load average when it began: {os.getloadavg()[0]:.1f}."
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
