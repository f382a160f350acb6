"""The programs and libraries ("parts") that some tests need, and the Debian packages that provide them.

A test declares ``@pytest.mark.needs("curl")``. If the part is missing, the test is skipped, and a line at the end of
the run reports it; with VMPOOLER_ALL_TESTS=1 in the environment the test fails instead. ``python -m tests.parts``
prints the packages of the missing parts.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import pytest

ALL_TESTS = "VMPOOLER_ALL_TESTS"

REDIS_7 = Path("/usr/bin/redis-check-rdb")
"""Debian's redis-server under another name. Its package redis-tools starts no service, and puts no redis-server on
PATH."""


GOVMOMI = Path("/usr/share/gocode/src/github.com/vmware/govmomi")
"""The library from which the simulated vCenter of tests/vcsim is built."""


@attrs.frozen
class MachinePart:
    """A program or library on a machine, and the Debian packages that provide it, separated by spaces."""

    is_there: Callable[[], bool]
    package: str


def has_redis_7() -> bool:
    """Return whether redis-tools is installed, version 7 or newer."""
    try:
        output = subprocess.run(["/usr/bin/redis-cli", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    found = re.search(r"(\d+)\.\d+\.\d+", output.stdout)
    return REDIS_7.exists() and found is not None and int(found[1]) >= 7


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
"""The library that gives a process a clock that differs from its host's; None if it is not installed."""

CHROMIUM = (Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver"))

PARTS = {
    "chromium": MachinePart(lambda: all(path.exists() for path in CHROMIUM), "chromium chromium-driver"),
    "curl": MachinePart(lambda: shutil.which("curl") is not None, "curl"),
    "faketime": MachinePart(lambda: FAKETIME is not None, "libfaketime"),
    "redis-7": MachinePart(has_redis_7, "redis-tools"),
    "slapd": MachinePart(lambda: Path("/usr/sbin/slapd").exists(), "slapd"),
    "vcsim": MachinePart(
        lambda: shutil.which("go") is not None and GOVMOMI.exists(), "golang-go golang-github-vmware-govmomi-dev"
    ),
    "wrk": MachinePart(lambda: shutil.which("wrk") is not None, "wrk"),
}


def missing(names: Iterable[str]) -> list[str]:
    """Return the names of the parts that are not installed."""
    return [name for name in names if not PARTS[name].is_there()]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a missing part, or fail it if VMPOOLER_ALL_TESTS is set."""
    lacking = missing(name for mark in item.iter_markers("needs") for name in mark.args)
    if not lacking:
        return
    why = f"needs {', '.join(lacking)}"
    if os.environ.get(ALL_TESTS):
        pytest.fail(f"{why}, and {ALL_TESTS} is set", pytrace=False)
    item.user_properties.append(("left out", ", ".join(lacking)))
    pytest.skip(why)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write one line about the tests that were skipped, and how to run them."""
    skipped = terminalreporter.getreports("skipped")
    lacking = [dict(report.user_properties).get("left out") for report in skipped]
    parts = sorted({part for part in lacking if isinstance(part, str)})
    if parts:
        count = sum(part is not None for part in lacking)
        terminalreporter.write_line(f"Left out: {count} that need {', '.join(parts)}. To run them: make test-deps")


if __name__ == "__main__":
    print(*sorted({PARTS[name].package for name in missing(PARTS)}))
