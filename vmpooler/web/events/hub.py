"""Sends events to all subscribers of this process.

Note [One log, many places]

The stream and the pools are read once for all subscribers, and both are written to one bounded log
(``vmpooler.web.events.log``). A subscriber is only a position in that log. So a slow client costs nothing but its
position. Clients at the same position get the same bytes, which are built once. A client that has fallen behind the
start of the log gets the state, which is always available.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.deferreds import Signal
from vmpooler.domain.events import Event
from vmpooler.settings import Pool
from vmpooler.store.queries.event_log import EventHistory
from vmpooler.store.queries.overview import Overviews
from vmpooler.web.events.intervals import Pace
from vmpooler.web.events.log import MAX_EVENTS_BEHIND, EventLog, Filter
from vmpooler.web.events.pool_state import Model
from vmpooler.web.events.replay import Replay
from vmpooler.web.events.sse import frame, to_json
from vmpooler.web.events.subscriber import Subscriber

BATCH = 100
"""Subscribers that are served in one turn of the reactor: the API answers requests between two turns."""

AT_ONCE = 500
"""Log entries that are sent in one piece."""

SEND_INTERVAL = 0.01
"""Minimum seconds between two rounds of sending. If the last round took longer, the pause is as long as that round."""

RECENT_EVENTS = 50


class Hub:
    """Sends events to ``listeners``. ``about`` has the members of the state that describe the service."""

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
        self.listeners: dict[Subscriber, Deferred[None]] = {}
        self.closed = False
        self._about = about
        self._past = past
        self._clock = clock
        self._pace = pace
        self._journal = EventLog()
        self._missed = Replay(self._journal, past, clock)
        self._model = Model(pools, overviews, clock, wall, pace, self._fill, self._changed, self._known, self._tell_all)
        self._texts: dict[tuple[int, Filter], tuple[bytes, int]] = {}
        self._states: dict[tuple[Filter, bool], tuple[float, bytes]] = {}
        self._filled = False
        self._on_fill = Signal[None]()
        self._telling: Deferred[None] | None = None
        self._resting: Deferred[None] = succeed(None)
        self._again = False
        self._beating = LoopingCall(lambda: Deferred.fromCoroutine(self._beat()))
        self._beating.clock = clock

    @property
    def start(self) -> int:
        """The first position that is still available."""
        return self._journal.start

    @property
    def end(self) -> int:
        """The position after the last entry."""
        return self._journal.end

    def on_event(self, event: Event) -> None:
        """Callback of the event stream: log an event, and send it to the subscribers."""
        if self._journal.happened(event):
            self._forget()
            self._model.on_event(event.pool)
            self._tell_all()

    def join(self, listener: Subscriber, last: str | None) -> None:
        """Serve a subscriber, starting after ``last``, the id of the last event that it received."""
        self.listeners[listener] = succeed(None)
        listener.start(self._leave)
        self._model.start()
        if not self._beating.running:
            self._beating.start(self._pace.beat, now=False)
        self.listeners[listener] = Deferred.fromCoroutine(self._begin(listener, last))
        self.listeners[listener].addErrback(self._failed, listener)

    def close(self) -> None:
        """Disconnect all subscribers, and accept no new ones."""
        self.closed = True
        for listener in list(self.listeners):
            listener.end()

    def text(self, place: int, wanted: Filter) -> tuple[bytes, int]:
        """Return the frames that follow a position, and the position where they end."""
        found = self._texts.get((place, wanted))
        if found is None:
            end = min(self.end, place + AT_ONCE)
            frames, rows = self._journal.since(place, end, wanted)
            if rows is not None:
                frames.append(frame(self._journal.id_at(end), "counts", self._counts(rows)))
            found = self._texts[place, wanted] = (b"".join(frames), end)
        return found

    def state(self, wanted: Filter, gap: bool) -> bytes | None:
        """Return the frame of the complete state at the end of the log; None while the state is not known."""
        if not self._model.ready:
            return None
        now, found = self._states.get((wanted, gap), (None, b""))
        if now != self._model.now:
            rows = {pool: row for pool, row in self._model.rows.items() if wanted.pools is None or pool in wanted.pools}
            recent = [to_json(event) for event in self._journal.recent(RECENT_EVENTS, wanted)]
            data = {"gap": gap, **self._about, **self._counts(rows), "recent": recent}
            found = frame(self._journal.newest, "state", data)
            self._states[wanted, gap] = (self._model.now, found)
        return found

    def trouble(self) -> bytes | None:
        """Return the frame with the reason why the state is not known; None without such a reason."""
        why = self._model.trouble
        return None if why is None else frame(self._journal.newest, "away", {"message": why})

    def _counts(self, rows: Mapping[str, Any]) -> dict[str, Any]:
        return {"now": self._model.now, "pools": list(rows.values()), **self._model.figures}

    def _changed(self, rows: Mapping[str, Any]) -> None:
        self._journal.changed(rows)
        self._forget()
        self._tell_all()

    def _forget(self) -> None:
        """Drop the cached frames after a change."""
        self._texts.clear()
        self._states.clear()

    def _known(self) -> None:
        """Send the state to all subscribers: the pools are known, perhaps again."""
        self._forget()
        for listener in self.listeners:
            listener.owed = True
        self._tell_all()

    def _leave(self, listener: Subscriber) -> None:
        self.listeners.pop(listener).cancel()
        if not self.listeners:
            self._model.stop()
            self._beating.stop()
            self._resting.cancel()

    def _failed(self, failure: Failure, listener: Subscriber) -> None:
        if not failure.check(CancelledError):
            self.log.failure("[!] a listener cannot be told of events", failure)
            listener.end()

    async def _begin(self, listener: Subscriber, last: str | None) -> None:
        """Find the position of a new subscriber. Send it the missed events that the log does not contain."""
        if not self._filled:
            await self._on_fill.wait()
        listener.place = await self._missed.told(listener, last) if last else self.end
        if listener.place is None:
            listener.place, listener.gap = self.end, True
        listener.tell()

    async def _fill(self) -> None:
        """Add events to the log that precede the start of this process."""
        if self._filled:
            return
        self._journal.precede(await self._past.latest(MAX_EVENTS_BEHIND))
        self._filled = True
        self._on_fill.send(None)

    def _tell_all(self) -> None:
        """Send to all subscribers soon. If a round is in progress, another one follows."""
        self._again = True
        if self._telling is None and self.listeners:
            self._telling = Deferred.fromCoroutine(self._rounds())

    async def _rounds(self) -> None:
        await deferLater(self._clock, 0)
        while self._again:
            self._again = False
            began = self._clock.seconds()
            await self._each(Subscriber.tell)
            self._resting = deferLater(self._clock, max(SEND_INTERVAL, self._clock.seconds() - began))
            with suppress(CancelledError):  # the last subscriber has disconnected
                await self._resting
        self._telling = None

    async def _beat(self) -> None:
        await self._each(Subscriber.beat)

    async def _each(self, act: Callable[[Subscriber], None]) -> None:
        everybody = list(self.listeners)
        for first in range(0, len(everybody), BATCH):
            for listener in everybody[first : first + BATCH]:
                self._safely(act, listener)
            await deferLater(self._clock, 0)

    def _safely(self, act: Callable[[Subscriber], None], listener: Subscriber) -> None:
        """Act on one subscriber; an error does not affect the others."""
        try:
            act(listener)
        except Exception:
            self._failed(Failure(), listener)
