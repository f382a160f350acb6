"""What is judged of every step: the invariants that hold at each moment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tests.proof.invariants import ACCOUNTED, NOT_REFUSED, ONE_CLIENT, ONE_EVENT, ONE_QUEUE, WITHIN_LIMITS
from tests.simulation.book import Place, Sight
from tests.simulation.redis import Command
from tests.simulation.request import Asking
from tests.simulation.stage import Stage
from vmpooler.domain.checkout import Catalogue, Wanted
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.providers.dummy import DummyProvider

MOVES: Mapping[What, tuple[Queue | None, Queue | None]] = {
    What.CLONE: (None, Queue.PENDING),
    What.READY: (Queue.PENDING, Queue.READY),
    What.CHECKOUT: (Queue.READY, Queue.RUNNING),
    What.RETURNED: (Queue.RUNNING, Queue.READY),
    What.DESTROYED: (Queue.COMPLETED, None),
    What.DISCOVERED: (None, Queue.DISCOVERED),
    What.EXPLAINED: (Queue.DISCOVERED, None),
}
"""From which queue an event takes its VM to which; ``completed`` says from which."""

ROUNDING = 1.0
"""Seconds by which a moment in a record may be early: it is kept in whole ones."""

LIFETIME = re.compile(r"^lifetime (\d+) hours")


@attrs.define
class Holding:
    """A VM that was checked out: by which request, when, and how many hours it lives."""

    asking: Asking
    since: float
    hours: float


class Judge:
    """Follows every event, and compares with what is there."""

    def __init__(self, stage: Stage, hypervisor: DummyProvider) -> None:
        self.foreign: set[str] = set()
        self.held: dict[str, Holding] = {}
        self.expected: dict[str, Place] = {}
        self._stage = stage
        self._tally = stage.tally
        self._hypervisor = hypervisor
        self._sizes = {pool.name: pool.size for pool in stage.settings.pools}
        self._limit = stage.settings.general.task_limit
        self._catalogue = Catalogue(stage.settings.pools)

    def changed(self, before: Sight, events: Sequence[Event], after: Sight, who: str, behalf: Asking | None) -> None:
        """A command was carried out."""
        for event in events:
            self._stage.counts[f"event: {event.what}"] += 1
            if behalf is not None:
                behalf.events.append(event)
            self._follow(event, behalf)
        twice = {vm: places for vm, places in after.places.items() if len(places) != 1}
        self._tally.hold(ONE_QUEUE, not twice, lambda: f"in several queues: {twice}")
        lost = self.expected.keys() - after.places.keys()
        self._tally.hold(ONE_QUEUE, not lost, lambda: f"in no queue: {sorted(lost)}")
        seen = {vm: places[0] for vm, places in after.places.items()}
        self._tally.hold(ONE_EVENT, seen == self.expected, lambda: f"events tell {self.expected}, there is {seen}")
        fits = after.counted == len(after.cloning) <= self._limit
        told = f"{after.counted} clones are counted, {len(after.cloning)} under way, {self._limit} allowed"
        self._tally.hold(WITHIN_LIMITS, fits, lambda: told)

    def _follow(self, event: Event, behalf: Asking | None) -> None:
        if event.what is What.CLONE:
            self._ordered(event)
        elif event.what is What.CHANGED and (hours := LIFETIME.match(event.why)) and event.vm in self.held:
            self.held[event.vm].hours = float(hours[1])
        if event.what is What.COMPLETED:
            self._move(event, Queue(event.more["queue"]), Queue.COMPLETED)
        elif event.what in MOVES:
            self._move(event, *MOVES[event.what])
        self._hold_to_clients(event, behalf)

    def _move(self, event: Event, source: Queue | None, target: Queue | None) -> None:
        place = self.expected.pop(event.vm, None)
        known = (event.pool, source) if source else None
        self._tally.hold(ONE_EVENT, place == known, lambda: f"{event} tells of a VM that stands in {place}")
        if target is not None:
            self.expected[event.vm] = (event.pool, target)

    def _ordered(self, event: Event) -> None:
        places = list(self.expected.values())
        there = sum(places.count((event.pool, queue)) for queue in (Queue.PENDING, Queue.READY))
        told = f"{event.vm} was ordered for {event.pool} with {there} pending and ready"
        self._tally.hold(WITHIN_LIMITS, there < self._sizes[event.pool], lambda: told)

    def _hold_to_clients(self, event: Event, behalf: Asking | None) -> None:
        vm, held = event.vm, self.held.get(event.vm)
        if event.what is What.CHECKOUT:
            assert behalf is not None, "a checkout for nobody"
            self._tally.hold(ONE_CLIENT, held is None, lambda: f"{vm} was given to {held}, now to {behalf}")
            general = self._stage.settings.general
            hours = (general.vm_lifetime_auth if behalf.token else 0) or general.vm_lifetime
            self.held[vm] = Holding(behalf, event.when, hours)
            behalf.taken.append(vm)
        elif event.what in (What.UNCLAIMED, What.RETURNED) and held is not None:
            told = f"{vm} was taken back from {held.asking}, which got it"
            self._tally.hold(ONE_CLIENT, not held.asking.succeeded, lambda: told)
            del self.held[vm]
        elif event.what is What.COMPLETED and held is not None:
            allowed = self._may_end(event, held, behalf)
            told = f"{vm} was completed ({event.why}) while {held.asking} has it, for {held.hours} hours"
            self._tally.hold(ONE_CLIENT, allowed, lambda: f"{told} since {event.when - held.since:.3f} s")
            del self.held[vm]

    def _may_end(self, event: Event, held: Holding, behalf: Asking | None) -> bool:
        deleted = behalf is not None and behalf.kind == "delete" and behalf.vm == event.vm
        over = event.when >= held.since + held.hours * 3600 - ROUNDING
        return deleted or over

    def checked_out(self, before: Sight, command: Command, reply: Any, asking: Asking) -> None:
        """A checkout was answered."""
        wanted = self._catalogue.wanted(asking.wanted)
        there = self._hypervisor.vms().keys()  # ready VMs that are missing need not be given
        ready = {pool: len(there & {*before.standing(pool, Queue.READY)}) for pool in self._sizes}
        if reply[0] == "empty":
            self._tally.hold(NOT_REFUSED, not possible(wanted, ready), lambda: f"{asking} was refused with {ready}")
            asking.too_few = True

    def destroying(self, vm: str) -> None:
        """The provider is told to destroy a VM."""
        self._tally.hold(ACCOUNTED, vm not in self.foreign, lambda: f"{vm}, which is foreign, is destroyed")
        self._tally.hold(ONE_CLIENT, vm not in self.held, lambda: f"{vm} is destroyed, which {self.held[vm]} has")

    def cloned(self) -> None:
        """The provider has begun a clone."""
        now = self._stage.time.now
        pending = {vm for vm, (_, queue) in self.expected.items() if queue is Queue.PENDING}
        under_way = [vm.name for vm in self._hypervisor.vms().values() if vm.cloning(now) and vm.name in pending]
        told = f"the provider clones {under_way}, {self._limit} are allowed"
        self._tally.hold(WITHIN_LIMITS, len(under_way) <= self._limit, lambda: told)


def possible(wanted: Sequence[Wanted], ready: Mapping[str, int]) -> bool:
    """Whether all that is wanted can be had at once: each VM goes to one who takes its pool."""
    slots = [(pool, number) for pool, count in ready.items() for number in range(count)]
    taken: dict[tuple[str, int], Wanted] = {}

    def place(want: Wanted, tried: set[tuple[str, int]]) -> bool:
        for slot in slots:
            if slot[0] in want.pools and slot not in tried:
                tried.add(slot)
                if slot not in taken or place(taken[slot], tried):
                    taken[slot] = want
                    return True
        return False

    return all(place(want, set()) for want in wanted for _ in range(want.count))
