"""Checks of every step: the invariants that hold at each moment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import attrs

from tests.verification.proof.invariants import ACCOUNTED, NOT_REFUSED, ONE_CLIENT, ONE_EVENT, ONE_QUEUE, WITHIN_LIMITS
from tests.verification.simulation.book import Place, Sight
from tests.verification.simulation.redis import Command
from tests.verification.simulation.request import Asking
from tests.verification.simulation.simulation import Simulation
from vmpooler.domain.events import Event, What
from vmpooler.domain.guest import Holder
from vmpooler.domain.model import Queue
from vmpooler.providers.dummy import DummyProvider
from vmpooler.store.commands.checkouts import Catalogue, Wanted
from vmpooler.store.failover.recovery import FORGOTTEN_AFTER

MOVES: Mapping[What, tuple[Queue | None, Queue | None]] = {
    What.CLONE: (None, Queue.PENDING),
    What.READY: (Queue.PENDING, Queue.READY),
    What.CHECKOUT: (Queue.READY, Queue.RUNNING),
    What.RETURNED: (Queue.RUNNING, Queue.READY),
    What.DESTROYED: (Queue.COMPLETED, None),
    What.DISCOVERED: (None, Queue.DISCOVERED),
    What.EXPLAINED: (Queue.DISCOVERED, None),
}
"""From which queue to which an event moves its VM. A ``completed`` event names the source queue itself."""

TO_A_CLIENT = (What.RESTORED, What.QUARANTINED)
"""Events that move a VM from any place to running, because a client has it or may have it."""

SAID_AGAIN = 60.0
"""Seconds for which a process can replay its recent writes."""

WAITED_FOR = 4.0
"""Minimum seconds that recovery waits for processes after a loss."""

ROUNDING = 1.0
"""Seconds by which a moment in a record may be early: records keep whole seconds."""

LIFETIME = re.compile(r"^lifetime (\d+) hours")


@attrs.define
class Holding:
    """A VM that was checked out: by which request, when by the clock of its process, and how many hours it lives.

    ``id`` is the id of the checkout, ``given`` the moment when it happened. ``changes`` are the changes of its
    lifetime. ``loss`` is set while Redis has lost the checkout and does not have it back; ``was_lost``: Redis had lost
    it, or a key of it vanished.
    """

    asking: Asking
    since: float
    hours: float
    id: str
    given: float
    changes: list[LifetimeChange] = attrs.field(factory=list)
    loss: LostWrite | None = None
    was_lost: bool = False

    @property
    def is_unowned(self) -> bool:
        """Whether the VM need not go back although no client got it. After Redis lost a checkout, the process that made
        it cannot find it any more. The VM is ready, or runs until its lifetime ends if its stamp names the checkout."""
        return self.was_lost or self.loss is not None


@attrs.define
class LifetimeChange:
    """A change of a lifetime: which request asked for it, when, the hours before it, and whether Redis lost it."""

    asking: Asking | None
    event: str
    when: float
    before: float
    loss: LostWrite | None = None


@attrs.frozen
class LostWrite:
    """Redis lost a checkout or a change. ``back``: when it answered again. ``stamped``: the VM's stamp had it then."""

    back: float
    stamped: bool


class Judge:
    """Follows every event and compares the result with the contents of Redis."""

    def __init__(self, simulation: Simulation, hypervisor: DummyProvider) -> None:
        self.foreign: set[str] = set()
        self.held: dict[str, Holding] = {}
        self.expected: dict[str, Place] = {}
        self._losses = 0
        self.dropped_of: set[str] = set()
        self._asked: dict[int, Asking] = {}
        self.unknown: Callable[[str], float] = lambda who: 0.0
        self.has_come: Callable[[str, float], bool] = lambda name, since: True
        self.released: set[str] = set()
        self._simulation = simulation
        self._tally = simulation.tally
        self._hypervisor = hypervisor
        self._sizes = {pool.name: pool.size for pool in simulation.settings.pools}
        self._limit = simulation.settings.general.task_limit
        self._catalogue = Catalogue(simulation.settings.pools)

    def changed(self, before: Sight, events: Sequence[Event], after: Sight, who: str, behalf: Asking | None) -> None:
        """Check the state after a command was executed."""
        if behalf is not None:
            behalf.done, self._asked[behalf.number] = self._simulation.time.now, behalf
        for event in events:
            self._simulation.counts[f"event: {event.what}"] += 1
            if behalf is not None:
                behalf.events.append(event)
            self._follow(event, after.withheld, behalf, who)
        twice = {vm: places for vm, places in after.places.items() if len(places) != 1}
        self._tally.hold(ONE_QUEUE, not twice, lambda: f"in several queues: {twice}")
        lost = self.expected.keys() - after.places.keys()
        self._tally.hold(ONE_QUEUE, not lost, lambda: f"in no queue: {sorted(lost)}")
        seen = {vm: places[0] for vm, places in after.places.items()}
        self._tally.hold(ONE_EVENT, seen == self.expected, lambda: f"the events say {self.expected}, there is {seen}")
        away = {pool.name for pool in self._simulation.settings.pools if pool.provider in self._simulation.away}
        self.released |= {vm for vm in before.cloning - after.cloning if self.expected.get(vm, ("",))[0] in away}
        fits = after.counted == len(after.cloning) <= self._limit
        finding = f"{after.counted} clones are counted, {len(after.cloning)} under way, {self._limit} allowed"
        self._tally.hold(WITHIN_LIMITS, fits, lambda: finding)

    def _follow(self, event: Event, withheld: Set[str], behalf: Asking | None, who: str) -> None:
        if event.what is What.CLONE:
            self._ordered(event, withheld)
        elif event.what is What.CHANGED and (hours := LIFETIME.match(event.why)) and event.vm in self.held:
            held = self.held[event.vm]
            held.changes.append(LifetimeChange(behalf, event.id, self._simulation.time.now, held.hours))
            held.hours = float(hours[1])
        if event.what in TO_A_CLIENT:
            self.expected[event.vm] = (event.pool, Queue.RUNNING)
        elif event.what is What.COMPLETED:
            self._move(event, Queue(event.more["queue"]), Queue.COMPLETED)
        elif event.what in MOVES:
            self._move(event, *MOVES[event.what])
        off = event.when - self._simulation.sent
        self._hold_to_clients(event, behalf, off <= self.unknown(who))
        if event.what is What.CHECKOUT:
            finding = f"{event} was {off:.1f} s off Redis's clock, which {who} could know to {self.unknown(who):.1f} s"
            self._tally.hold(ONE_CLIENT, abs(off) <= self.unknown(who), lambda: finding)

    def _move(self, event: Event, source: Queue | None, target: Queue | None) -> None:
        place = self.expected.pop(event.vm, None)
        known = (event.pool, source) if source else None
        self._tally.hold(ONE_EVENT, place == known, lambda: f"{event} is about a VM that stands in {place}")
        if target is not None:
            self.expected[event.vm] = (event.pool, target)

    def _ordered(self, event: Event, withheld: Set[str]) -> None:
        places = list(self.expected.values())
        there = sum(places.count((event.pool, queue)) for queue in (Queue.PENDING, Queue.READY))
        there -= sum(self.expected.get(vm) == (event.pool, Queue.READY) for vm in withheld)
        finding = f"{event.vm} was ordered for {event.pool} with {there} pending and ready"
        self._tally.hold(WITHIN_LIMITS, there < self._sizes[event.pool], lambda: finding)

    def _hold_to_clients(self, event: Event, behalf: Asking | None, knew: bool) -> None:
        """Check an event against the clients that have VMs. ``knew``: the moment of the event is not further ahead than
        the process's knowledge of Redis's clock allows."""
        vm, held = event.vm, self.held.get(event.vm)
        if event.what is What.CHECKOUT:
            assert behalf is not None, "a checkout without a request"
            free = held is None or self._excused(vm, held, "given again")
            self._tally.hold(ONE_CLIENT, free, lambda: f"{vm} was given to {held}, now to {behalf}")
            general = self._simulation.settings.general
            hours = (general.vm_lifetime_auth if behalf.token else 0) or general.vm_lifetime
            self.held[vm] = Holding(behalf, event.when, hours, event.more["checkout_id"], self._simulation.time.now)
            behalf.taken.append(vm)
        elif event.what is What.RESTORED and held is not None and event.more["checkout_id"] == held.id:
            held.was_lost, held.loss = held.was_lost or held.loss is not None, None
        elif event.what in (What.UNCLAIMED, What.RETURNED) and held is not None:
            finding = f"{vm} was taken back from {held.asking}, which got it"
            allowed = not held.asking.succeeded or self._excused(vm, held, "taken back")
            self._tally.hold(ONE_CLIENT, allowed, lambda: finding)
            del self.held[vm]
        elif event.what is What.COMPLETED and held is not None:
            allowed = self._may_end(event, held, behalf, knew) or self._excused(vm, held, "completed")
            finding = f"{vm} was completed ({event.why}) while {held.asking} has it, for {held.hours} hours"
            self._tally.hold(ONE_CLIENT, allowed, lambda: f"{finding} since {event.when - held.since:.3f} s")
            held.asking.ended.append(vm)
            del self.held[vm]

    def _may_end(self, event: Event, held: Holding, behalf: Asking | None, knew: bool) -> bool:
        deleted = behalf is not None and behalf.kind == "delete" and behalf.vm == event.vm
        lives = self._lives(held) * 3600 - ROUNDING
        if self._is_unrecorded(event.vm):
            lives = min(lives, self._simulation.settings.general.vm_lifetime * 3600 - ROUNDING)
        by_clock = knew and event.when >= held.since + lives
        # docs/operations.md: each step of Redis's clock forward takes its seconds from a lifetime
        forward = sum(by for when, by in self._simulation.steps_of_redis if when >= held.given and by > 0)
        return deleted or by_clock or self._simulation.time.now + forward >= held.given + lives

    def _is_unrecorded(self, vm: str) -> bool:
        """Whether no record is left of who has a VM and for how long: its record vanished, and the VM is gone."""
        return vm in self.dropped_of and vm not in self._hypervisor.vms()

    def _lives(self, held: Holding) -> float:
        """Return the minimum hours that a VM lives. Changes that Redis lost may be lost permanently."""
        hours = held.hours
        for change in reversed(held.changes):
            answer_sent = change.asking is not None and change.asking.answer_sent
            if change.loss is None or (answer_sent and not self._is_gone(change.loss, change.asking, change.when)):
                break
            hours = min(hours, change.before)
        return hours

    def lost(self, since: float, events: Sequence[Event], after: Sight, back: float) -> None:
        """Note that Redis lost these events. Clients keep the VMs that they have, with the exceptions of
        :meth:`_excused`."""
        self._losses += 1
        ids = {event.id for event in events}
        self.expected = {vm: places[0] for vm, places in after.places.items()}
        for asking in self._asked.values():
            asking.lost |= any(event.id in ids for event in asking.events) or asking.done >= since  # a login has none
        for vm, held in self.held.items():
            stamped = self._holder(vm)
            on_it = stamped is not None and stamped.checkout_id == held.id
            if any(event.more.get("checkout_id") == held.id for event in events if event.vm == vm):
                held.loss = LostWrite(back, on_it)
                self._simulation.counts[f"lost: a checkout, {'stamped' if on_it else 'not stamped'}"] += 1
            until = stamped.until if on_it and stamped is not None else None
            known = until is not None and until >= held.since + held.hours * 3600 - ROUNDING
            for change in held.changes:
                if change.event in ids:
                    change.loss = LostWrite(back, known)

    def dropped(self, what: str, of: str, after: Sight) -> None:
        """Note that a key vanished. What it said about a VM is no longer checked, but the owner of the VM still is."""
        for vm in self.expected.keys() - after.places.keys() | {of}:
            if vm in self.held:
                self.held[vm].was_lost = True
        self.expected = {vm: places[0] for vm, places in after.places.items()}
        if what == "running":
            return
        self.dropped_of.add(of)
        if what == "record" and (held := self.held.get(of)):
            stamped = self._holder(of)
            if stamped is None or stamped.checkout_id != held.id:
                held.hours = min(held.hours, self._simulation.settings.general.vm_lifetime)
            elif stamped.until is not None:  # the VM's stamp follows a change of the lifetime a little later
                held.hours = min(held.hours, (stamped.until + ROUNDING - held.since) / 3600)

    def stamped_since(self, when: float) -> Iterator[Holding]:
        """Yield the checkouts since a moment that a client received and that the stamp of the VM names."""
        for vm, held in self.held.items():
            stamped = self._holder(vm) if held.given >= when and held.asking.succeeded else None
            if stamped is not None and stamped.checkout_id == held.id:
                yield held

    def astray(self) -> dict[str, Place | None]:
        """Return the VMs that a client has and that do not run, with their places. No excuse makes this acceptable for
        long."""
        there = self._hypervisor.vms()  # a missing VM whose queue vanished is found when it is back
        mine = {vm: held for vm, held in self.held.items() if held.asking.succeeded and not self._excused(vm, held)}
        held = {vm: self.expected.get(vm) for vm, held in mine.items() if vm in there or not held.was_lost}
        return {vm: place for vm, place in held.items() if place is None or place[1] is not Queue.RUNNING}

    def _holder(self, vm: str) -> Holder | None:
        """Return the owner of a VM according to its stamp."""
        guest = self._hypervisor.vms().get(vm)
        return guest.stamp.holder if guest is not None and guest.stamp is not None else None

    def _excused(self, vm: str, held: Holding, what: str = "") -> bool:
        """Whether the claim of a client no longer holds. Redis lost the checkout, and either no client was answered, or
        the loss cannot be repaired. A VM that is gone has no stamp any more. ``what`` happened to the VM is counted
        when the loss cannot be repaired."""
        if held.loss is None:
            return False
        if not held.asking.answer_sent or vm not in self._hypervisor.vms():
            return True
        gone = self._is_gone(held.loss, held.asking, held.given)
        if what:
            self._simulation.counts[f"gap: {what}"] += gone
        return gone

    def _is_gone(self, loss: LostWrite, asking: Asking | None, when: float) -> bool:
        """Whether a loss is permanent. Then the lost write was not yet on the VM's stamp, and the process that made it
        ended, made it too long ago, or did not reconnect before the wait for it was over."""
        if loss.stamped:
            return False
        if asking is None or asking.crashed or loss.back - when > SAID_AGAIN:
            return True
        late = self._simulation.time.now >= loss.back + WAITED_FOR
        return late and not self.has_come(asking.api, loss.back)

    def checked_out(self, before: Sight, command: Command, reply: Any, asking: Asking) -> None:
        """Check the reply to a checkout."""
        wanted = self._catalogue.wanted(asking.wanted)
        there = self._hypervisor.vms().keys()  # ready VMs that are missing need not be given
        ready = {pool: len(there & {*before.standing(pool, Queue.READY)}) for pool in self._sizes}
        if reply[0] == "doubted":
            finding = f"{asking} was refused because pools were not verified, and Redis lost nothing"
            # docs/operations.md: a long step forward lets heartbeats expire, and is taken for a loss.
            stepped = any(by > FORGOTTEN_AFTER for _, by in self._simulation.steps_of_redis)
            self._tally.hold(NOT_REFUSED, self._losses > 0 or stepped, lambda: finding)
            asking.too_few = True
        if reply[0] == "empty":
            self._tally.hold(NOT_REFUSED, not possible(wanted, ready), lambda: f"{asking} was refused with {ready}")
            asking.too_few = True

    def destroying(self, vm: str) -> None:
        """Check an order to the provider to destroy a VM."""
        self._tally.hold(ACCOUNTED, vm not in self.foreign, lambda: f"{vm}, which is foreign, is destroyed")
        free = vm not in self.held or self._excused(vm, self.held[vm], "destroyed")
        self._tally.hold(ONE_CLIENT, free, lambda: f"{vm} is destroyed, which {self.held[vm]} has")

    def cloned(self) -> None:
        """Check the limit when the provider has started a clone."""
        now = self._simulation.time.now
        pending = {vm for vm, (_, queue) in self.expected.items() if queue is Queue.PENDING}
        cloning = [vm.name for vm in self._hypervisor.vms().values() if vm.cloning(now) and vm.name in pending]
        under_way = [vm for vm in cloning if vm not in self.released]
        finding = f"the provider clones {under_way}, {self._limit} are allowed"
        self._tally.hold(WITHIN_LIMITS, len(under_way) <= self._limit, lambda: finding)


def possible(wanted: Sequence[Wanted], ready: Mapping[str, int]) -> bool:
    """Whether all wanted VMs can be given at once: each VM goes to a request that accepts its pool."""
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
