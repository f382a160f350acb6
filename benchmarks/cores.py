"""Assigns CPU cores: the measured process has the first core alone, everything else shares the other cores.

On a machine with one core, all share it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ALL = sorted(os.sched_getaffinity(0))

TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def aside() -> Iterator[None]:
    """Keep this process, and the processes that it starts meanwhile, off the first core, which is the measured one."""
    os.sched_setaffinity(0, ALL[1:] or ALL)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ALL)


def pin(pid: int) -> None:
    """Bind a process, with all its threads, to the first core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), ALL[:1])


def release(pid: int) -> None:
    """Let a process run on all cores."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), ALL)


class Others:
    """Measures how much of this machine other programs use, from the creation of this object on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _others()

    @property
    def share(self) -> float:
        """Percent of the CPU time of all cores so far."""
        return 100 * (_others() - self._before) / (time.monotonic() - self._began) / len(ALL)


def _others() -> float:
    """Return the seconds of CPU time that were used or stolen, without those of this process and its ended children."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split()[1:9])
    own = os.times()
    ours = own.user + own.system + own.children_user + own.children_system
    return (user + nice + system + sum(interrupts)) / TICKS - ours


class Usage:
    """The resources that a process uses."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    @property
    def cpu(self) -> float:
        """Seconds of CPU time so far, in steps of a hundredth."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def memory(self) -> int:
        """Resident memory now, in KiB."""
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    @property
    def files(self) -> int:
        """The number of open file descriptors."""
        return len(os.listdir(self._folder / "fd"))
