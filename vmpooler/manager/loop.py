"""Runs the work of a pool: a loop of rounds, never two at once, and operations in flight, at most one for each VM."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.domain.backoff import BUSY_INTERVAL, MIN_INTERVAL
from vmpooler.domain.errors import NotLeading, StoreAway

MOST_REST = 1.0
"""Maximum pause in seconds after a round in which the loop was woken. The pause is otherwise as long as that round
took, so that a storm of events uses at most half of a core."""

STORE_AWAY = 1.0
"""Seconds before the next round or operation when Redis is unavailable."""

OPERATION_TIMEOUT = 900.0
"""Seconds after which an operation is cancelled: a provider that never answers must not block a VM permanently."""


class Loop:
    """Runs ``round`` repeatedly, never two at once. ``round`` returns the seconds until the next is due."""

    log = Logger()

    def __init__(self, name: str, round: Callable[[], Awaitable[float]], clock: IReactorTime) -> None:
        self._name = name
        self._round = round
        self._clock = clock
        self._call = LoopingCall(self._begin)
        self._call.clock = clock
        self._ended: Deferred[LoopingCall] | None = None
        self._current: Deferred[None] | None = None
        self._in_round = False
        self._woken = False
        self._alarm: IDelayedCall | None = None

    def start(self) -> None:
        """Start the loop with a round."""
        self._ended = self._call.start(BUSY_INTERVAL, now=True)

    def wake(self) -> None:
        """Run a round at once; if a round is in progress, run another after it."""
        self._woken = self._in_round
        if self._call.running and not self._in_round:
            self._call.stop()
            self.start()

    def wake_after(self, seconds: float) -> None:
        """Run a round after ``seconds``, unless an earlier call of this method is still pending."""
        if self._call.running and (self._alarm is None or not self._alarm.active()):
            self._alarm = self._clock.callLater(seconds, self.wake)

    async def stop(self) -> None:
        """Start no more rounds; return when the round in progress has ended."""
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        if self._call.running:
            self._call.stop()
        if self._ended is not None:
            await self._ended

    def give_up(self) -> None:
        """Start no more rounds, and cancel the round in progress."""
        Deferred.fromCoroutine(self.stop())
        if self._current is not None:
            self._current.cancel()

    def _begin(self) -> Deferred[None]:
        self._current = Deferred.fromCoroutine(self._once())
        return self._current

    async def _once(self) -> None:
        """Run one round, and set the interval to the next. No failure ends the loop: what failed is retried."""
        self._in_round = True
        began = self._clock.seconds()
        try:
            due = await self._round()
        except StoreAway as error:
            self.log.warn("[!] [{pool}] waits for Redis: {why}", pool=self._name, why=error)
            due = STORE_AWAY
        except (NotLeading, CancelledError):
            due = BUSY_INTERVAL  # the code that renews the lease stops this loop
        except Exception:
            self.log.failure("[!] [{pool}] its round failed", pool=self._name)
            due = BUSY_INTERVAL
        self._in_round = False
        if self._woken:
            self._woken = False
            due = min(self._clock.seconds() - began, MOST_REST)
        self._call.interval = max(due, MIN_INTERVAL / 10)


class OperationsInFlight:
    """The operations in flight for the VMs of one pool. ``done`` is called after each, whatever its outcome."""

    log = Logger()

    def __init__(self, pool: str, clock: IReactorTime, done: Callable[[], None]) -> None:
        self._pool = pool
        self._clock = clock
        self._done = done
        self._in_flight: dict[str, Deferred[None]] = {}

    def busy(self) -> frozenset[str]:
        """Return the VMs that have an operation in flight."""
        return frozenset(self._in_flight)

    def start(self, vm: str, work: Coroutine[Deferred[Any], Any, None], longest: float = OPERATION_TIMEOUT) -> None:
        """Start an operation for a VM that is not busy. Its failures are logged with the VM's name.

        Raises ValueError for a busy VM.
        """
        if vm in self._in_flight:
            work.close()
            raise ValueError(f"{vm} is busy")
        operation = Deferred.fromCoroutine(work)
        self._in_flight[vm] = operation
        operation.addTimeout(longest, self._clock)
        operation.addErrback(self._failed, vm)
        operation.addBoth(self._ended, vm)

    async def drain(self, seconds: float) -> None:
        """Wait up to ``seconds`` until nothing is in flight, then cancel the rest.

        Work at the provider continues there, and the next start finds its result.
        """
        if self._in_flight and seconds > 0:
            everything = DeferredList(list(self._in_flight.values()))
            await everything.addTimeout(seconds, self._clock, onTimeoutCancel=lambda *_: None)
        self.give_up()

    def give_up(self) -> None:
        """Cancel all operations."""
        for operation in list(self._in_flight.values()):
            operation.cancel()

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
        del self._in_flight[vm]
        self._done()
