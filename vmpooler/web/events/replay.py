"""Replays missed events to a reconnecting client."""

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from vmpooler.domain.errors import StoreAway
from vmpooler.store.queries.event_log import EventHistory
from vmpooler.web.events.intervals import RETRY_DELAY
from vmpooler.web.events.log import EventLog, Id, parsed
from vmpooler.web.events.sse import framed
from vmpooler.web.events.subscriber import Subscriber

AHEAD = 3.0
"""Seconds by which another process may have been ahead of this one in reading the stream."""

POLL = 0.05
"""Seconds between two checks of how far this process has read."""

T = TypeVar("T")


class Replay:
    """Replays missed events: from the log when it goes back far enough, else from the stream in Redis."""

    def __init__(self, journal: EventLog, past: EventHistory, clock: IReactorTime) -> None:
        self._journal = journal
        self._past = past
        self._clock = clock

    async def told(self, listener: Subscriber, last: str) -> int | None:
        """Return the position after the event ``last``, if necessary after sending events from Redis.

        The result is None when neither the log nor the stream contains that event.
        """
        id = parsed(last)
        if id is None or not await self._reached(id, AHEAD):
            return None
        if self._journal.place_after(id) is None and not await self._surely(lambda: self._past.holds(last)):
            return None
        while self._journal.place_after(id) is None:
            if not (events := await self._surely(partial(self._past.after, last))):
                return None
            listener.write(b"".join(framed(event) for event in events if listener.wanted.wants(event)))
            last = events[-1].id
            id = parsed(last) or id
            await listener.ready()
        await self._reached(id, inf)
        return self._journal.place_after(id)

    async def _reached(self, id: Id, seconds: float) -> bool:
        """Wait until the log contains this id or a later one. Returns False when that takes more than ``seconds``."""
        while id > self._journal.newest_id:
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
