"""Shares one read between concurrent callers (single-flight)."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")


@attrs.define(eq=False)
class Reading(Generic[T]):
    """A read that started at ``began``.

    ``waiting`` are the callers that wait for it; ``found`` is its result in a tuple, empty before.
    """

    began: float
    waiting: list[Deferred[T]] = attrs.Factory(list)
    found: tuple[()] | tuple[T] = ()

    def join(self) -> Deferred[T]:
        """Return a Deferred with the result."""
        waiter: Deferred[T] = Deferred(self.waiting.remove)
        self.waiting.append(waiter)
        return waiter


class SingleFlight(Generic[T]):
    """Returns the result of ``read`` to all callers within ``seconds`` after it began.

    A later caller starts a new read. A read that fails raises its error for all callers that wait for it, and is not
    cached.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], seconds: float, clock: IReactorTime) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._reading: Reading[T] | None = None

    async def get(self) -> T:
        """Return the result. Raises what ``read`` raises."""
        reading, now = self._reading, self._clock.seconds()
        if reading is None or not 0 <= now - reading.began < self._seconds:
            reading = self._reading = Reading(now)
            found = reading.join()
            Deferred.fromCoroutine(self._perform(reading))  # continues when the first caller is cancelled
            return await found
        return reading.found[0] if reading.found else await reading.join()

    def forget(self) -> None:
        """Drop the result, which may be outdated."""
        self._reading = None

    async def _perform(self, reading: Reading[T]) -> None:
        """Read, and pass the result to all callers that wait."""
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
