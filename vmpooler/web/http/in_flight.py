"""Tracks work in progress, so that it can finish before the service stops."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.domain.errors import VmpoolerError

T = TypeVar("T")


class RequestsInFlight:
    """Counts requests in progress, and work that outlives its request."""

    log = Logger()

    def __init__(self) -> None:
        self._count = 0
        self._waiting: list[Deferred[bool]] = []

    def begin(self) -> None:
        """Count the start of a piece of work."""
        self._count += 1

    def end(self) -> None:
        """Count the end of a piece of work."""
        self._count -= 1
        if self._count == 0:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(True)

    def idle(self, seconds: float, clock: IReactorTime) -> Deferred[bool]:
        """Return a Deferred that fires with True when no work is in progress, or with False after ``seconds``."""
        if self._count == 0:
            return succeed(True)
        idle: Deferred[bool] = Deferred(lambda waiter: self._waiting.remove(waiter))
        self._waiting.append(idle)
        return idle.addTimeout(seconds, clock, onTimeoutCancel=lambda *_: False)

    def shielded(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Return a Deferred with the result of ``work``.

        The work continues when this Deferred is cancelled; klein cancels it when a client disconnects.
        """
        result: Deferred[T] = Deferred()
        self.begin()

        def done(outcome: T | Failure) -> None:
            self.end()
            if not result.called:
                result.callback(outcome)
            elif isinstance(outcome, Failure) and not outcome.check(VmpoolerError):
                self.log.failure("[!] work failed after its client had gone", outcome)

        Deferred.fromCoroutine(work).addBoth(done)
        return result
