"""How a service ends: step by step, and whatever becomes of one, the next is done."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, gatherResults, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

DRAIN = 10.0
"""Seconds that what is in flight may take to end after SIGTERM."""

MOMENT = 0.3
"""Seconds after which it is told what the end waits for."""

MARGIN = 0.5
"""Seconds that it may take to give up what did not end in time."""

End = Callable[[], Any]
"""Ends something: now, or when the Deferred or coroutine that it returns is done."""


class Ending:
    """Ends the parts of a service. What fails or takes too long is told."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def step(self, what: str, end: End) -> Deferred[Any]:
        """One part."""
        return maybeDeferred(end).addTimeout(DRAIN + MARGIN, self._reactor).addErrback(self._not_ended, what)

    async def all(self, parts: Mapping[str, tuple[str, End]]) -> None:
        """Several at the same time: by what people wait for, the step and how it is ended. What takes a moment is
        told."""
        ends = {awaited: self.step(*part) for awaited, part in parts.items()}
        telling = self._reactor.callLater(MOMENT, self._tell_waits, ends)
        await gatherResults(ends.values())
        if telling.active():
            telling.cancel()

    def _tell_waits(self, ends: Mapping[str, Deferred[Any]]) -> None:
        waits = " and ".join(awaited for awaited, end in ends.items() if not end.called)
        self.log.info("[*] stopping: waits up to {most:g} s for {what}", most=DRAIN, what=waits)

    def _not_ended(self, failure: Failure, what: str) -> None:
        if failure.check(TimeoutError):
            self.log.warn("[!] stopping: {what} took too long", what=what)
        else:
            self.log.failure("[!] stopping: {what} failed", failure, what=what)
