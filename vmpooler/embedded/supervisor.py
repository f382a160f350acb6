"""Runs a program as a child process, and restarts it when it ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

PAUSES = (0.1, 0.5, 2.0, 10.0)
"""Seconds before a program that ended by itself is restarted; longer for each end in a row."""

STEADY = 60.0
"""Seconds of running after which an end counts as the first in a row again."""

LAST_WORDS = 300
"""Characters of a program's output that are kept for the log message about its end."""

SPEECH = (1, 2)
"""The descriptors of standard output and error."""

log = Logger()


class Child(ProcessProtocol):
    """One run of a program. ``ended`` fires with the reason of its end. ``on_report`` is called when it writes to a
    descriptor other than standard output and error."""

    def __init__(self, on_report: Callable[[], None] = lambda: None) -> None:
        self.ended: Deferred[str] = Deferred()
        self._on_report = on_report
        self._output = b""

    @property
    def last_words(self) -> str:
        """The end of its output as one line, without Redis's times, process ids and warnings of machine settings."""
        lines = (line for line in self._output.decode(errors="replace").splitlines() if "# WARNING" not in line)
        return " ".join(re.sub(r"^\d+:\S+ .*?:\d\d\.\d+ \S ", "", line) for line in lines)[-LAST_WORDS:].strip()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Keep the end of its output, or call ``on_report`` for another descriptor."""
        if childFD in SPEECH:
            self._output = (self._output + data)[-4 * LAST_WORDS :]
        else:
            self._on_report()

    def processEnded(self, reason: Failure) -> None:
        """Fire ``ended``."""
        self.ended.callback(reason.getErrorMessage())

    def signal(self, name: str) -> None:
        """Send the process a signal, unless it has ended or was never started."""
        if self.transport is not None:
            with suppress(ProcessExitedAlready):
                self.transport.signalProcess(name)


class Kept:
    """A program that is restarted when it ends by itself, after a longer wait for each end in a row.

    ``name`` is its name in the log; ``spawn`` starts a run of it, and may raise OSError. It is not restarted when it
    ends before ``steady`` was set: it never worked.
    """

    def __init__(self, name: str, spawn: Callable[[], Child], reactor: Any, *, steady: bool = False) -> None:
        self.child = Child()
        self.ended: Deferred[None] = succeed(None)
        self.steady = steady
        self._name = name
        self._spawn = spawn
        self._reactor = reactor
        self._pause: Deferred[None] = succeed(None)
        self._stopping = False

    def start(self) -> None:
        """Start the program, and restart it until ``stop``. ``ended`` fires when it no longer runs."""
        self.ended = Deferred.fromCoroutine(self._mind())

    async def stop(self, seconds: float) -> None:
        """Send SIGTERM, after ``seconds`` SIGKILL; return when the program has ended."""
        self._stopping = True
        self._pause.cancel()
        killer = self._reactor.callLater(seconds, self.child.signal, "KILL")
        self.child.signal("TERM")
        await self.ended
        if killer.active():
            killer.cancel()

    async def _mind(self) -> None:
        ends = 0
        while not self._stopping:
            began = self._reactor.seconds()
            how = await self._run()
            if self._stopping or not self.steady:
                return
            ends = 1 if self._reactor.seconds() - began > STEADY else ends + 1
            pause = PAUSES[min(ends, len(PAUSES)) - 1]
            facts = {"name": self._name, "how": how, "pause": pause, "words": self.child.last_words}
            log.error("{name} ended ({how}) and is started again in {pause} s: {words}", **facts)
            self._pause = deferLater(self._reactor, pause)
            with suppress(CancelledError):
                await self._pause

    async def _run(self) -> str:
        """Run the program once; return the reason of its end."""
        try:
            self.child = self._spawn()
        except OSError as error:
            return str(error)
        return await self.child.ended
