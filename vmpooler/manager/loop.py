"""Schedules the rounds of a pool: at intervals, and at once when an event wakes the loop."""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from vmpooler.domain.backoff import BUSY_INTERVAL, MIN_INTERVAL
from vmpooler.domain.errors import NotLeading, StoreAway

MOST_REST = 1.0
"""Maximum pause in seconds after a round in which the loop was woken. The pause is otherwise as long as that round
took, so that a storm of events uses at most half of a core."""

STORE_AWAY = 1.0
"""Seconds before the next round when Redis is unavailable."""


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
