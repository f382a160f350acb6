"""Checks made after the faults have stopped: the service has recovered, and every answer was kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.verification.proof.invariants import ACCOUNTED, DURABLE, FULL_AGAIN, NOT_REFUSED, ONE_CLIENT, ONE_EVENT
from tests.verification.simulation.request import Asking
from vmpooler.domain import times
from vmpooler.domain.backoff import backs_off
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import OF_A_CHECKOUT
from vmpooler.store.stored import paired

if TYPE_CHECKING:
    from tests.verification.simulation.schedule import Schedule


class FinalChecks:
    """Checks everything once, at the end of a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._simulation = schedule.simulation
        self._tally = schedule.simulation.tally
        self._redis = schedule.book.redis
        self._judge = schedule.judge

    def waits(self) -> float:
        """Return the seconds still to wait because of earlier failures: for the next retry, or for a grace."""
        until: list[tuple[float, int]] = []
        for pool in self._simulation.settings.pools:
            flat = self._ask("HGETALL", keys.trouble(pool.name))
            troubles = paired(flat).items()
            known = [json.loads(text) for subject, text in troubles if not self._is_lost(subject)]
            until += [(trouble["until"], trouble["tries"]) for trouble in known]
            until += [(task["retry_at"], task["tries"]) for task in self._tasks(pool.name)]
        now = self._simulation.redis_now
        return max((moment - now for moment, tries in until if backs_off(moment, tries, now)), default=0.0)

    def quiet(self) -> bool:
        """Whether no work is left."""
        schedule = self._schedule
        if any(len(schedule.book.sight.standing(pool.name, Queue.READY)) != pool.size for pool in self._pools()):
            return False
        standing = [queue for _, queue in self._judge.expected.values()]
        if Queue.PENDING in standing or Queue.COMPLETED in standing or schedule.clients.open:
            return False
        if any(self._tasks(pool.name) for pool in self._pools()):
            return False
        if any(self._ask("EXISTS", keys.intake(kind)) for kind in Kind) or self._unknown():
            return False
        return self._explained() and not self._unanswered() and not self._judge.astray()

    def _is_lost(self, vm: str) -> bool:
        """Whether a VM in use has vanished. It stays in running until its lifetime ends, and tasks for it wait."""
        there = vm in self._schedule.provider.vms()
        return not there and self._judge.expected.get(vm, ("", None))[1] is Queue.RUNNING

    def _tasks(self, pool: str) -> list[dict[str, Any]]:
        """Return the tasks of a pool that can be done."""
        tasks = [json.loads(text) for text in self._ask("HGETALL", keys.tasks(pool))[1::2]]
        return [task for task in tasks if not self._is_lost(task["vm"])]

    def describe(self) -> str:
        """Describe what is not as it should be."""
        sizes = {pool.name: pool.size for pool in self._pools()}
        where = {vm: f"{pool} {queue}" for vm, (pool, queue) in self._judge.expected.items()}
        unanswered = self._unanswered()
        there = f"{sizes} wanted, there are {self._schedule.sizes()}; all: {where}"
        return f"{there}; no client knows: {unanswered}; not in Redis: {self._unknown()}"

    def check(self) -> None:
        """Check everything. Raises Violation."""
        astray = self._judge.astray()
        self._tally.hold(ONE_CLIENT, not astray, lambda: f"VMs of clients that do not run: {astray}")
        self._tally.hold(FULL_AGAIN, self.quiet(), self.describe)
        for vm in self._schedule.provider.vms():
            finding = f"Redis does not know {vm}, which is ours"
            self._tally.hold(ACCOUNTED, vm not in self._unknown(), partial(str, finding))
        for asking in self._schedule.clients.askings:
            if asking.succeeded:
                self._kept(asking)
            elif asking.status:
                self._unchanged(asking)
        events: dict[str, list[Event]] = {}
        for event in self._schedule.book.events:
            events.setdefault(event.vm, []).append(event)
        for vm, mine in events.items():
            if vm and vm not in self._judge.dropped_of:
                self._replayed(vm, mine)

    def _kept(self, asking: Asking) -> None:
        """Check that what was answered with 2xx has happened and has not been undone."""
        kinds = {event.what for event in asking.events}
        match asking.kind:
            case _ if asking.lost or asking.vm in self._judge.dropped_of:
                return  # of the answers that Redis lost, only the owners of VMs are checked, see judge.py
            case "tag":
                kept = self._record(asking.vm).get(f"tag:{asking.argument}") == "yes"
            case "lifetime":
                kept = What.CHANGED in kinds
            case "delete":
                kept = What.COMPLETED in kinds
            case "login":
                kept = bool(self._ask("EXISTS", keys.token(asking.answer["token"])))
            case "disk" | "snapshot" | "revert":
                kept = self._done(asking)
            case _:
                kept = True
        self._tally.hold(DURABLE, kept, lambda: f"{asking} was not kept")

    def _done(self, asking: Asking) -> bool:
        """Whether a task was done, also at the provider, or was given up with an event that reports it."""
        task = next((event.more["task"] for event in asking.events if event.what is What.REQUESTED), None)
        reported = [each for each in self._schedule.book.events if task and each.more.get("task") == task]
        end = next((each for each in reported if each.what in (What.DONE, What.GAVE_UP)), None)
        vm = self._schedule.provider.vms().get(asking.vm)
        reverted = any(each.kind == "revert" and each.vm == asking.vm for each in self._schedule.clients.askings)
        if end is None or end.what is What.GAVE_UP or vm is None or reverted:
            return end is not None or self._is_lost(asking.vm)
        return asking.kind != "disk" or task in {disk.id for disk in vm.disks}

    def _unchanged(self, asking: Asking) -> None:
        """Check that a refusal changed nothing. When Redis did not answer, the outcome is unknown; a checkout then
        gives back."""
        finding = f"{asking} changed something: {asking.events}"
        if asking.weather:
            self._tally.hold(DURABLE, asking.crashed or not self._keeps(asking), lambda: finding)
        else:
            self._tally.hold(DURABLE, not asking.events, lambda: finding)
            known = asking.kind != "checkout" or asking.status != 503 or asking.too_few
            self._tally.hold(NOT_REFUSED, known, lambda: f"{asking} was refused without a request to Redis")

    def _unanswered(self) -> list[str]:
        """Return the VMs of checkouts that were refused, or whose client hung up. They go back, unless the process
        died."""
        held = self._judge.held.items()
        unanswered = {vm: holding.asking for vm, holding in held if holding.asking.hung_up or holding.asking.weather}
        return [vm for vm, asking in unanswered.items() if not asking.crashed and not self._judge.held[vm].is_unowned]

    def _keeps(self, asking: Asking) -> bool:
        """Whether a VM is still assigned to a client that never received it, and could be given back."""
        return any(holding.asking is asking and not holding.is_unowned for holding in self._judge.held.values())

    def _replayed(self, vm: str, events: list[Event]) -> None:
        """Check that the history of a VM equals its events in the stream, and that the events give its record."""
        entries = [json.loads(entry) for entry in self._ask("LRANGE", keys.history(vm), 0, -1)]
        found = [Event.of(event.id, entry) for event, entry in zip(events, entries, strict=False)]
        equal = len(entries) == len(events) and found == events
        self._tally.hold(ONE_EVENT, equal, lambda: f"the history of {vm} is {entries}, its events are {events}")
        record, replayed = self._record(vm), replay(events)
        differs = {
            name: (value, record.get(name))
            for name, value in replayed.items()
            if not same(record.get(name), value, bounded=bool(self._simulation.steps_of_redis))
        }
        self._tally.hold(ONE_EVENT, not differs, lambda: f"the record of {vm} differs from its events: {differs}")

    def _unknown(self) -> list[str]:
        """Return the VMs of the service that no manager has discovered yet."""
        vms = self._schedule.provider.vms().items()
        return [vm for vm, guest in vms if guest.stamp is not None and vm not in self._judge.expected]

    def _explained(self) -> bool:
        """Whether each discovered VM is foreign or is held back by the mass guard."""
        strange = [(vm, pool) for vm, (pool, queue) in self._judge.expected.items() if queue is Queue.DISCOVERED]
        unstamped = self._judge.foreign
        return all(vm in unstamped or self._ask("HEXISTS", keys.FLAGGED, pool) for vm, pool in strange)

    def _pools(self) -> Any:
        return self._simulation.settings.pools

    def _record(self, vm: str) -> dict[str, str]:
        flat = self._ask("HGETALL", keys.record(vm))
        return paired(flat)

    def _ask(self, *command: str | int) -> Any:
        return self._redis.ask(command)[0]


OF_A_CLAIM = (*OF_A_CHECKOUT, "completed", "destroy", "quarantined")
"""The fields that are rewritten when a client has a VM again, or may have it."""


def replay(events: list[Event]) -> dict[str, str | None]:
    """Return what a record must contain according to the events of its VM; None for a field that it must not have."""
    record: dict[str, str | None] = {}
    for event in events:
        when = times.text(event.when)
        match event.what:  # other events do not change a record
            case What.CLONE:
                record |= {"clone": when, "pool": event.pool}
            case What.CLONED:
                record |= {"clone_time": event.more["seconds"]}
            case What.READY:
                record |= {"ready": when}
            case What.CHECKOUT | What.RESTORED | What.QUARANTINED:
                record = _held(event, record)
            case What.UNCLAIMED | What.RETURNED | What.COMPLETED:
                record |= _no_longer_held(event)
            case What.DESTROYED:
                record |= {"destroy": when}
            case What.DONE:
                record |= _done(event, record)
            case What.CHANGED:
                record |= _changed(event.why)
    return record


def _held(event: Event, record: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the record of a VM that a client has from now on, or again. In the latter case the event lacks the time of
    the checkout."""
    if event.what is What.CHECKOUT:
        rest = {name: value for name, value in record.items() if name not in OF_A_CHECKOUT}
        return rest | {"checkout": times.text(event.when), "checkout_id": event.more["checkout_id"]}
    rest = {name: value for name, value in record.items() if name not in OF_A_CLAIM} | {"unclaimed": None}
    if event.what is What.QUARANTINED:
        return rest | {"checkout": times.text(event.when), "quarantined": event.why}
    return rest | ({"checkout_id": event.more["checkout_id"]} if event.more["checkout_id"] else {})


def _no_longer_held(event: Event) -> dict[str, str | None]:
    """Return the fields that describe the end of a checkout."""
    if event.what is What.COMPLETED:
        return {"completed": times.text(event.when)} if event.more["queue"] == Queue.RUNNING else {}
    unclaimed = event.why if event.what is What.UNCLAIMED else None
    return dict.fromkeys(OF_A_CHECKOUT) | {"unclaimed": unclaimed}


def _done(event: Event, record: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the fields that describe a finished task."""
    argument = event.more["argument"]
    if event.more["kind"] == Kind.DISK:
        return {"disk": ":".join(filter(None, [record.get("disk"), f"+{argument}gb"]))}
    return {f"snapshot:{argument}": times.text(event.when)} if event.more["kind"] == Kind.SNAPSHOT else {}


def same(stored: str | None, replayed: str | None, bounded: bool = False) -> bool:
    """Whether two values are the same. One of two moments may be rounded to whole seconds. ``bounded``: Redis's clock
    was set, and moments in the future were rewritten."""
    if stored is None or replayed is None or stored == replayed:
        return stored == replayed
    moments = times.moment(stored), times.moment(replayed)
    return None not in moments and (bounded or abs((moments[0] or 0) - (moments[1] or 0)) <= 1)


def _changed(why: str) -> dict[str, str | None]:
    """Return the fields that a change sets, parsed from its event."""
    found: dict[str, str | None] = {}
    for part in why.split(", "):
        name, _, value = part.partition("=")
        if value:
            found[f"tag:{name}"] = value
        else:
            found["lifetime"] = part.split(" ")[1]
    return found
