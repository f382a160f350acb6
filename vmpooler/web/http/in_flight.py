"""Tracks work in progress, so that it can finish before the service stops."""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from vmpooler.deferreds import Signal


class RequestsInFlight:
    """Counts requests in progress, and work that outlives its request."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = Signal[bool]()

    def begin(self) -> None:
        """Count the start of a piece of work."""
        self._count += 1

    def end(self) -> None:
        """Count the end of a piece of work."""
        self._count -= 1
        if self._count == 0:
            self._idle.send(True)

    def idle(self, seconds: float, clock: IReactorTime) -> Deferred[bool]:
        """Return a Deferred that fires with True when no work is in progress, or with False after ``seconds``."""
        if self._count == 0:
            return succeed(True)
        return self._idle.wait().addTimeout(seconds, clock, onTimeoutCancel=lambda *_: False)
