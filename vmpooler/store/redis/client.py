"""The connection to Redis, and its clock. A command is sent immediately or fails immediately, and is never queued.

Note [Two clocks]

Timers and intervals use the reactor's clock, which is never set (process/service.py). Times that are stored in Redis,
shown to people, or compared with records use :class:`RedisTime`: the reactor's clock plus a measured offset to Redis's
``TIME``. So the clocks of the service's hosts need not agree, and may be set while the service runs. The clock of
Redis's own host is authoritative: when that clock is set, all these times change with it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import inf
from operator import attrgetter
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from vmpooler.domain.errors import StartError, StoreAway, VmpoolerError
from vmpooler.settings import Redis
from vmpooler.store.redis.endpoint import Sentinels, endpoint_of
from vmpooler.store.redis.protocol import Value, Wire, Wires
from vmpooler.store.redis.scripts import LASTING, RedisCommands, Script, StoreFault

OLDEST = (6, 2)
"""The oldest version of Redis that supports everything the scripts use."""

MEASURE_INTERVAL = 5.0
"""Seconds between two measurements of Redis's clock."""

DRIFT = 1e-4
"""Seconds per second by which two clocks may drift apart: twice the sum of quartz error and NTP's corrections."""

ACCURATE = 0.05
"""Error in seconds at which a new wire needs no further measurement."""

MEASUREMENTS = 5
"""Maximum number of measurements on a new wire."""

NOTABLE = 1.0
"""Smallest clock difference that is logged, in seconds."""

_load = attrgetter("load")

log = Logger()


class OneWire(RedisCommands):
    """Sends everything over one wire, which may not be released for general use yet."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def _send(self, *command: Value) -> Awaitable[Any]:
        if self._wire.lost:
            raise StoreAway("Redis is away")
        return self._wire.execute_command(*command)


class Arrival(Protocol):
    """The failover handling of a process: recovery from a Redis that may have lost writes."""

    writes: bool
    """Whether Redis writes each change to a file before it answers."""

    def start(self, caller: RedisCommands, cut: Callable[[str], None]) -> None:
        """Start the heartbeat over ``caller``. ``cut`` closes all wires with a reason; they reconnect."""

    async def leave(self) -> None:
        """Sign off: this process ends in an orderly way."""

    async def arrive(self, wire: RedisCommands, notify: Callable[[str], None]) -> None:
        """Prepare a new wire; return when it may be used. ``notify`` is called with the reason for a wait."""

    def ran(self, script: Script, command: Sequence[Any], reply: Any) -> None:
        """Record a script that has run and whose effect will be reported to a client."""


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
        self._connection: RedisCommands | None = None
        self._measuring = LoopingCall(lambda: Deferred.fromCoroutine(self._measure_again()))
        self._measuring.clock = clock

    def __call__(self) -> float:
        """Return the current time (epoch)."""
        return self._clock.seconds() + self._offset

    def start(self, connection: RedisCommands) -> None:
        """Start to measure regularly over ``connection``."""
        self._connection = connection
        self._measuring.start(MEASURE_INTERVAL, now=False)

    def stop(self) -> None:
        """Stop the measurements."""
        if self._measuring.running:
            self._measuring.stop()

    async def settle(self, connection: RedisCommands) -> None:
        """Measure until the offset is accurate, on a new wire. Raises StoreAway or StoreFault.

        While a process starts, a reply may wait for a second or two before it is read, and lifetimes would end that
        much too early or too late. A Redis that is always slow is measured MEASUREMENTS times.
        """
        for _ in range(MEASUREMENTS):
            if await self.measure(connection) <= ACCURATE:
                return

    async def measure(self, connection: RedisCommands) -> float:
        """Measure the offset to Redis's time once, and return the error of this measurement in seconds.

        Raises StoreAway or StoreFault.
        """
        sent = self._clock.seconds()
        seconds, microseconds = await connection.call("TIME")
        received = self._clock.seconds()
        self._use(sent, received, int(seconds) + int(microseconds) / 1e6)
        return (received - sent) / 2

    def _use(self, sent: float, received: float, reported: float) -> None:
        """Use one measurement: Redis's time was ``reported`` at some point between ``sent`` and ``received``."""
        offset, error = reported - (sent + received) / 2, (received - sent) / 2
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
            self.log.failure("[!] Redis does not report its time")


class Connection(RedisCommands):
    """A connection to Redis over a few wires, which reconnect automatically.

    Each command uses the least busy wire, so two commands are ordered only when the first is awaited before the second
    is sent. ``reply_timeout``: seconds after which a Redis that does not answer counts as unavailable. ``quiet``: log
    nothing. ``failover`` handles a Redis that may have lost writes. ``time`` is measured on every wire before the wire
    is used for other commands, and regularly afterwards. ``disk``: where Redis keeps its data, for log messages.

    A script of LASTING returns when the configured number of replicas has received what it wrote. When that takes too
    long it raises StoreAway (sent), although the script has run.

    Note [A disk that is full]

    With ``appendfsync everysec`` Redis confirms a change although it could not write it to its file, and rejects all
    later changes (MISCONF). A crash before disk space is free again loses the confirmed change. Redis tries to write
    before it sends the reply, and after a failed write it also rejects PING. So a script whose effect is promised to a
    client counts as done only when a PING that was sent after the script's reply is answered. Until then the client
    gets no response. After MISCONF the outcome is uncertain, as after a lost connection. All scripts that wait share
    the next PING.

    Not covered: a sync that takes so long that Redis postpones its writes (docs/proof.md). In that case Redis has not
    tried to write yet.
    """

    def __init__(
        self,
        settings: Redis,
        reactor: Any,
        *,
        size: int = 2,
        reply_timeout: float = 5.0,
        quiet: bool = False,
        failover: Arrival | None = None,
        disk: str = "its disk",
        time: RedisTime | None = None,
    ) -> None:
        self.address = settings.socket or f"{settings.server}:{settings.port}"
        self.last_error = ""
        self._settings = settings
        self._reactor = reactor
        self._quiet = quiet
        self._closed = False
        self._unfit: StartError | None = None
        self._reached = False
        self._failover = failover
        self._disk = disk
        self._refuses = False
        self._time = time
        self._wires = Wires(settings, size, reply_timeout, reactor, self._on_state, self._welcome, self._unwritten)
        self._sentinels: Sentinels | None = None
        if settings.sentinels:
            self.address = f"{settings.sentinel_master} of {', '.join(settings.sentinels)}"
            self._sentinels = Sentinels(settings, reactor, self._wires.cut)
        self._endpoint = self._sentinels or endpoint_of(settings, reactor)

    def start(self) -> None:
        """Start to connect, and reconnect until closed."""
        if self._sentinels is not None:
            self._sentinels.start()
        self._wires.connect(self._endpoint)
        if self._time is not None:
            self._time.start(self)
        if self._failover is not None:
            self._failover.start(self, self._wires.cut)

    async def close(self) -> None:
        """Close the connection permanently; pending commands fail with StoreAway."""
        if self._failover is not None:
            await self._failover.leave()
        if self._time is not None:
            self._time.stop()
        self._closed = True
        self.last_error = "the connection is closed"
        await self._wires.close()
        if self._sentinels is not None:
            await self._sentinels.close()

    def reader(self, reply_timeout: float) -> Connection:
        """Return a new, not started connection with one wire, for blocking commands.

        ``reply_timeout`` (seconds) must exceed the commands' own blocking time.
        """
        return Connection(self._settings, self._reactor, size=1, reply_timeout=reply_timeout, quiet=True)

    async def wait_ready(self, timeout: float) -> None:
        """Return when Redis answers.

        Raises StoreAway when it does not answer within ``timeout`` seconds, StartError when its version is too old or
        unknown.
        """
        until = self._reactor.seconds() + timeout
        while True:
            try:
                await self.call("INFO", "server")
            except StoreAway as error:
                if self._unfit is not None:
                    raise self._unfit from None
                if self._reactor.seconds() >= until:
                    raise StoreAway(f"Redis at {self.address}: {error}; see redis: in the configuration") from None
            else:
                self._reached = True
                return
            await deferLater(self._reactor, 0.02)

    def require(self) -> None:
        """Raise StoreAway if no wire is ready, so that Redis is known to be unavailable."""
        self._least_busy()

    def _send(self, *command: Value) -> Awaitable[Any]:
        return self._least_busy().execute_command(*command)

    def _send_lasting(self, *command: Value) -> Awaitable[Any]:
        return self._least_busy().execute_lasting(*command)

    async def _send_replicated(self, send: Callable[..., Awaitable[Any]], wire: Wire, *command: Value) -> Any:
        reply = await send(*command)
        await self._confirmed(OneWire(wire))
        return reply

    def _sender(self, script: Script) -> Callable[..., Awaitable[Any]]:
        if script.name not in LASTING:
            return self._send
        lasting = self._failover is not None and self._failover.writes
        if self._settings.wait_replicas:
            wire = self._least_busy()
            return partial(self._send_replicated, wire.execute_lasting if lasting else wire.execute_command, wire)
        return self._send_lasting if lasting else self._send

    def _ran(self, script: Script, command: Sequence[Any], reply: Any) -> None:
        if self._failover is not None:
            self._failover.ran(script, command, reply)

    def _least_busy(self) -> Wire:
        wires = self._wires.ready()
        if not wires:
            raise StoreAway(f"Redis is away: {self.last_error or 'not connected yet'}")
        return min(wires, key=_load)

    async def _welcome(self, wire: Wire) -> None:
        """Check and prepare a new wire before other commands use it.

        The Redis version must be supported. With sentinels, the server must be a primary. Then the clock is measured
        and the failover handling runs. Raises StoreAway or StoreFault.
        """
        await self._require_fit(OneWire(wire))
        if self._sentinels is not None and (await wire.execute_command("ROLE"))[0] != "master":
            raise StoreAway("it is a replica")
        if self._time is not None:
            await self._time.settle(OneWire(wire))
        if self._failover is not None:
            await self._failover.arrive(OneWire(wire), self._on_state)

    async def _require_fit(self, wire: RedisCommands) -> None:
        """Raise StoreAway for an unsupported Redis, and store the reason for ``wait_ready``."""
        try:
            require_version(await wire.call("INFO", "server"), self.address)
        except StartError as error:
            self._unfit = error
        except StoreFault as error:
            self._unfit = StartError(f"Redis at {self.address} does not report its version: {error}")
        else:
            self._unfit = None
        if self._unfit is not None:
            raise StoreAway(str(self._unfit))

    async def call(self, *command: Value) -> Any:
        """Send one command and return its reply. Raises StoreAway or StoreFault.

        Logs the recovery when PING succeeds after Redis could not write its data.
        """
        reply = await super().call(*command)
        if self._refuses and command[0] == "PING":
            self._refuses = False
            log.info("Redis at {address} writes its data again", address=self.address)
        return reply

    def _unwritten(self, why: str) -> None:
        """Called with the error when Redis could not write a change that it had confirmed."""
        self._meaning(why, "PING")

    async def _confirmed(self, wire: OneWire) -> None:
        """Return when enough replicas have received what was written on this wire. Raises StoreAway (sent)."""
        wanted, seconds = self._settings.wait_replicas, self._settings.wait_timeout
        found = await wire.call("WAIT", wanted, int(seconds * 1000))
        if found < wanted:
            why = f"{found} of {wanted} replicas have it after {seconds:g} s"
            raise StoreAway(f"whether it was done is not certain: {why}", sent=True)

    def _meaning(self, error: str, what: str) -> VmpoolerError:
        meaning = super()._meaning(error, what)
        if "READONLY" in str(meaning):
            self._reactor.callLater(0, self._wires.cut, "it is a replica now")
        if "MISCONF" in str(meaning):
            self._cannot_write(str(meaning))
        return meaning

    def _cannot_write(self, why: str) -> None:
        if not self._refuses:
            self._refuses = True
            text = "[!] Redis at {address} cannot write its data: make room on {disk} ({why})"
            log.error(text, address=self.address, disk=self._disk, why=why)

    def _on_state(self, why: str) -> None:
        if "MISCONF" in why:
            self._cannot_write(why)
        if self._closed or why == self.last_error:
            return
        self.last_error = why
        if self._quiet or (self._unfit is not None and not self._reached):
            return  # wait_ready raises the reason
        if why:
            log.warn("Redis at {address} is away: {why}", address=self.address, why=why)
        else:
            log.info("Redis at {address} answers again", address=self.address)


def require_version(info: str, address: str) -> None:
    """Raise StartError when the reply to INFO has no Redis version or one that is older than OLDEST."""
    found = re.search(r"^redis_version:((\d+)\.(\d+)\S*)", info, re.MULTILINE)
    if found is None:
        raise StartError(f"Redis at {address} does not report its version: at least 6.2 is needed")
    if (int(found[2]), int(found[3])) < OLDEST:
        raise StartError(f"Redis at {address} is version {found[1]}: at least 6.2 is needed, upgrade it")
