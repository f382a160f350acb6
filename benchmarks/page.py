"""The page of the documentation that has the figures: a run replaces what is between two marks, the rest is by hand."""

import platform
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.cores import ALL
from vmpooler.embedded.program import dotted, installed

PAGE = Path(__file__).parents[1] / "docs/performance.md"

BEGIN, END = "<!-- measured -->\n", "<!-- until here -->\n"


def write(table: str, chart: str, others: float, page: Path = PAGE) -> None:
    """Have the page show this table and this curve; other programs took that percentage of the machine meanwhile."""
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    curve = f"Percent of a core for 1,000 VMs that nobody touches, ours and of Redis:\n\n```text\n{chart}```\n"
    when = f"{machine()} Other programs took {others:.0f} % of the machine meanwhile."
    page.write_text(f"{head}{BEGIN}\n{when}\n\n{table}\n{curve}\n{END}{tail}", encoding="utf-8")


def machine() -> str:
    """When and on what it was measured."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    model = found[1] if found else platform.machine()
    parts = f"Python {platform.python_version()}, Twisted {version('twisted')}, klein {version('klein')}"
    redis = f"Redis {dotted(next(installed()).version)}"
    return f"{time.strftime('%Y-%m-%d')}, {len(ALL)} cores ({model}), {parts}, {redis}, {tools()}."


def tools() -> str:
    """The version of wrk."""
    told = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return " ".join((told.stdout + told.stderr).split()[:2])
