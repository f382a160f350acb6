"""What is under way, so that it can be finished before the service ends."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.domain.errors import VmpoolerError

T = TypeVar("T")


class UnderWay:
    """Counts requests, and work that outlives the request it is for."""

    log = Logger()

    def __init__(self) -> None:
        self._count = 0
        self._waiting: list[Deferred[bool]] = []

    def begin(self) -> None:
        """Something begins."""
        self._count += 1

    def end(self) -> None:
        """It is over."""
        self._count -= 1
        if self._count == 0:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(True)

    def idle(self, seconds: float, clock: IReactorTime) -> Deferred[bool]:
        """Fires with True as soon as nothing is under way, or with False after so many seconds."""
        if self._count == 0:
            return succeed(True)
        idle: Deferred[bool] = Deferred(lambda waiter: self._waiting.remove(waiter))
        self._waiting.append(idle)
        return idle.addTimeout(seconds, clock, onTimeoutCancel=lambda *_: False)

    def shielded(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """What ``work`` returns. The work goes on when this is cancelled, as klein does when a client hangs up."""
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
