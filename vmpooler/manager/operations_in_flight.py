"""Operations in flight: work that outlives the round that started it, one operation per VM at a time."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.domain.errors import NotLeading, StoreAway
from vmpooler.manager.loop import STORE_AWAY

OPERATION_TIMEOUT = 900.0
"""Seconds after which an operation is cancelled: a provider that never answers must not block a VM permanently."""


class OperationsInFlight:
    """The operations in flight for the VMs of one pool. ``done`` is called after each, whatever its outcome."""

    log = Logger()

    def __init__(self, pool: str, clock: IReactorTime, done: Callable[[], None]) -> None:
        self._pool = pool
        self._clock = clock
        self._done = done
        self._under_way: dict[str, Deferred[None]] = {}

    def busy(self) -> frozenset[str]:
        """Return the VMs that have an operation in flight."""
        return frozenset(self._under_way)

    def start(self, vm: str, work: Coroutine[Deferred[Any], Any, None], longest: float = OPERATION_TIMEOUT) -> None:
        """Start an operation for a VM that is not busy. Its failures are logged with the VM's name.

        Raises ValueError for a busy VM.
        """
        if vm in self._under_way:
            work.close()
            raise ValueError(f"{vm} is busy")
        task = Deferred.fromCoroutine(work)
        self._under_way[vm] = task
        task.addTimeout(longest, self._clock)
        task.addErrback(self._failed, vm)
        task.addBoth(self._ended, vm)

    async def drain(self, seconds: float) -> None:
        """Wait up to ``seconds`` until nothing is in flight, then cancel the rest.

        Work at the provider continues there, and the next start finds its result.
        """
        if self._under_way and seconds > 0:
            everything = DeferredList(list(self._under_way.values()))
            await everything.addTimeout(seconds, self._clock, onTimeoutCancel=lambda *_: None)
        self.give_up()

    def give_up(self) -> None:
        """Cancel all operations."""
        for task in list(self._under_way.values()):
            task.cancel()

    def _failed(self, failure: Failure, vm: str) -> Deferred[None] | None:
        """Log a failure.

        After StoreAway the VM stays busy for STORE_AWAY seconds, so that the operation is not retried at once: a Redis
        that refuses writes may still answer reads.
        """
        if failure.check(CancelledError, NotLeading):
            return None
        why = failure.getErrorMessage()
        if failure.check(StoreAway):
            self.log.warn("[!] [{pool}] '{vm}' waits for Redis: {why}", pool=self._pool, vm=vm, why=why)
            return deferLater(self._clock, STORE_AWAY)
        if failure.check(DeferTimeout):
            self.log.error("[!] [{pool}] '{vm}' given up: no end in sight", pool=self._pool, vm=vm)
        else:
            self.log.failure("[!] [{pool}] '{vm}' failed", failure, pool=self._pool, vm=vm)
        return None

    def _ended(self, _: object, vm: str) -> None:
        del self._under_way[vm]
        self._done()
