"""Tracks work in progress, so that it can finish before the service stops."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from vmpooler.deferreds import Signal, shield

T = TypeVar("T")


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

    def shielded(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Return a Deferred with the result of ``work``.

        The work continues when this Deferred is cancelled; klein cancels it when a client disconnects.
        """
        return shield(self._counted(work))

    async def _counted(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        self.begin()
        try:
            return await work
        finally:
            self.end()
