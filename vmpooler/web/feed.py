"""All who listen to events in this process, and what they are told.

Note [One log, many places]

The stream is read once, the pools are looked at once, and both make one bounded log (``vmpooler.web.journal``). A
listener is but a place in it. So a slow client costs nothing but its place; clients at the same place are told the same
bytes, put together once; and one that fell behind what the log still has is told the state, which is always at hand.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.domain.events import Event
from vmpooler.settings import Pool
from vmpooler.store.overview import Overviews
from vmpooler.store.past import Past
from vmpooler.web.frames import frame, told
from vmpooler.web.journal import KEPT, Filter, Journal
from vmpooler.web.listener import Listener
from vmpooler.web.missed import Missed
from vmpooler.web.model import Model
from vmpooler.web.pace import Pace

BATCH = 100
"""Listeners that are served in one turn of the reactor: the API answers between two."""

AT_ONCE = 500
"""Entries of the log that are sent in one piece."""

REST = 0.01
"""Seconds between two rounds of telling, at least; else as long as the last one took."""

RECENT = 50


class Feed:
    """Tells ``listeners`` what happens. ``about`` is what the state says of the service."""

    log = Logger()

    def __init__(
        self,
        pools: tuple[Pool, ...],
        overviews: Overviews,
        past: Past,
        clock: IReactorTime,
        wall: Callable[[], float],
        pace: Pace,
        about: Mapping[str, Any],
    ) -> None:
        self.listeners: dict[Listener, Deferred[None]] = {}
        self.closed = False
        self._about = about
        self._past = past
        self._clock = clock
        self._pace = pace
        self._journal = Journal()
        self._missed = Missed(self._journal, past, clock)
        self._model = Model(pools, overviews, clock, wall, pace, self._fill, self._changed, self._known, self._tell_all)
        self._texts: dict[tuple[int, Filter], tuple[bytes, int]] = {}
        self._states: dict[tuple[Filter, bool], tuple[float, bytes]] = {}
        self._filled = False
        self._waiting: list[Deferred[None]] = []
        self._telling: Deferred[None] | None = None
        self._resting: Deferred[None] = succeed(None)
        self._again = False
        self._beating = LoopingCall(lambda: Deferred.fromCoroutine(self._beat()))
        self._beating.clock = clock

    @property
    def start(self) -> int:
        """The first place that can be told from."""
        return self._journal.start

    @property
    def end(self) -> int:
        """The place after all that happened."""
        return self._journal.end

    def heard(self, event: Event) -> None:
        """Something happened: a listener of the event stream."""
        if self._journal.happened(event):
            self._forget()
            self._model.heard(event.pool)
            self._tell_all()

    def join(self, listener: Listener, last: str | None) -> None:
        """Serve a listener, from ``last`` on, the id of the last event that it knows."""
        self.listeners[listener] = succeed(None)
        listener.start(self._leave)
        self._model.start()
        if not self._beating.running:
            self._beating.start(self._pace.beat, now=False)
        self.listeners[listener] = Deferred.fromCoroutine(self._begin(listener, last))
        self.listeners[listener].addErrback(self._failed, listener)

    def close(self) -> None:
        """Hang up on all, and serve nobody any more."""
        self.closed = True
        for listener in list(self.listeners):
            listener.end()

    def text(self, place: int, wanted: Filter) -> tuple[bytes, int]:
        """What there is to tell from a place on, and up to which place that is."""
        found = self._texts.get((place, wanted))
        if found is None:
            end = min(self.end, place + AT_ONCE)
            frames, rows = self._journal.since(place, end, wanted)
            if rows is not None:
                frames.append(frame(self._journal.id_at(end), "counts", self._counts(rows)))
            found = self._texts[place, wanted] = (b"".join(frames), end)
        return found

    def state(self, wanted: Filter, gap: bool) -> bytes | None:
        """Everything, as it is at the end; None while that is not known."""
        if not self._model.ready:
            return None
        now, found = self._states.get((wanted, gap), (None, b""))
        if now != self._model.now:
            rows = {pool: row for pool, row in self._model.rows.items() if wanted.pools is None or pool in wanted.pools}
            recent = [told(event) for event in self._journal.recent(RECENT, wanted)]
            data = {"gap": gap, **self._about, **self._counts(rows), "recent": recent}
            found = frame(self._journal.newest, "state", data)
            self._states[wanted, gap] = (self._model.now, found)
        return found

    def trouble(self) -> bytes | None:
        """Why nothing is known; None when that is not so."""
        why = self._model.trouble
        return None if why is None else frame(self._journal.newest, "away", {"message": why})

    def _counts(self, rows: Mapping[str, Any]) -> dict[str, Any]:
        return {"now": self._model.now, "pools": list(rows.values()), **self._model.figures}

    def _changed(self, rows: Mapping[str, Any]) -> None:
        self._journal.changed(rows)
        self._forget()
        self._tell_all()

    def _forget(self) -> None:
        """Something is new: what was put together is old."""
        self._texts.clear()
        self._states.clear()

    def _known(self) -> None:
        """The pools are known, maybe again: everybody is to see them."""
        self._forget()
        for listener in self.listeners:
            listener.owed = True
        self._tell_all()

    def _leave(self, listener: Listener) -> None:
        self.listeners.pop(listener).cancel()
        if not self.listeners:
            self._model.stop()
            self._beating.stop()
            self._resting.cancel()

    def _failed(self, failure: Failure, listener: Listener) -> None:
        if not failure.check(CancelledError):
            self.log.failure("[!] a listener cannot be told of events", failure)
            listener.end()

    async def _begin(self, listener: Listener, last: str | None) -> None:
        """Find the place of a new listener; tell it what the log here does not have of what it missed."""
        if not self._filled:
            waiter: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiter)
            await waiter
        listener.place = await self._missed.told(listener, last) if last else self.end
        if listener.place is None:
            listener.place, listener.gap = self.end, True
        listener.tell()

    async def _fill(self) -> None:
        """Have the log begin before this process did."""
        if self._filled:
            return
        self._journal.precede(await self._past.latest(KEPT))
        self._filled = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _tell_all(self) -> None:
        """Tell everybody soon: again after a round that is under way."""
        self._again = True
        if self._telling is None and self.listeners:
            self._telling = Deferred.fromCoroutine(self._rounds())

    async def _rounds(self) -> None:
        await deferLater(self._clock, 0)
        while self._again:
            self._again = False
            began = self._clock.seconds()
            await self._each(Listener.tell)
            self._resting = deferLater(self._clock, max(REST, self._clock.seconds() - began))
            with suppress(CancelledError):  # nobody listens any more
                await self._resting
        self._telling = None

    async def _beat(self) -> None:
        await self._each(Listener.beat)

    async def _each(self, act: Callable[[Listener], None]) -> None:
        everybody = list(self.listeners)
        for first in range(0, len(everybody), BATCH):
            for listener in everybody[first : first + BATCH]:
                self._safely(act, listener)
            await deferLater(self._clock, 0)

    def _safely(self, act: Callable[[Listener], None], listener: Listener) -> None:
        """What goes wrong with one listener is no trouble of the others."""
        try:
            act(listener)
        except Exception:
            self._failed(Failure(), listener)
