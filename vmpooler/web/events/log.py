"""A bounded log of recent events and changes of pools, shared by all subscribers, in which each has a position.

It holds what clients get: the JSON of events, in the frames of server-sent events (SSE). See docs/events.md.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs

from vmpooler.domain.events import Event, sentence
from vmpooler.web.http import json
from vmpooler.web.http.json import Json

MAX_EVENTS_BEHIND = 2000
"""Entries that a subscriber can be behind without missing one."""

Id = tuple[int, int]


def to_json(event: Event) -> dict[str, Any]:
    """Return the members of an event as clients get them, also in the details of pools and VMs."""
    return attrs.asdict(event) | {"more": dict(event.more), "text": sentence(event)}


def frame(id: str, kind: str, data: Json) -> bytes:
    """Return one SSE event; its client sends ``id`` when it reconnects."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), kind.encode(), json.compact(data))


def framed(event: Event) -> bytes:
    """Return the SSE frame of an event."""
    return frame(event.id, "event", to_json(event))


def parsed(id: str) -> Id | None:
    """Parse the id of a stream entry to a value that can be compared; None when it is malformed."""
    first, _, second = id.partition("-")
    plain = all(part.isascii() and part.isdigit() and len(part) <= 20 for part in (first, second))
    return (int(first), int(second)) if plain else None


def written(id: Id) -> str:
    """Return an id as text."""
    return f"{id[0]}-{id[1]}"


@attrs.frozen
class Filter:
    """The events that a subscriber wants: of these pools, of these VMs; all when None."""

    pools: frozenset[str] | None = None
    vms: frozenset[str] | None = None

    def wants(self, event: Event) -> bool:
        """Return whether the subscriber wants an event."""
        return (self.pools is None or event.pool in self.pools) and (self.vms is None or event.vm in self.vms)


@attrs.frozen(eq=False)
class Happened:
    """An event, and its frame. The frame is built when it is first sent: that costs a tenth of a checkout."""

    event: Event

    @cached_property
    def frame(self) -> bytes:
        """The SSE frame of the event, the same for all subscribers."""
        return framed(self.event)


Rows = Mapping[str, Mapping[str, Any]]
"""Rows of pools that changed, by pool name."""


class EventLog:
    """Events and changed rows in the order in which they are sent. A position is the number of entries before it."""

    def __init__(self) -> None:
        self._entries: list[Happened | Rows] = []
        self._ids: list[Id] = []
        self._start = 0
        self.newest_id: Id = (0, 0)

    @property
    def newest(self) -> str:
        """The id of the newest event."""
        return written(self.newest_id)

    @property
    def start(self) -> int:
        """The first position that is still available."""
        return self._start

    @property
    def end(self) -> int:
        """The position after the last entry."""
        return self._start + len(self._entries)

    def happened(self, event: Event) -> bool:
        """Append an event. Returns False when it is not newer than the events in the log."""
        id = parsed(event.id)
        if id is None or (self._ids and id <= self._ids[-1]):
            return False
        self._enter(Happened(event), id)
        self.newest_id = id
        return True

    def changed(self, rows: Rows) -> None:
        """Append rows that changed."""
        self._enter(rows, self._ids[-1] if self._ids else (0, 0))

    def precede(self, events: Sequence[Event]) -> None:
        """Insert events at the start of the log, if they are older than its first event."""
        first = self._ids[0] if self._ids else None
        older = [(id, event) for event in events if (id := parsed(event.id)) and (first is None or id < first)]
        self._entries[:0] = [Happened(event) for _, event in older]
        self._ids[:0] = [id for id, _ in older]
        self._start -= len(older)
        if first is None and older:
            self.newest_id = older[-1][0]

    def place_after(self, id: Id) -> int | None:
        """Return the position after an event; None when the event is older than the log."""
        if not self._ids:
            return self.end if id == (0, 0) else None
        if id < self._ids[0]:
            return None
        return self._start + bisect_right(self._ids, id)

    def since(self, place: int, end: int, wanted: Filter) -> tuple[list[bytes], dict[str, Any] | None]:
        """Return the frames of the events between two positions, and the newest changed row of each pool.

        None instead of rows means that no change of pools or figures is to be sent.
        """
        frames: list[bytes] = []
        rows: dict[str, Any] = {}
        news = False
        for entry in self._entries[place - self._start : end - self._start]:
            if not isinstance(entry, Happened):
                rows.update(entry)
                news = True
            elif wanted.wants(entry.event):
                frames.append(entry.frame)
        if wanted.pools is not None:
            rows = {pool: row for pool, row in rows.items() if pool in wanted.pools}
            news = bool(rows)
        return frames, rows if news else None

    def id_at(self, place: int) -> str:
        """Return the id of the newest event before a position."""
        id = self._ids[place - self._start - 1] if place > self._start else (0, 0)
        return written(id)

    def recent(self, count: int, wanted: Filter) -> list[Event]:
        """Return the last ``count`` events that are wanted, the oldest first."""
        found: list[Event] = []
        for entry in reversed(self._entries):
            if isinstance(entry, Happened) and wanted.wants(entry.event):
                found.append(entry.event)
                if len(found) == count:
                    break
        return found[::-1]

    def _enter(self, entry: Happened | Rows, id: Id) -> None:
        self._entries.append(entry)
        self._ids.append(id)
        if len(self._entries) >= 2 * MAX_EVENTS_BEHIND:
            del self._entries[:MAX_EVENTS_BEHIND], self._ids[:MAX_EVENTS_BEHIND]
            self._start += MAX_EVENTS_BEHIND
