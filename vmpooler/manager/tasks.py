"""Work that outlives the round that began it: one task a VM at a time."""

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

LONGEST = 900.0
"""Seconds after which a task is given up: a provider that never answers must not keep a VM from all others for ever."""


class WorkInFlight:
    """The work in flight for the VMs of one pool. ``done`` is called after each task, however it ended."""

    log = Logger()

    def __init__(self, pool: str, clock: IReactorTime, done: Callable[[], None]) -> None:
        self._pool = pool
        self._clock = clock
        self._done = done
        self._under_way: dict[str, Deferred[None]] = {}

    def busy(self) -> frozenset[str]:
        """The VMs that work is in flight for."""
        return frozenset(self._under_way)

    def start(self, vm: str, work: Coroutine[Deferred[Any], Any, None], longest: float = LONGEST) -> None:
        """Begin work for a VM that is not busy. What goes wrong in it is logged with the VM's name."""
        if vm in self._under_way:
            work.close()
            raise ValueError(f"{vm} is busy")
        task = Deferred.fromCoroutine(work)
        self._under_way[vm] = task
        task.addTimeout(longest, self._clock)
        task.addErrback(self._failed, vm)
        task.addBoth(self._ended, vm)

    async def drain(self, seconds: float) -> None:
        """Wait until nothing is in flight; after so many seconds, give up what still is. Work at the provider goes on
        there, and the next start finds it."""
        if self._under_way and seconds > 0:
            everything = DeferredList(list(self._under_way.values()))
            await everything.addTimeout(seconds, self._clock, onTimeoutCancel=lambda *_: None)
        self.give_up()

    def give_up(self) -> None:
        """Wait for nothing any more."""
        for task in list(self._under_way.values()):
            task.cancel()

    def _failed(self, failure: Failure, vm: str) -> Deferred[None] | None:
        """Log it. What Redis refused is not tried again at once: one that cannot write may still be read."""
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
