"""A real Redis for tests, on a private socket.

It keeps nothing on disk unless options say so, and ends with the process of the tests.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from vmpooler.embedded.program import guarded, installed
from vmpooler.settings import Redis


class RedisServer:
    """A redis-server that tests start, kill, freeze and restart, in ``home`` or in a temporary folder.

    ``options`` are options of its command line. ``environ`` is added to its environment.
    """

    def __init__(self, *options: str, home: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._home = home or Path(tempfile.mkdtemp(prefix="vmpooler-test-"))
        self._options = options
        self._environ = environ or {}
        self.socket = str(self._home / "redis.sock")
        self.settings = Redis(socket=self.socket)
        self._program = next(iter(installed())).path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        """Start it, with ``more`` options for this run, and return when it answers."""
        options = ["--port", "0", "--unixsocket", self.socket, "--dir", str(self._home), "--save", ""]
        options += self._options
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                guarded([self._program, *options, *more]), stdout=log, stderr=log, env=os.environ | self._environ
            )
        until = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < until, (self._home / "log").read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the process with SIGSTOP: it no longer answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the process with SIGCONT."""
        self._signal(signal.SIGCONT)

    def limit(self, more: int | None = 0) -> None:
        """Limit its files to the size of the append-only file plus ``more`` bytes, as a quota does.

        None removes the limit.
        """
        assert self._process is not None
        size = resource.RLIM_INFINITY
        if more is not None:
            size = max(file.stat().st_size for file in self._home.rglob("*.aof")) + more
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def remove(self) -> None:
        """Kill it, and remove its folder."""
        self.kill()
        shutil.rmtree(self._home)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(self.socket)
                client.sendall(b"PING\r\n")
                return client.recv(7) == b"+PONG\r\n"
            except OSError:
                return False
