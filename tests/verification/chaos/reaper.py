"""Removes what a run leaves behind, however the run ended.

``python -m tests.verification.chaos.reaper FOLDER`` waits until its standard input ends, which happens when the run
ends. Then it kills every process that works in the folder, stopped ones too, and removes the folder.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.service.process import processes
from tests.verification.chaos.proxy import ROOT


def reap(folder: Path) -> None:
    """Kill every process in the folder, and remove the folder."""
    while found := processes(folder):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


class Reaper:
    """The process that cleans up. ``end`` returns when nothing is left."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.verification.chaos.reaper", str(folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True)

    def end(self) -> None:
        """Start the cleanup, and wait until it is done."""
        self._process.communicate()


if __name__ == "__main__":
    sys.stdin.read()
    reap(Path(sys.argv[1]))
