"""The shared clock of all processes that use one Redis.

Note [Two clocks]

Timers and intervals use the reactor's clock, which is never set (process/service.py). Times that are stored in Redis,
shown to people, or compared with records use :class:`RedisTime`: the reactor's clock plus a measured offset to Redis's
``TIME``.
So the clocks of the service's hosts need not agree, and may be set while the service runs. The clock of Redis's own
host is authoritative: when that clock is set, all these times change with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from vmpooler.domain.errors import StoreAway
from vmpooler.store.redis.commands import Commands

MEASURE_INTERVAL = 5.0
"""Seconds between two measurements."""

DRIFT = 1e-4
"""Seconds per second by which two clocks may drift apart: twice the sum of quartz error and NTP's corrections."""

NOTABLE = 1.0
"""Smallest clock difference that is logged, in seconds."""


class RedisTime:
    """A callable that returns the current time (epoch) by Redis's clock.

    Until the first measurement it uses ``own``, the clock of this host. A measurement is accurate to half of its round
    trip. It replaces the known offset when it is more accurate; the known offset loses accuracy by DRIFT every second.
    It also replaces an offset that it contradicts, because then a clock was set.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, own: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._own = own
        self._offset = own() - clock.seconds()
        self._error = inf
        self._measured_at = 0.0
        self._connection: Commands | None = None
        self._measuring = LoopingCall(lambda: Deferred.fromCoroutine(self._measure_again()))
        self._measuring.clock = clock

    def __call__(self) -> float:
        """Return the current time (epoch)."""
        return self._clock.seconds() + self._offset

    def start(self, connection: Commands) -> None:
        """Start to measure regularly over ``connection``."""
        self._connection = connection
        self._measuring.start(MEASURE_INTERVAL, now=False)

    def stop(self) -> None:
        """Stop the measurements."""
        if self._measuring.running:
            self._measuring.stop()

    async def measure(self, connection: Commands) -> None:
        """Measure the offset to Redis's time once. Raises StoreAway or StoreFault."""
        sent = self._clock.seconds()
        seconds, microseconds = await connection.call("TIME")
        self._use(sent, self._clock.seconds(), int(seconds) + int(microseconds) / 1e6)

    def _use(self, sent: float, received: float, told: float) -> None:
        """Use one measurement: Redis's time was ``told`` at some point between ``sent`` and ``received``."""
        offset, error = told - (sent + received) / 2, (received - sent) / 2
        known = self._error + DRIFT * (received - self._measured_at)
        contradicted = abs(offset - self._offset) > known + error
        if error > known and not contradicted:
            return
        first, step = self._error == inf, offset - self._offset
        self._offset, self._error, self._measured_at = offset, error, received
        if first and abs(self() - self._own()) >= NOTABLE:
            text = "[!] the clock of this host differs by {by:+.1f} s from Redis's, by which the service goes"
            self.log.warn(text, by=self._own() - self())
        elif not first and contradicted and abs(step) >= NOTABLE:
            self.log.warn(
                "[!] Redis's clock was set by {step:+.1f} s, and the moments of the service with it", step=step
            )

    async def _measure_again(self) -> None:
        try:
            if self._connection is not None:
                await self.measure(self._connection)
        except StoreAway:
            return  # the next measurement follows when Redis is available again
        except Exception:
            self.log.failure("[!] Redis does not tell its time")
