"""Waiting on the reactor: a signal, slots, a read that callers share, and work that outlives its caller."""

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.domain.errors import VmpoolerError

T = TypeVar("T")

log = Logger()


class Signal(Generic[T]):
    """Wakes the callers that wait for something to happen. It can be sent any number of times."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Deferred[T], None] = {}

    def wait(self) -> Deferred[T]:
        """Return a Deferred that fires when the signal is next sent. Cancelling it ends this wait and no other."""
        waiter: Deferred[T] = Deferred(lambda waiter: self._waiting.pop(waiter, None))
        self._waiting[waiter] = None
        return waiter

    def send(self, outcome: T | Failure) -> None:
        """Wake all callers that wait now, in order: return ``outcome`` to them, or raise the error of a failure."""
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.called:  # a caller that was woken may have cancelled it
                waiter.callback(outcome)


class Slots:
    """Lets ``count`` blocks of ``async with`` run at once; the others wait their turn, in order.

    Note [A queue that fails at once]

    Twisted's DeferredSemaphore and DeferredLock resume the next caller inside the release of the one before. When a
    connection is lost, each of a hundred waiting callers fails as soon as it is resumed, one inside the other, until
    Python's recursion limit ends some of them in the middle: their VMs stayed busy for ever. Here one loop resumes the
    callers one after the other. The linter refuses Twisted's classes.
    """

    def __init__(self, count: int = 1) -> None:
        self._free = count
        self._waiting: deque[Deferred[None]] = deque()
        self._resuming = False

    async def __aenter__(self) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        await waiter

    async def __aexit__(self, *_: object) -> None:
        self._free += 1
        if self._resuming:
            return
        self._resuming = True
        try:
            while self._free and self._waiting:
                self._free -= 1
                self._waiting.popleft().callback(None)
        finally:
            self._resuming = False


class Reading(Generic[T]):
    """A read that started at ``began``. ``found`` is its result in a tuple, empty before."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.ended = Signal[T]()
        self.found: tuple[()] | tuple[T] = ()


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
            found = reading.ended.wait()
            Deferred.fromCoroutine(self._perform(reading))  # continues when the first caller is cancelled
            return await found
        return reading.found[0] if reading.found else await reading.ended.wait()

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
        reading.ended.send(outcome)


def shield(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Return a Deferred with the result of ``work``. Cancelling it ends only the wait; the work continues."""
    result: Deferred[T] = Deferred()

    def done(outcome: T | Failure) -> None:
        if not result.called:
            result.callback(outcome)
        elif isinstance(outcome, Failure) and not outcome.check(VmpoolerError):
            log.failure("[!] work failed after its caller had gone", outcome)

    Deferred.fromCoroutine(work).addBoth(done)
    return result
