"""The event stream read again: how many VMs were ready when, and where each VM stands at the end."""

import bisect
from collections.abc import Sequence

from vmpooler.domain.events import Event, What

READY_AFTER = {What.READY: 1, What.RETURNED: 1, What.CHECKOUT: -1}


class Replay:
    """What the events say, by themselves."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self._moments: dict[str, list[float]] = {}
        self._counts: dict[str, list[int]] = {}
        for event in events:
            change = READY_AFTER.get(event.what, 0)
            if event.what is What.COMPLETED and event.more["queue"] == "ready":
                change = -1
            if change:
                counts = self._counts.setdefault(event.pool, [0])
                counts.append(counts[-1] + change)
                self._moments.setdefault(event.pool, []).append(float(event.id.split("-")[0]) / 1000)

    def fewest_ready(self, pool: str, begin: float, end: float) -> int:
        """The smallest number of ready VMs that a pool had at any moment of an interval, in epoch seconds."""
        moments, counts = self._moments.get(pool, []), self._counts.get(pool, [0])
        first, last = bisect.bisect_left(moments, begin), bisect.bisect_right(moments, end)
        return min(counts[first : last + 1])

    def gaps(self, before: What, after: What) -> list[float]:
        """Seconds from each event of one kind to the next of another in the same pool, the n-th to the n-th."""
        found = []
        for pool in {event.pool for event in self.events}:
            ours = [event for event in self.events if event.pool == pool]
            starts = [event.when for event in ours if event.what is before]
            index = next((i for i, event in enumerate(ours) if event.what is before), len(ours))
            ends = [event.when for event in ours[index:] if event.what is after]
            found += [end - start for start, end in zip(starts, ends, strict=False)]
        return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of all lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
