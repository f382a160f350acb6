"""Random faults: processes die and freeze, connections break, VMs vanish, time leaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.verification.simulation.service import ManagerProcess
from vmpooler.domain.model import Queue
from vmpooler.store import keys

if TYPE_CHECKING:
    from tests.verification.simulation.schedule import Schedule

OUTAGE = "no route to the hypervisor"


class StepFaults:
    """All faults that can happen between two steps."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._simulation = schedule.simulation
        self._planted = 0
        faults = schedule.simulation.faults
        self._kinds: list[tuple[float, str, Callable[[], None]]] = [
            (faults.crash, "process dies", self._crash),
            (faults.leave, "process ends", self._leave),
            (faults.freeze, "process freezes", self._freeze),
            (faults.cut, "Redis is away", self._cut),
            (faults.vanish, "VM vanishes", self._vanish),
            (faults.meddle, "VM is meddled with", self._meddle),
            (faults.plant, "foreign VM appears", self._plant),
            (faults.outage, "provider is away", self._outage),
            (faults.leap, "time leaps", self._leap),
            (schedule.simulation.world.backup, "a backup is made", self._backup),
            (schedule.simulation.world.step, "a clock is set", self._set_clock),
            (schedule.simulation.world.expire, "a record expires", self._expire),
            (schedule.simulation.world.evict, "a key vanishes", self._evict),
        ]

    def strike(self) -> None:
        """Let each fault happen with its probability."""
        for percent, name, happen in self._kinds:
            if percent and self._schedule.processes and self._simulation.strikes(percent, name):
                happen()

    def _crash(self) -> None:
        victim = self._simulation.chance.choice(self._schedule.processes)
        self._simulation.note("fault", "kills", victim.name)
        self._schedule.kill(victim, self._seconds(0, 15))

    def _leave(self) -> None:
        managers = [each for each in self._schedule.processes if isinstance(each, ManagerProcess)]
        if managers:
            victim = self._simulation.chance.choice(managers)
            self._simulation.note("fault", "ends", victim.name)
            victim.leave(lambda: self._schedule.kill(victim, 1.0))

    def _freeze(self) -> None:
        victim = self._simulation.chance.choice(self._schedule.processes)
        victim.frozen_until = self._simulation.time.now + self._seconds(1, 30)
        self._simulation.note("fault", "freezes", victim.name, victim.frozen_until)

    def _cut(self) -> None:
        processes = self._schedule.processes
        victims = processes if self._simulation.chance.random() < 0.5 else [self._simulation.chance.choice(processes)]
        seconds = self._seconds(0.1, 10)
        self._simulation.note("fault", "cuts from Redis", [each.name for each in victims], seconds)
        for each in victims:
            each.cut(seconds)

    def _vanish(self) -> None:
        if vm := self._some_vm():
            self._simulation.note("fault", "destroys", vm)
            self._schedule.provider.vanish(vm)

    def _meddle(self) -> None:
        if vm := self._some_vm(Queue.PENDING, Queue.READY):
            self._simulation.note("fault", "meddles with", vm)
            if self._simulation.chance.random() < 0.5:
                self._schedule.provider.switch_off(vm)
            else:
                self._schedule.provider.rename(vm, "another")

    def _plant(self) -> None:
        self._planted += 1
        name, stamped = f"9{self._planted:014d}", self._simulation.chance.random() < 0.5
        pool = self._simulation.chance.choice(self._simulation.settings.pools).name
        self._simulation.note("fault", "plants", (name, pool, stamped))
        if not stamped:
            self._schedule.judge.foreign.add(name)
        self._schedule.provider.plant(pool, name, stamped)

    def _outage(self) -> None:
        self._simulation.note("fault", "cuts from the provider")
        if "another" in self._simulation.settings.providers:
            self._simulation.counts["fault: one of two providers is away"] += 1
            self._simulation.away.add("another")
            self._schedule.hypervisor_clock.callLater(self._seconds(1, 40), self._simulation.away.clear)
            return
        self._schedule.provider.outage(OUTAGE)
        self._schedule.hypervisor_clock.callLater(self._seconds(1, 40), self._schedule.provider.outage, None)

    def _leap(self) -> None:
        self._schedule.advance(self._seconds(10, 200))

    def _backup(self) -> None:
        chance, gives = self._simulation.chance, self._gives()
        kind = chance.choices(["short", "long", "stamped", "none"], [30, 20, 100, 0] if gives else [15, 10, 0, 75])[0]
        self._simulation.note("fault", "makes a backup", kind)
        if kind != "none":
            span = {"short": (0.2, 2), "long": (5, 60), "stamped": (30, 60)}[kind]
            self._schedule.back_up(self._seconds(*span), stamped=kind == "stamped")

    def _gives(self) -> bool:
        """Whether a client that asks now would get a VM."""
        doubted, verified = self._schedule.book.redis.ask(("EXISTS", keys.DOUBTED), ("SMEMBERS", keys.VERIFIED))
        return any(
            queue is Queue.READY and (not doubted or pool in verified)
            for pool, queue in self._schedule.judge.expected.values()
        )

    def _set_clock(self) -> None:
        """Set the clock of Redis's host or of another host, forward or back."""
        by = self._seconds(-self._simulation.world.set_by, self._simulation.world.set_by)
        if self._simulation.chance.random() < 0.4:
            self._simulation.note("fault", "sets Redis's clock", by)
            self._simulation.ahead += by
            self._simulation.steps_of_redis.append((self._simulation.time.now, by))
        else:
            victim = self._simulation.chance.choice(self._schedule.processes)
            self._simulation.note("fault", "sets a clock", (victim.name, by))
            victim.fast += by

    def _expire(self) -> None:
        """Let a key that has an expiry end: the record of a VM that is gone, or the history of any VM."""
        vms = sorted({event.vm for event in self._schedule.book.events if event.vm})
        gone = [vm for vm in vms if vm not in self._schedule.judge.expected]
        if gone and self._simulation.chance.random() < 0.6:
            self._schedule.book.drop("record", self._simulation.chance.choice(gone))
        elif vms:
            self._schedule.book.drop("history", self._simulation.chance.choice(vms))

    def _evict(self) -> None:
        """Remove a key that no process deleted: the running queue of a pool, or the record of a VM in use."""
        held = sorted(self._schedule.judge.held)
        if held and self._simulation.chance.random() < 0.5:
            self._schedule.book.drop("record", self._simulation.chance.choice(held))
        else:
            self._schedule.book.drop("running", self._simulation.chance.choice(self._simulation.settings.pools).name)

    def _some_vm(self, *queues: Queue) -> str | None:
        """Return a VM that the provider has. If queues are given, it stands in one of them."""
        there = list(self._schedule.provider.vms())
        wanted = [vm for vm in there if self._schedule.judge.expected.get(vm, ("", None))[1] in queues]
        return self._simulation.chance.choice(wanted if queues else there) if (wanted if queues else there) else None

    def _seconds(self, least: float, most: float) -> float:
        return self._simulation.chance.uniform(least, most)
