"""Replays the events: where each VM stood at which time, and which events are not possible."""

from collections.abc import Iterable, Mapping, Sequence

import attrs

from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue

GONE = "gone"

MOVES: Mapping[What, tuple[str | None, str]] = {
    What.CLONE: (None, Queue.PENDING),
    What.READY: (Queue.PENDING, Queue.READY),
    What.CHECKOUT: (Queue.READY, Queue.RUNNING),
    What.RETURNED: (Queue.RUNNING, Queue.READY),
    What.DESTROYED: (Queue.COMPLETED, GONE),
    What.EXPLAINED: (Queue.DISCOVERED, GONE),
}
"""The transitions: from which queue to which."""

RELEASES = (What.UNCLAIMED, What.RETURNED)
"""The events that end a checkout which its client never received. An unclaimed VM stays in running at first."""

Id = tuple[int, int]


def id_of(text: str) -> Id:
    """Return the id of an event in a form that can be compared."""
    moment, _, number = text.partition("-")
    return int(moment), int(number)


def moment(event: Event) -> float:
    """When Redis wrote the event, in seconds since the epoch; up to a millisecond may be truncated."""
    return id_of(event.id)[0] / 1000


@attrs.define
class Story:
    """The result of the replay. ``wrong`` are events that cannot follow the ones before. ``crowded`` are clones that
    were ordered while the pool was full. ``at`` has the place of each VM after the events that were asked for."""

    of: dict[str, list[Event]] = attrs.field(factory=dict)
    wrong: list[str] = attrs.field(factory=list)
    crowded: list[str] = attrs.field(factory=list)
    at: dict[str, dict[str, str]] = attrs.field(factory=dict)
    stands: dict[str, str] = attrs.field(factory=dict)
    moves: int = 0

    def happened(self, vm: str, what: What) -> list[Event]:
        """Return the events of that kind of a VM."""
        return [event for event in self.of.get(vm, ()) if event.what is what]


def story_of(events: Sequence[Event], marks: Iterable[str], sizes: Mapping[str, int]) -> Story:
    """Replay events, and record the places of all VMs after each event whose id is in ``marks``."""
    found = Story()
    waiting = sorted(set(marks), key=id_of)
    pools: dict[str, str] = {}
    for event in events:
        while waiting and id_of(waiting[0]) < id_of(event.id):
            found.at[waiting.pop(0)] = dict(found.stands)
        if event.what is What.CLONE and _filled(found, pools, event.pool) >= sizes[event.pool]:
            found.crowded.append(f"{event.vm} was ordered when {event.pool} was full")
        pools[event.vm] = event.pool
        if event.vm:
            found.of.setdefault(event.vm, []).append(event)
            _move(found, event)
    for mark in waiting:
        found.at[mark] = dict(found.stands)
    return found


def _filled(story: Story, pools: Mapping[str, str], pool: str) -> int:
    alive = (Queue.PENDING, Queue.READY)
    return sum(queue in alive and pools[vm] == pool for vm, queue in story.stands.items())


def _move(story: Story, event: Event) -> None:
    stands = story.stands.get(event.vm)
    match event.what:
        case What.COMPLETED:
            expected: str | None = event.more.get("queue")
            to = str(Queue.COMPLETED)
        case What.DISCOVERED:
            expected, to = stands if stands in (None, GONE) else "nowhere", Queue.DISCOVERED
        case What.SETTLED:
            story.wrong.append(f"{event.vm} stood in several queues: {event.why}")
            return
        case _ if event.what in MOVES:
            expected, to = MOVES[event.what]
        case _:
            return
    story.moves += 1
    if stands != expected:
        story.wrong.append(f"{event.vm}: {event.what} ({event.id}) of a VM that was {stands or 'nowhere'}")
    if to == GONE:
        story.stands.pop(event.vm, None)
    else:
        story.stands[event.vm] = to
