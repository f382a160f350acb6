"""Replays the event stream: how many VMs were ready at each moment, and the time between events."""

import bisect
from collections.abc import Sequence

from vmpooler.domain.events import Event, What

ENTERS = frozenset({What.READY, What.RETURNED})
LEAVES = frozenset({What.CHECKOUT, What.COMPLETED, What.RESTORED, What.QUARANTINED, What.DESTROYED})
"""The events after which a VM is ready (ENTERS), and after which it is not (LEAVES)."""


class EventReplay:
    """The state according to the events alone.

    A ready VM that is missing at the provider is not given to a client, so it is not counted.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self._moments: dict[str, list[float]] = {}
        self._counts: dict[str, list[int]] = {}
        ready: dict[str, set[str]] = {}
        missing: set[str] = set()
        for event in events:
            ours = ready.setdefault(event.pool, set())
            if event.what in ENTERS:
                ours.add(event.vm)
            elif event.what in LEAVES:
                ours.discard(event.vm)
            if event.what is What.MISSING:
                missing.add(event.vm)
            elif event.what in (What.FOUND, *ENTERS, *LEAVES):
                missing.discard(event.vm)
            counts = self._counts.setdefault(event.pool, [0])
            if (now := len(ours - missing)) != counts[-1]:
                counts.append(now)
                self._moments.setdefault(event.pool, []).append(float(event.id.split("-")[0]) / 1000)

    def fewest_ready(self, pool: str, begin: float, end: float) -> int:
        """Return the minimum number of ready VMs of a pool in an interval, given in epoch seconds."""
        moments, counts = self._moments.get(pool, []), self._counts.get(pool, [0])
        first, last = bisect.bisect_left(moments, begin), bisect.bisect_right(moments, end)
        return min(counts[first : last + 1])

    def gaps(self, before: What, after: What) -> list[float]:
        """Return the seconds between the n-th event of one kind and the n-th of another in the same pool.

        Events of the second kind count from the first event of the first kind on.
        """
        found = []
        for pool in {event.pool for event in self.events}:
            ours = [event for event in self.events if event.pool == pool]
            starts = [event.when for event in ours if event.what is before]
            index = next((i for i, event in enumerate(ours) if event.what is before), len(ours))
            ends = [event.when for event in ours[index:] if event.what is after]
            found += [end - start for start, end in zip(starts, ends, strict=False)]
        return found


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of all values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
