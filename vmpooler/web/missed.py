"""What one who comes back has missed, and from where it is told on."""

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from vmpooler.domain.errors import StoreAway
from vmpooler.store.past import Past
from vmpooler.web.frames import framed
from vmpooler.web.journal import Id, Journal, parsed
from vmpooler.web.listener import Listener
from vmpooler.web.pace import AGAIN

AHEAD = 3.0
"""Seconds that another process may have been ahead of this one in reading the stream."""

POLL = 0.05
"""Seconds between two looks at how far this process has come."""

T = TypeVar("T")


class Missed:
    """Makes up for absences: by the log where it goes back so far, else by the stream in Redis."""

    def __init__(self, journal: Journal, past: Past, clock: IReactorTime) -> None:
        self._journal = journal
        self._past = past
        self._clock = clock

    async def told(self, listener: Listener, last: str) -> int | None:
        """The place after the event ``last``, maybe after telling some from Redis; None when nobody knows it."""
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
        """Wait until the log here has come as far as that; False when that takes longer."""
        while id > self._journal.newest_id:
            if seconds <= 0:
                return False
            seconds -= POLL
            await deferLater(self._clock, POLL)
        return True

    async def _surely(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, though Redis may be away for a while."""
        while True:
            try:
                return await ask()
            except StoreAway:
                await deferLater(self._clock, AGAIN)
