"""Updates the page of the documentation with the figures: only the text between two marks is replaced."""

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
    """Write the table, the curve, and the percentage of the machine that other programs used, to the page."""
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    curve = f"Percent of a core for 1,000 idle VMs, ours and of Redis:\n\n```text\n{chart}```\n"
    when = f"{machine()} Other programs took {others:.0f} % of the machine meanwhile."
    page.write_text(f"{head}{BEGIN}\n{when}\n\n{table}\n{curve}\n{END}{tail}", encoding="utf-8")


def machine() -> str:
    """Return the date, the machine and the versions of the programs."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    model = found[1] if found else platform.machine()
    parts = f"Python {platform.python_version()}, Twisted {version('twisted')}, klein {version('klein')}"
    redis = f"Redis {dotted(next(installed()).version)}"
    return f"{time.strftime('%Y-%m-%d')}, {len(ALL)} cores ({model}), {parts}, {redis}, {tools()}."


def tools() -> str:
    """Return the version of wrk."""
    output = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return " ".join((output.stdout + output.stderr).split()[:2])
