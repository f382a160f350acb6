"""The event stream: each process reads it once and calls all its listeners."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.domain.errors import StoreAway
from vmpooler.domain.events import Event
from vmpooler.store import keys
from vmpooler.store.redis.scripts import StoreFault
from vmpooler.store.stored import paired

BLOCK_SECONDS = 10.0
"""Seconds for which one read blocks until an event arrives."""

READ_PAUSE = 0.005
"""Pause in seconds after a read that returned events. With thousands of events a second, the next read then returns
many at once; one read costs as much as ten events."""

RETRY_DELAY = 0.5
"""Seconds before the next try when Redis is unavailable."""

BEFORE_ALL = "0-0"
"""An id that precedes the ids of all events."""

Listener = Callable[[Event], None]


class EventReader(Protocol):
    """A connection whose reply timeout exceeds BLOCK_SECONDS."""

    async def call(self, *args: str | int) -> Any:
        """Send one command and return its reply."""


class EventStream:
    """Delivers each event after the start to every listener, in order and once.

    Events that happen while Redis is unavailable are delivered when it returns, if the stream still has them. A Redis
    that lost its last events issues ids that are not larger than the lost ones; events with such ids are delivered too.
    """

    log = Logger()

    def __init__(self, connection: EventReader, clock: IReactorTime) -> None:
        self._connection = connection
        self._clock = clock
        self._listeners: list[Listener] = []
        self._followers: list[Callable[[str], None]] = []
        self._last = ""
        self._started = False
        self._running: Deferred[None] | None = None

    def listen(self, listener: Listener) -> None:
        """Register a callback for every event. It must not raise and must not block."""
        self._listeners.append(listener)

    def follow(self, follower: Callable[[str], None]) -> None:
        """Register a callback for the id of the newest event of each read, called before the listeners.

        It must not raise and must not block.
        """
        self._followers.append(follower)

    def start(self) -> None:
        """Start to read."""
        self._running = Deferred.fromCoroutine(self._read())
        self._running.addErrback(lambda failure: failure.trap(CancelledError))

    def stop(self) -> None:
        """Stop reading."""
        if self._running is not None:
            self._running.cancel()

    async def _read(self) -> None:
        while True:
            try:
                await self._begin()
                reply = await self._connection.call(
                    "XREAD", "COUNT", 500, "BLOCK", int(BLOCK_SECONDS * 1000), "STREAMS", keys.EVENTS, self._last
                )
            except StoreAway:
                self._started = False
                await deferLater(self._clock, RETRY_DELAY)
                continue
            except StoreFault as fault:
                self.log.error("[!] the event stream cannot be read: {why}", why=fault)
                await deferLater(self._clock, BLOCK_SECONDS)
                continue
            for _, entries in reply or ():
                self._deliver(entries)
                await deferLater(self._clock, READ_PAUSE)

    async def _begin(self) -> None:
        """Find the end of the stream before the first read, and before the first read after Redis was unavailable."""
        if not self._started:
            end = await newest(self._connection)
            self._last = min(self._last or end, end, key=order)
            self._started = True

    def _deliver(self, entries: Sequence[tuple[str, Sequence[str]]]) -> None:
        for follower in self._followers:
            follower(entries[-1][0])
        for id, flat in entries:
            self._last = id
            event = Event.of(id, paired(flat))
            if event is None:
                continue
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception:
                    self.log.failure("a listener failed on event {id}", id=id)


async def newest(connection: EventReader) -> str:
    """Return the id of the newest event; BEFORE_ALL when the stream is empty."""
    entries = await connection.call("XREVRANGE", keys.EVENTS, "+", "-", "COUNT", 1)
    return entries[0][0] if entries else BEFORE_ALL


def order(id: str) -> tuple[int, ...]:
    """Return the sort key of an event id."""
    return tuple(map(int, id.split("-")))
