"""Sends events to all subscribers of this process.

Note [One log, many places]

The stream and the pools are read once for all subscribers, and both are written to one bounded log
(``vmpooler.web.events.log``). A subscriber is only a position in that log. So a slow client costs nothing but its
position. Clients at the same position get the same bytes, which are built once. A client that has fallen behind the
start of the log gets the state, which is always available.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.deferreds import Signal
from vmpooler.domain.errors import StoreAway
from vmpooler.domain.events import Event
from vmpooler.settings import Pool
from vmpooler.store.queries.event_log import EventHistory
from vmpooler.store.queries.overview import Overviews
from vmpooler.web.events.log import MAX_EVENTS_BEHIND, EventLog, Filter, Id, frame, framed, parsed, to_json
from vmpooler.web.events.pool_state import RETRY_DELAY, PoolRows
from vmpooler.web.events.subscriber import Subscriber
from vmpooler.web.http.server import Request

BATCH = 100
"""Subscribers that are served in one turn of the reactor: the API answers requests between two turns."""

AT_ONCE = 500
"""Log entries that are sent in one piece."""

SEND_INTERVAL = 0.01
"""Minimum seconds between two rounds of sending. If the last round took longer, the pause is as long as that round."""

RECENT_EVENTS = 50

AHEAD = 3.0
"""Seconds by which another process may have been ahead of this one in reading the stream."""

POLL = 0.05
"""Seconds between two checks of how far this process has read."""

T = TypeVar("T")


@attrs.frozen
class Pace:
    """Intervals and timeouts, in seconds."""

    spacing: float = 0.25
    """Time between two readings of the pools: clients get counts no more often, however many events occur."""

    whole: float = 5.0
    """Time after which all pools are read even without events: another program may have changed them."""

    beat: float = 15.0
    """Time between two comments (heartbeats)."""

    stall: float = 30.0
    """Time after which a client that reads nothing is disconnected."""


USUAL = Pace()


class Hub:
    """Sends events to ``subscribers``. ``about`` has the members of the state that describe the service."""

    log = Logger()

    def __init__(
        self,
        pools: tuple[Pool, ...],
        overviews: Overviews,
        past: EventHistory,
        clock: IReactorTime,
        wall: Callable[[], float],
        pace: Pace,
        about: Mapping[str, Any],
    ) -> None:
        self.subscribers: dict[Subscriber, Deferred[None]] = {}
        self.closed = False
        self._about = about
        self._past = past
        self._clock = clock
        self._pace = pace
        self._log = EventLog()
        self._replay = Replay(self._log, past, clock)
        notify = self._fill, self._on_rows, self._on_state, self._notify_all
        self._pools = PoolRows(pools, overviews, clock, wall, pace.spacing, pace.whole, *notify)
        self._texts: dict[tuple[int, Filter], tuple[bytes, int]] = {}
        self._states: dict[tuple[Filter, bool], tuple[float, bytes]] = {}
        self._filled = False
        self._on_fill = Signal[None]()
        self._sending: Deferred[None] | None = None
        self._resting: Deferred[None] = succeed(None)
        self._again = False
        self._beating = LoopingCall(lambda: Deferred.fromCoroutine(self._each(Subscriber.beat)))
        self._beating.clock = clock

    @property
    def end(self) -> int:
        """The position after the last entry of the log."""
        return self._log.end

    def on_event(self, event: Event) -> None:
        """Callback of the event stream: log an event, and send it to the subscribers."""
        if self._log.happened(event):
            self._forget()
            self._pools.on_event(event.pool)
            self._notify_all()

    def join(self, request: Request, wanted: Filter, last: str | None) -> None:
        """Answer a request with events, starting after ``last``, the id of the last event that its client received."""
        subscriber = Subscriber(request, wanted, self._clock, self._pace.stall, self._send, self._leave)
        self.subscribers[subscriber] = succeed(None)
        subscriber.start()
        self._pools.start()
        if not self._beating.running:
            self._beating.start(self._pace.beat, now=False)
        self.subscribers[subscriber] = Deferred.fromCoroutine(self._begin(subscriber, last))
        self.subscribers[subscriber].addErrback(self._failed, subscriber)

    def close(self) -> None:
        """Disconnect all subscribers, and accept no new ones."""
        self.closed = True
        for subscriber in list(self.subscribers):
            subscriber.end()

    def _send(self, subscriber: Subscriber) -> None:
        """Send a subscriber all that was not sent yet, as long as its client reads it."""
        while subscriber.place is not None and subscriber.reads:
            if subscriber.place < self._log.start:
                subscriber.place, subscriber.owed, subscriber.gap = self._log.end, True, True
            if subscriber.place < self._log.end:
                data, subscriber.place = self._text(subscriber.place, subscriber.wanted)
            elif subscriber.owed and (state := self._state(subscriber.wanted, subscriber.gap)):
                data, subscriber.owed, subscriber.gap, subscriber.warned = state, False, False, False
            elif not subscriber.warned and (trouble := self._trouble()):
                data, subscriber.warned = trouble, True
            else:
                return
            subscriber.write(data)

    def _text(self, place: int, wanted: Filter) -> tuple[bytes, int]:
        """Return the frames that follow a position, and the position where they end."""
        found = self._texts.get((place, wanted))
        if found is None:
            end = min(self._log.end, place + AT_ONCE)
            frames, rows = self._log.since(place, end, wanted)
            if rows is not None:
                frames.append(frame(self._log.id_at(end), "counts", self._counts(rows)))
            found = self._texts[place, wanted] = (b"".join(frames), end)
        return found

    def _state(self, wanted: Filter, gap: bool) -> bytes | None:
        """Return the frame of the complete state at the end of the log; None while the state is not known."""
        if not self._pools.ready:
            return None
        now, found = self._states.get((wanted, gap), (None, b""))
        if now != self._pools.now:
            rows = {pool: row for pool, row in self._pools.rows.items() if wanted.pools is None or pool in wanted.pools}
            recent = [to_json(event) for event in self._log.recent(RECENT_EVENTS, wanted)]
            data = {"gap": gap, **self._about, **self._counts(rows), "recent": recent}
            found = frame(self._log.newest, "state", data)
            self._states[wanted, gap] = (self._pools.now, found)
        return found

    def _trouble(self) -> bytes | None:
        """Return the frame with the reason why the state is not known; None without such a reason."""
        why = self._pools.trouble
        return None if why is None else frame(self._log.newest, "away", {"message": why})

    def _counts(self, rows: Mapping[str, Any]) -> dict[str, Any]:
        return {"now": self._pools.now, "pools": list(rows.values()), **self._pools.figures}

    def _on_rows(self, rows: Mapping[str, Any]) -> None:
        self._log.changed(rows)
        self._forget()
        self._notify_all()

    def _forget(self) -> None:
        """Drop the cached frames after a change."""
        self._texts.clear()
        self._states.clear()

    def _on_state(self) -> None:
        """Send the state to all subscribers: the pools are known, perhaps again."""
        self._forget()
        for subscriber in self.subscribers:
            subscriber.owed = True
        self._notify_all()

    def _leave(self, subscriber: Subscriber) -> None:
        self.subscribers.pop(subscriber).cancel()
        if not self.subscribers:
            self._pools.stop()
            self._beating.stop()
            self._resting.cancel()

    def _failed(self, failure: Failure, subscriber: Subscriber) -> None:
        if not failure.check(CancelledError):
            self.log.failure("[!] events cannot be sent to a subscriber", failure)
            subscriber.end()

    async def _begin(self, subscriber: Subscriber, last: str | None) -> None:
        """Find the position of a new subscriber. Send it the missed events that the log does not contain."""
        if not self._filled:
            await self._on_fill.wait()
        subscriber.place = await self._replay.start(subscriber, last) if last else self._log.end
        if subscriber.place is None:
            subscriber.place, subscriber.gap = self._log.end, True
        self._send(subscriber)

    async def _fill(self) -> None:
        """Add events to the log that precede the start of this process."""
        if self._filled:
            return
        self._log.precede(await self._past.latest(MAX_EVENTS_BEHIND))
        self._filled = True
        self._on_fill.send(None)

    def _notify_all(self) -> None:
        """Send to all subscribers soon. If a round is in progress, another one follows."""
        self._again = True
        if self._sending is None and self.subscribers:
            self._sending = Deferred.fromCoroutine(self._rounds())

    async def _rounds(self) -> None:
        await deferLater(self._clock, 0)
        while self._again:
            self._again = False
            began = self._clock.seconds()
            await self._each(self._send)
            self._resting = deferLater(self._clock, max(SEND_INTERVAL, self._clock.seconds() - began))
            with suppress(CancelledError):  # the last subscriber has disconnected
                await self._resting
        self._sending = None

    async def _each(self, act: Callable[[Subscriber], None]) -> None:
        subscribers = list(self.subscribers)
        for first in range(0, len(subscribers), BATCH):
            for subscriber in subscribers[first : first + BATCH]:
                self._safely(act, subscriber)
            await deferLater(self._clock, 0)

    def _safely(self, act: Callable[[Subscriber], None], subscriber: Subscriber) -> None:
        """Act on one subscriber; an error does not affect the others."""
        try:
            act(subscriber)
        except Exception:
            self._failed(Failure(), subscriber)


class Replay:
    """Replays missed events: from the log when it goes back far enough, else from the stream in Redis."""

    def __init__(self, log: EventLog, past: EventHistory, clock: IReactorTime) -> None:
        self._log = log
        self._past = past
        self._clock = clock

    async def start(self, subscriber: Subscriber, last: str) -> int | None:
        """Return the position after the event ``last``, if necessary after sending events from Redis.

        The result is None when neither the log nor the stream contains that event.
        """
        id = parsed(last)
        if id is None or not await self._reached(id, AHEAD):
            return None
        if self._log.place_after(id) is None and not await self._surely(lambda: self._past.holds(last)):
            return None
        while self._log.place_after(id) is None:
            if not (events := await self._surely(partial(self._past.after, last))):
                return None
            subscriber.write(b"".join(framed(event) for event in events if subscriber.wanted.wants(event)))
            last = events[-1].id
            id = parsed(last) or id
            await subscriber.ready()
        await self._reached(id, inf)
        return self._log.place_after(id)

    async def _reached(self, id: Id, seconds: float) -> bool:
        """Wait until the log contains this id or a later one. Returns False when that takes more than ``seconds``."""
        while id > self._log.newest_id:
            if seconds <= 0:
                return False
            seconds -= POLL
            await deferLater(self._clock, POLL)
        return True

    async def _surely(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the result of ``ask``, which is repeated while Redis is unavailable."""
        while True:
            try:
                return await ask()
            except StoreAway:
                await deferLater(self._clock, RETRY_DELAY)
