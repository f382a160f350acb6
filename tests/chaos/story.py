"""The events told again: where each VM stood when, and which of them could not have happened."""

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

Id = tuple[int, int]


def id_of(text: str) -> Id:
    """The id of an event, as it grows."""
    moment, _, number = text.partition("-")
    return int(moment), int(number)


def moment(event: Event) -> float:
    """When Redis wrote it, in seconds since the epoch; a millisecond may be cut off."""
    return id_of(event.id)[0] / 1000


@attrs.define
class Story:
    """What the events say. ``wrong`` are those that cannot follow upon the ones before. ``crowded`` are the clones that
    were ordered while the pool was full. ``at`` has where each VM stood after the events that were asked for."""

    of: dict[str, list[Event]] = attrs.field(factory=dict)
    wrong: list[str] = attrs.field(factory=list)
    crowded: list[str] = attrs.field(factory=list)
    at: dict[str, dict[str, str]] = attrs.field(factory=dict)
    stands: dict[str, str] = attrs.field(factory=dict)
    moves: int = 0

    def happened(self, vm: str, what: What) -> list[Event]:
        """The events of that kind of a VM."""
        return [event for event in self.of.get(vm, ()) if event.what is what]


def story_of(events: Sequence[Event], marks: Iterable[str], sizes: Mapping[str, int]) -> Story:
    """The story that events tell, with a look after each of the events whose ids are ``marks``."""
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
