"""Reads past events from the event stream, which keeps a limited number of them."""

from collections.abc import Callable, Sequence

from vmpooler.domain.events import Event
from vmpooler.store import keys
from vmpooler.store.redis.scripts import RedisCommands
from vmpooler.store.stored import paired

PAGE_SIZE = 500
"""Number of events per read."""

NO_EVENT = "0-0"
"""The event id that means: no event yet."""

Entries = Sequence[tuple[str, Sequence[str]]]


class EventHistory:
    """The events of the stream, which keeps about the last ``kept``. All methods raise StoreAway."""

    def __init__(self, connection: RedisCommands, kept: int) -> None:
        self._connection = connection
        self._kept = kept

    async def holds(self, id: str) -> bool:
        """Return whether the stream still has every event after this one."""
        if id == NO_EVENT:
            return bool(await self._connection.call("XLEN", keys.EVENTS) < self._kept)
        return bool(await self._connection.call("XRANGE", keys.EVENTS, id, id))

    async def after(self, id: str) -> list[Event]:
        """Return the next events after this one, at most PAGE_SIZE; an empty list at the end of the stream."""
        while page := await self._connection.call("XRANGE", keys.EVENTS, f"({id}", "+", "COUNT", PAGE_SIZE):
            if found := _events(page):
                return found
            id = page[-1][0]
        return []

    async def newest(self) -> str:
        """Return the id of the newest event; NO_EVENT when the stream is empty."""
        entries = await self._connection.call("XREVRANGE", keys.EVENTS, "+", "-", "COUNT", 1)
        return str(entries[0][0]) if entries else NO_EVENT

    async def latest(self, count: int, wanted: Callable[[Event], bool] | None = None, pages: int = 10) -> list[Event]:
        """Return the last ``count`` events that ``wanted`` accepts (None: all), oldest first.

        At most ``pages`` pages of the stream are searched.
        """
        found: list[Event] = []
        last = "+"
        for _ in range(pages):
            page = await self._connection.call("XREVRANGE", keys.EVENTS, last, "-", "COUNT", PAGE_SIZE)
            found += [event for event in _events(page) if wanted is None or wanted(event)]
            if len(page) < PAGE_SIZE or len(found) >= count:
                break
            last = f"({page[-1][0]}"
        return found[:count][::-1]


def _events(entries: Entries) -> list[Event]:
    made = (Event.of(id, paired(flat)) for id, flat in entries)
    return [event for event in made if event is not None]
