"""What many ask for: read once for all of them."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")


@attrs.define(eq=False)
class Reading(Generic[T]):
    """One that ``began`` then: who waits for it, until it is over, and what it found, in a tuple."""

    began: float
    waiting: list[Deferred[T]] = attrs.Factory(list)
    found: tuple[()] | tuple[T] = ()

    def join(self) -> Deferred[T]:
        """What it will find."""
        waiter: Deferred[T] = Deferred(self.waiting.remove)
        self.waiting.append(waiter)
        return waiter


class Recent(Generic[T]):
    """What ``read`` finds, for all who ask less than ``seconds`` after it began; who comes later has it read anew.

    A reading that fails does so for all who wait for it, and for nobody else.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], seconds: float, clock: IReactorTime) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._reading: Reading[T] | None = None

    async def get(self) -> T:
        """What was found. Raises what a reading does."""
        reading, now = self._reading, self._clock.seconds()
        if reading is None or not 0 <= now - reading.began < self._seconds:
            reading = self._reading = Reading(now)
            found = reading.join()
            Deferred.fromCoroutine(self._perform(reading))  # goes on though who asked first hangs up
            return await found
        return reading.found[0] if reading.found else await reading.join()

    def forget(self) -> None:
        """What was found may not be so any more."""
        self._reading = None

    async def _perform(self, reading: Reading[T]) -> None:
        """Read, and tell all who wait."""
        outcome: T | Failure
        try:
            outcome = await self._read()
            reading.found = (outcome,)
        except Exception:
            outcome = Failure()
            if self._reading is reading:
                self.forget()
        waiting, reading.waiting = reading.waiting, []
        for waiter in waiting:
            waiter.callback(outcome)
