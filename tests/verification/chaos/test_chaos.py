"""Short chaos runs, and interrupted runs that leave nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.process import processes, until
from tests.verification.chaos.proxy import ROOT
from tests.verification.chaos.worlds import TESTED, WORLDS
from vmpooler.embedded.program import guarded

pytestmark = pytest.mark.needs("vcsim")

SECONDS = 25
LONGEST = 400
"""Seconds of faults; and seconds after which a run is given up. A run should take a quarter of that or less."""


def started(*options: str) -> "subprocess.Popen[str]":
    command = guarded([sys.executable, "-m", "tests.verification.chaos", *options])
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("world", TESTED)
def test_the_invariants_hold_in_every_world(tmp_path: Path, world: str) -> None:
    chaos = started(f"--seconds={SECONDS}", f"--json={tmp_path}/report.json", "--seed=6", f"--world={world}")
    try:
        output, _ = chaos.communicate(timeout=LONGEST)
    finally:
        chaos.kill()
    print(output)
    assert chaos.returncode == 0, output
    report = json.loads((tmp_path / "report.json").read_text())
    assert {each["invariant"]: each["violations"] for each in report["invariants"] if each["violations"]} == {}
    assert all(each["checks"] for each in report["invariants"]), output
    assert report["errors logged"] == [], output
    assert report["faults"].keys() == {str(fault) for fault in WORLDS[world].faults}, output
    assert report["operations"] > 200, output
    assert report["VMs given"] > 20, output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_interrupted_leaves_no_process_behind(number: signal.Signals) -> None:
    chaos = started("--seconds=1000")
    try:
        assert chaos.stdout is not None
        folder = next(found[1] for line in chaos.stdout if (found := re.search(r"in (/\S+)", line)))
        there = processes(Path(folder))
        assert len(there) > 5
        os.kill(max(there), signal.SIGSTOP)
        chaos.send_signal(number)
        until(lambda: not Path(folder).exists(), "the folder is removed", 40)
        assert not processes(Path(folder))
    finally:
        chaos.kill()
        chaos.communicate()
