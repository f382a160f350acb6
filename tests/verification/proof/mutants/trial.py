"""Runs chosen tests on a copy of the source."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import attrs

from tests.verification.proof.mutants.catalogue import ROOT, Mutant, Stale

COPIED = ("vmpooler", "twisted", "tests", "pyproject.toml", "vmpooler.yaml.example")

PATIENCE = 60.0
"""Seconds that the tests of one mutant may take."""

PATIENCE_UNCHANGED = 300.0
"""Seconds that all chosen tests together may take on the unchanged source."""


@attrs.frozen
class MutantOutcome:
    """The result of one mutant. ``how``: caught, survived, left out, stale, or went wrong; ``by``: the test that caught
    it; ``message``: the message of that test, or what went wrong."""

    mutant: Mutant
    how: str
    by: str = ""
    message: str = ""
    seconds: float = 0


class Copy:
    """A copy of the source, to be changed. Use it as a context manager."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="vmpooler-mutants-"))
        self.root = self._home / "source"

    def __enter__(self) -> Self:
        ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
        self.root.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, ignore=ignored)
            else:
                shutil.copy(source, self.root / name)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._home)

    def tried(self, mutant: Mutant) -> MutantOutcome:
        """Run the tests of a mutant on the copy. Returns the outcome."""
        began = time.monotonic()
        try:
            wrong = mutant.applied(self.root)
        except Stale as stale:
            return MutantOutcome(mutant, "stale", message=str(stale))
        with _spoilt(self.root / mutant.file, wrong):
            return _outcome(mutant, self.run(mutant.tests, PATIENCE), time.monotonic() - began)

    def run(self, tests: Iterable[str], seconds: float, *, compile: bool = False) -> Mapping[str, Any]:
        """Run these tests and return the report of the witness. Without a report, only an accident is returned.

        With ``compile``, compiled files are kept for the next run. This must not be used with a changed file.
        """
        report = self._home / "report.json"
        report.unlink(missing_ok=True)
        options = [
            "-p",
            "tests.verification.proof.mutants.witness",
            "-p",
            "no:cacheprovider",
            "-q",
            "--tb=line",
            "-x",
            "-p",
            "no:xdist",
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.root),
            "PYTHONDONTWRITEBYTECODE": "" if compile else "1",
            "MUTANTS_REPORT": str(report),
        }
        output, ended = _run([sys.executable, "-m", "pytest", *options, *tests], self.root, environment, seconds)
        if report.exists():
            found: Mapping[str, Any] = json.loads(report.read_text(encoding="utf-8"))
            if any(found.values()):
                return found
        why = "\n".join(output.splitlines()[-15:]) if ended else f"no end within {seconds:g} s"
        return {"passed": [], "skipped": [], "noticed": [], "accidents": [["the run", why]]}


@contextmanager
def _spoilt(file: Path, text: str) -> Iterator[None]:
    """Replace the text of a file during the block. Python decides by a file's modification time whether its compiled
    file is still valid, so the replaced file gets another time."""
    right, when = file.read_bytes(), file.stat()
    file.write_text(text, encoding="utf-8")
    os.utime(file, (when.st_atime, when.st_mtime - 1000))
    try:
        yield
    finally:
        file.write_bytes(right)
        os.utime(file, (when.st_atime, when.st_mtime))


def _run(command: list[str], where: Path, environment: Mapping[str, str], seconds: float) -> tuple[str, bool]:
    """Run a command. Returns its output, and whether it ended by itself. On a timeout, all its processes are killed."""
    process = subprocess.Popen(
        command,
        cwd=where,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
        return output, True
    except subprocess.TimeoutExpired:
        return "", False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _outcome(mutant: Mutant, found: Mapping[str, Any], seconds: float) -> MutantOutcome:
    if found["noticed"]:
        by, message = found["noticed"][0]
        return MutantOutcome(mutant, "caught", by, message, seconds)
    if found["accidents"]:
        by, message = found["accidents"][0]
        return MutantOutcome(mutant, "went wrong", by, message, seconds)
    return MutantOutcome(mutant, "survived" if found["passed"] else "left out", seconds=seconds)
