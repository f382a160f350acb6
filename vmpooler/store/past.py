"""What the event stream still holds of what happened."""

from collections.abc import Callable, Sequence

from vmpooler.domain.events import Event
from vmpooler.store import keys
from vmpooler.store.commands import Commands

PAGE = 500
"""Events of one read."""

NOTHING = "0-0"
"""What stands for an event when there has been none."""

Entries = Sequence[tuple[str, Sequence[str]]]


class Past:
    """The stream's events, of which it keeps about ``kept``. Everything here raises StoreAway."""

    def __init__(self, connection: Commands, kept: int) -> None:
        self._connection = connection
        self._kept = kept

    async def holds(self, id: str) -> bool:
        """Whether every event after this one is still there."""
        if id == NOTHING:
            return bool(await self._connection.call("XLEN", keys.EVENTS) < self._kept)
        return bool(await self._connection.call("XRANGE", keys.EVENTS, id, id))

    async def after(self, id: str) -> list[Event]:
        """The next events after this one, some hundreds at the most; none when there are no more."""
        while page := await self._connection.call("XRANGE", keys.EVENTS, f"({id}", "+", "COUNT", PAGE):
            if found := _events(page):
                return found
            id = page[-1][0]
        return []

    async def newest(self) -> str:
        """The id of the newest event."""
        entries = await self._connection.call("XREVRANGE", keys.EVENTS, "+", "-", "COUNT", 1)
        return str(entries[0][0]) if entries else NOTHING

    async def latest(self, count: int, wanted: Callable[[Event], bool] | None = None, pages: int = 10) -> list[Event]:
        """The last so many events that are wanted, the oldest first; so many pages are searched."""
        found: list[Event] = []
        last = "+"
        for _ in range(pages):
            page = await self._connection.call("XREVRANGE", keys.EVENTS, last, "-", "COUNT", PAGE)
            found += [event for event in _events(page) if wanted is None or wanted(event)]
            if len(page) < PAGE or len(found) >= count:
                break
            last = f"({page[-1][0]}"
        return found[:count][::-1]


def _events(entries: Entries) -> list[Event]:
    made = (Event.of(id, dict(zip(flat[::2], flat[1::2], strict=True))) for id, flat in entries)
    return [event for event in made if event is not None]
