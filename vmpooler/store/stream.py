"""The event stream, read once by each process and told to all who listen in it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.domain.errors import StoreAway
from vmpooler.domain.events import Event
from vmpooler.store import keys
from vmpooler.store.connection import StoreFault

BLOCK = 10.0
"""Seconds that one read waits for an event."""

REST = 0.005
"""Seconds after which it is read again when there was something: of thousands of events a second, many come at once
then, and a reading costs as much as ten of them."""

AGAIN = 0.5
"""Seconds before the next try when Redis is away."""

FIRST = "0-0"
"""An id before those of all events."""

Listener = Callable[[Event], None]


class Caller(Protocol):
    """A connection whose replies may take longer than BLOCK."""

    async def call(self, *args: str | int) -> Any:
        """Send one command."""


class EventStream:
    """Tells every listener each event from the moment of the start on, in order and once. Events that happen while
    Redis is away are told when it is back, while the stream still holds them. A Redis that lacks its last events gives
    out ids that are no larger than theirs: what has these is told, too."""

    log = Logger()

    def __init__(self, connection: Caller, clock: IReactorTime) -> None:
        self._connection = connection
        self._clock = clock
        self._listeners: list[Listener] = []
        self._followers: list[Callable[[str], None]] = []
        self._last = ""
        self._begun = False
        self._running: Deferred[None] | None = None

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` told every event. It must not raise, and not block."""
        self._listeners.append(listener)

    def follow(self, follower: Callable[[str], None]) -> None:
        """Have ``follower`` called with the id of the newest event of each reading, before the listeners are. It must
        not raise, and not block."""
        self._followers.append(follower)

    def start(self) -> None:
        """Begin to read."""
        self._running = Deferred.fromCoroutine(self._read())
        self._running.addErrback(lambda failure: failure.trap(CancelledError))

    def stop(self) -> None:
        """Read no more."""
        if self._running is not None:
            self._running.cancel()

    async def _read(self) -> None:
        while True:
            try:
                await self._begin()
                reply = await self._connection.call(
                    "XREAD", "COUNT", 500, "BLOCK", int(BLOCK * 1000), "STREAMS", keys.EVENTS, self._last
                )
            except StoreAway:
                self._begun = False
                await deferLater(self._clock, AGAIN)
                continue
            except StoreFault as fault:
                self.log.error("[!] the event stream cannot be read: {why}", why=fault)
                await deferLater(self._clock, BLOCK)
                continue
            for _, entries in reply or ():
                self._tell(entries)
                await deferLater(self._clock, REST)

    async def _begin(self) -> None:
        """At the first reading, and at the first of a Redis that was away, see where the stream ends."""
        if not self._begun:
            end = await newest(self._connection)
            self._last = min(self._last or end, end, key=order)
            self._begun = True

    def _tell(self, entries: Sequence[tuple[str, Sequence[str]]]) -> None:
        for follower in self._followers:
            follower(entries[-1][0])
        for id, flat in entries:
            self._last = id
            event = Event.of(id, dict(zip(flat[::2], flat[1::2], strict=True)))
            if event is None:
                continue
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception:
                    self.log.failure("a listener failed on event {id}", id=id)


async def newest(connection: Caller) -> str:
    """The id of the last event; FIRST when there is none."""
    entries = await connection.call("XREVRANGE", keys.EVENTS, "+", "-", "COUNT", 1)
    return entries[0][0] if entries else FIRST


def order(id: str) -> tuple[int, ...]:
    """What the ids of events are sorted by."""
    return tuple(map(int, id.split("-")))
