"""A redis-server as a child process that runs as long as the service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import deferLater

from vmpooler.domain.errors import StartError, StoreAway
from vmpooler.embedded.directory import Directory
from vmpooler.embedded.program import Program, guarded, installed
from vmpooler.embedded.supervisor import Child, Kept
from vmpooler.settings import Redis
from vmpooler.store.redis.client import Connection

OPTIONS = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no", "--maxmemory-policy", "noeviction"),
    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
)
"""Redis writes every change to the append-only file before it answers, unless a sync of that file is in progress; a
change that could not be written is not confirmed to a client (Note [A disk that is full]). A crash of the machine may
lose the last second."""


class EmbeddedRedis:
    """A Redis that runs as long as this process, with its data in ``directory``.

    Call ``prepare`` before the process becomes a daemon, then ``start``, and always ``stop`` at the end.
    A Redis that ends by itself is restarted with its data. ``programs`` returns the installed redis-servers.
    ``start_time``: seconds that Redis may take to load its data. ``stop_time``: seconds that Redis may take to end
    before it is killed.
    """

    def __init__(
        self,
        directory: Path,
        reactor: Any,
        *,
        programs: Callable[[], Iterable[Program]] = installed,
        start_time: float = 60.0,
        stop_time: float = 8.0,
    ) -> None:
        self._directory = Directory(directory)
        self._reactor = reactor
        self._programs = programs
        self._start_time = start_time
        self._stop_time = stop_time
        self._program: Program | None = None
        self._kept = Kept("The embedded Redis", self._spawn, reactor)

    @property
    def settings(self) -> Redis:
        """The connection settings, valid once this process or another one has called ``prepare``."""
        return Redis(socket=str(self._directory.socket))

    @property
    def _chosen(self) -> Program:
        if self._program is None:
            raise StartError("the embedded Redis was not prepared")
        return self._program

    def prepare(self) -> None:
        """Lock the directory and choose the program; no process is started. Raises StartError."""
        self._directory.take()
        try:
            self._program = self._directory.choose(self._programs())
            self._directory.place_socket()
        except StartError:
            self._directory.release()
            raise

    async def start(self) -> None:
        """Start Redis and return when it answers. Raises StartError with the end of its output when it does not."""
        self._directory.begin(self._chosen.version)
        self._kept.start()
        try:
            await Deferred.fromCoroutine(self._answers()).addTimeout(self._start_time, self._reactor)
        except TimeoutError:
            await self.stop()
            raise StartError(
                f"the embedded Redis in {self._directory.path} does not start: {self._kept.child.last_words}"
            ) from None
        self._kept.steady = True

    async def stop(self) -> None:
        """Stop Redis, which writes its data, and release the directory."""
        await self._kept.stop(self._stop_time)
        self._directory.remove_socket()
        self._directory.release()

    def _spawn(self) -> Child:
        """Start one run of Redis. Raises OSError."""
        child, socket = Child(), self._directory.socket
        places = ("--unixsocket", socket, "--dir", self._directory.path)
        command = guarded([self._chosen.path, *OPTIONS, *places])
        fds = {0: "w", 1: "r", 2: "r", 3: self._directory.lock}
        socket.unlink(missing_ok=True)
        self._reactor.spawnProcess(child, command[0], command, env=None, childFDs=fds)
        return child

    async def _answers(self) -> None:
        """Return when Redis answers. Raises TimeoutError when it ends before."""
        redis = Connection(self.settings, self._reactor, size=1, quiet=True)
        while not self._directory.socket.exists():
            await self._moment()
        redis.start()
        try:
            while True:
                with suppress(StoreAway):
                    await redis.call("PING")
                    return
                await self._moment()
        finally:
            await redis.close()

    async def _moment(self) -> None:
        if self._kept.ended.called:
            raise TimeoutError
        await deferLater(self._reactor, 0.005)
