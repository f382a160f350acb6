"""A pytest plugin for runs on a copy of the source. It fails unless the copy is imported, and records which tests
failed, how, and which ran.

``MUTANTS_REPORT`` in the environment is the file to which it writes its report, as JSON.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import vmpooler
from vmpooler.domain.errors import NoSuchVm, PoolEmpty, TokenNeeded
from vmpooler.providers.base import ProviderError

NOTICED = (AssertionError, pytest.fail.Exception, NoSuchVm, PoolEmpty, ProviderError, TokenNeeded)
"""How a test fails that has noticed a fault: by an assertion, or because it was refused what it should have got. Any
other exception is an accident, such as a script that Redis cannot run."""

_found: dict[str, Any] = {"passed": [], "skipped": [], "noticed": [], "accidents": []}


def pytest_configure(config: pytest.Config) -> None:
    """Fail unless the tested code is imported from the current directory, and not from another installation."""
    here = Path.cwd()
    if not Path(vmpooler.__file__).is_relative_to(here):
        raise pytest.UsageError(f"vmpooler is imported from {vmpooler.__file__}, not from {here}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record how a test ended."""
    report = yield
    if report.failed:
        error = call.excinfo.value if call.excinfo else None
        message = str(error).strip().partition("\n")[0]
        kind = "noticed" if call.when != "setup" and _has_noticed(error) else "accidents"
        _found[kind].append([item.nodeid, f"{type(error).__name__}: {message}"])
    elif report.skipped:
        _found["skipped"].append(item.nodeid)
    elif call.when == "call":
        _found["passed"].append(item.nodeid)
    return report


def _has_noticed(error: BaseException | None) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_has_noticed(each) for each in error.exceptions)
    return isinstance(error, NOTICED)


def pytest_sessionfinish() -> None:
    """Write the report."""
    Path(os.environ["MUTANTS_REPORT"]).write_text(json.dumps(_found), encoding="utf-8")
