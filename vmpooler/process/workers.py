"""``--workers N``: processes that answer the API on one port; this process starts them and keeps them running."""

import os
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import DeferredList, ensureDeferred

from vmpooler.config import endpoint
from vmpooler.domain.errors import StartError
from vmpooler.embedded.program import guarded
from vmpooler.embedded.supervisor import Child, Kept
from vmpooler.process.options import UP, Options

TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"

SHARED = re.compile(r"(tcp6?|ssl):\d+")
"""Matches the endpoints that processes can share, up to the port number."""


class Workers:
    """The worker processes that ``options`` ask for.

    They end with this process. A worker that ends by itself is started again. ``log_file``: where they write their
    logs, ``-`` for where this process writes its log. ``up`` is called when all of them answer for the first time.
    Raises StartError for an endpoint, ``listen``, that they cannot share.
    """

    def __init__(self, options: Options, listen: str, log_file: str, reactor: Any, up: Callable[[], None]) -> None:
        self._options = options
        self._log_file = log_file
        self._reactor = reactor
        self._listen = endpoint(listen)
        if SHARED.match(self._listen) is None:
            raise StartError(f"--workers: processes cannot share {listen}; a TCP port they can: see --listen")
        self._directory = os.getcwd()  # twistd changes it when it becomes a daemon
        self._kept = [
            Kept(f"Worker {number}", partial(self._spawn, number), reactor, steady=True)
            for number in range(1, options.workers + 1)
        ]
        self._command: list[str] = []
        self._up = up
        self._awaited = set(range(1, options.workers + 1))

    def start(self, port: int, redis_socket: str) -> None:
        """Start all workers on this port, with the Redis at this socket if it is not empty."""
        said = [f"--config={self._options['config']}"] if self._options["config"] else []
        said += ["--demo"] if self._options["demo"] else []
        said += [f"--redis-socket={redis_socket}"] if redis_socket else []
        listen = SHARED.sub(rf"\g<1>:{port}", self._listen, count=1)
        twistd = ("-n", "--pidfile=", f"--logfile={self._log_file}", "vmpooler", "--role=api", "--share-port")
        self._command = [sys.executable, "-c", TWISTD, *twistd, f"--listen={listen}", *said]
        for kept in self._kept:
            kept.start()

    async def stop(self, seconds: float) -> None:
        """Stop all workers after they have answered their clients; kill them after ``seconds``."""
        await DeferredList([ensureDeferred(kept.stop(seconds)) for kept in self._kept])

    def _spawn(self, number: int) -> Child:
        """Start one run of a worker. Raises OSError."""
        child = Child(partial(self._answers, number))
        command = guarded([*self._command, f"--worker={number}"])
        streams = {0: "w", 1: 1, 2: 2, UP: "r"}
        self._reactor.spawnProcess(child, command[0], command, env=None, path=self._directory, childFDs=streams)
        return child

    def _answers(self, number: int) -> None:
        """Handle the report of a worker that it answers."""
        if self._awaited:
            self._awaited.discard(number)
            if not self._awaited:
                self._up()
