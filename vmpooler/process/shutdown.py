"""Stops a service step by step: after a step that fails or times out, the next one still runs."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, gatherResults, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

DRAIN = 10.0
"""Seconds that work in flight may take to end after SIGTERM."""

LOG_AFTER = 0.3
"""Seconds after which the log names what the shutdown waits for."""

MARGIN = 0.5
"""Seconds that the cancellation of unfinished work may take."""

End = Callable[[], Any]
"""Ends something: at once, or when the Deferred or coroutine that it returns is done."""


class Ending:
    """Ends the parts of a service. Failures and timeouts are logged."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def step(self, what: str, end: End) -> Deferred[Any]:
        """End one part, with a timeout of DRAIN + MARGIN seconds."""
        return maybeDeferred(end).addTimeout(DRAIN + MARGIN, self._reactor).addErrback(self._not_ended, what)

    async def all(self, parts: Mapping[str, tuple[str, End]]) -> None:
        """End several parts concurrently.

        ``parts`` maps what the shutdown waits for, as text, to the name of the step and its ``End``. What takes longer
        than LOG_AFTER is logged.
        """
        ends = {awaited: self.step(*part) for awaited, part in parts.items()}
        timer = self._reactor.callLater(LOG_AFTER, self._log_waits, ends)
        await gatherResults(ends.values())
        if timer.active():
            timer.cancel()

    def _log_waits(self, ends: Mapping[str, Deferred[Any]]) -> None:
        waits = " and ".join(awaited for awaited, end in ends.items() if not end.called)
        self.log.info("[*] stopping: waits up to {most:g} s for {what}", most=DRAIN, what=waits)

    def _not_ended(self, failure: Failure, what: str) -> None:
        if failure.check(TimeoutError):
            self.log.warn("[!] stopping: {what} took too long", what=what)
        else:
            self.log.failure("[!] stopping: {what} failed", failure, what=what)
