"""A redis-server as a child process that lives as long as the service."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.domain.errors import StartError, StoreAway
from vmpooler.embedded.directory import Directory
from vmpooler.embedded.program import Program, guarded, installed
from vmpooler.settings import Redis
from vmpooler.store.connection import Connection

OPTIONS = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no", "--maxmemory-policy", "noeviction"),
    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
)
"""Every change is in the append-only file before it is answered; a crash of the machine may lose the last second."""

SOCKET_PATH_MAX = 107
"""Bytes that the path of a unix socket may have."""

PAUSES = (0.1, 0.5, 2.0, 10.0)
"""Seconds before a Redis that ended by itself is started again, longer each time in a row."""

STEADY = 60.0
"""Seconds of life after which an end is the first in a row again."""

LAST_WORDS = 300
"""Characters of Redis's output that are kept for the message about its end."""

log = Logger()


class EmbeddedRedis:
    """A Redis that lives as long as this process, with its data in ``directory``.

    Call ``prepare`` before the process becomes a daemon, then ``start``, and at last ``stop``, in any case.
    A Redis that ends by itself is started again, on its data. ``programs`` tells which redis-servers there are;
    ``start_time``: seconds that Redis may take to load its data; ``stop_time``: to end when it is asked to, before
    it is killed.
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
        self._socket = self._directory.path / "redis.sock"
        self._child = _Child()
        self._minding: Deferred[None] = succeed(None)
        self._pause: Deferred[None] = succeed(None)
        self._answered = False
        self._stopping = False

    @property
    def settings(self) -> Redis:
        """How to reach it, once prepared."""
        return Redis(socket=str(self._socket))

    def prepare(self) -> None:
        """Take the directory and choose the program; nothing runs yet. Raises StartError."""
        self._directory.take()
        try:
            self._program = self._directory.choose(self._programs())
        except StartError:
            self._directory.release()
            raise
        if len(os.fsencode(self._socket)) > SOCKET_PATH_MAX:
            self._socket = Path(tempfile.mkdtemp(prefix="vmpooler-"), "redis.sock")

    async def start(self) -> None:
        """Start Redis and return when it answers. Raises StartError with its last words when it does not."""
        if self._program is None:
            raise StartError("the embedded Redis was not prepared")
        self._directory.begin(self._program.version)
        self._minding = Deferred.fromCoroutine(self._mind(self._program))
        try:
            await Deferred.fromCoroutine(self._answers()).addTimeout(self._start_time, self._reactor)
        except TimeoutError:
            await self.stop()
            raise StartError(
                f"the embedded Redis in {self._directory.path} does not start: {self._child.last_words}"
            ) from None
        self._answered = True

    async def stop(self) -> None:
        """End Redis, its data written, and let go of the directory."""
        self._stopping = True
        self._pause.cancel()
        killer = self._reactor.callLater(self._stop_time, self._child.signal, "KILL")
        self._child.signal("TERM")
        await self._minding
        if killer.active():
            killer.cancel()
        self._directory.release()
        if self._socket.parent != self._directory.path:
            shutil.rmtree(self._socket.parent, ignore_errors=True)

    async def _mind(self, program: Program) -> None:
        """Run Redis until it is to stop; once it has answered, again and again."""
        ends = 0
        while not self._stopping:
            began = self._reactor.seconds()
            how = await self._run(program)
            if self._stopping or not self._answered:
                return
            ends = 1 if self._reactor.seconds() - began > STEADY else ends + 1
            pause = PAUSES[min(ends, len(PAUSES)) - 1]
            told = {"how": how, "pause": pause, "words": self._child.last_words}
            log.error("The embedded Redis ended ({how}) and is started again in {pause} s: {words}", **told)
            self._pause = deferLater(self._reactor, pause)
            with suppress(CancelledError):
                await self._pause

    async def _run(self, program: Program) -> str:
        """Run Redis once; returns how it ended."""
        places = ("--unixsocket", self._socket, "--dir", self._directory.path)
        command = guarded([program.path, *OPTIONS, *places])
        self._child = _Child()
        fds = {0: "w", 1: "r", 2: "r", 3: self._directory.lock}
        try:
            self._socket.unlink(missing_ok=True)
            self._reactor.spawnProcess(self._child, command[0], command, env=None, childFDs=fds)
        except OSError as error:
            return str(error)
        return await self._child.ended

    async def _answers(self) -> None:
        """Return when Redis answers; raises TimeoutError when it has ended before."""
        redis = Connection(self.settings, self._reactor, size=1, quiet=True)
        while not self._socket.exists():
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
        if self._minding.called:
            raise TimeoutError
        await deferLater(self._reactor, 0.005)


class _Child(ProcessProtocol):
    """One run of the program. ``ended`` fires with how it ended."""

    def __init__(self) -> None:
        self.ended: Deferred[str] = Deferred()
        self._output = b""

    @property
    def last_words(self) -> str:
        """The end of its output as one line, without times, process ids, and warnings of the machine's settings."""
        lines = (line for line in self._output.decode(errors="replace").splitlines() if "# WARNING" not in line)
        return " ".join(re.sub(r"^\d+:\S+ .*?:\d\d\.\d+ \S ", "", line) for line in lines)[-LAST_WORDS:].strip()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Keep the end of what it says."""
        self._output = (self._output + data)[-4 * LAST_WORDS :]

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self.ended.callback(reason.getErrorMessage())

    def signal(self, name: str) -> None:
        """Send it a signal, unless it is gone or never was."""
        if self.transport is not None:
            with suppress(ProcessExitedAlready):
                self.transport.signalProcess(name)
