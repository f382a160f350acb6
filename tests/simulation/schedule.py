"""One schedule: everything put together, the scheduler's choice of the next step, and the end."""

from __future__ import annotations

from random import Random

import attrs
from twisted.internet.defer import Deferred

from tests.proof.invariants import FULL_AGAIN
from tests.simulation.book import Backup, Book
from tests.simulation.clients import Clients
from tests.simulation.clock import ProcessClock
from tests.simulation.ending import Ending
from tests.simulation.faults import Torment
from tests.simulation.hypervisor import Hypervisor, Order
from tests.simulation.judge import Judge
from tests.simulation.process import Line, Process, Straggler
from tests.simulation.redis import LockStep
from tests.simulation.service import ApiProcess, ManagerProcess
from tests.simulation.stage import Stage
from tests.simulation.variety import faults_of, settings_of, with_another_provider
from tests.simulation.world import World, world_of
from vmpooler.domain.model import Queue
from vmpooler.providers.dummy import DummyProvider
from vmpooler.settings import Dummy, Settings

MANAGERS = 2
APIS = 2

STEPS = (150, 450)
"""How many steps a schedule has at least and at most, while faults go on."""

FILLED = 0.7
"""In how many schedules all begins with full pools."""

BUSY = 0.9
"""How often something that can happen does before time goes on."""

BUSIER = 0.2
"""How often a client asks for something around a loss: soon after the backup, and when it is put back. What is given
then is what counts."""

KNOWN = 15.0
"""Seconds by which a moment may be off that a process measured and sent: half of the longest answer, and the longest
way of a command, also of one that was given up and arrives late, both ways."""

ON_THE_WAY = 30.0
"""Seconds that a command may take from the moment that it was thought of."""

AROUND = 12.0
"""Seconds that this lasts each time: from a backup on, and from when all processes are there again after a loss."""

AFTERWARDS = 80
"""Steps that follow a backup and a loss at the least, in which clients ask."""

RECOVERY = 240.0
"""Seconds in which all pools must be at size again after the last fault and the waits that followed from it: for a
clone that never boots (a minute), one that the provider never began (half a minute), the clones in its place, and an
inventory that does not come (a minute)."""


@attrs.frozen
class Loss:
    """A backup that is put back at a moment, or sooner, see :meth:`Schedule.back_up`."""

    when: float
    backup: Backup
    stamped: bool


UNHEARD = 60.0
"""Seconds in which a process may have measured nothing, because its answers were lost, before its last measurement."""


class Schedule:
    """The schedule of a seed. ``line``, ``kinds`` and ``settings`` are for those who try whether a broken program is
    caught."""

    line: type[Line] = Line
    kinds: tuple[type[ManagerProcess], type[ApiProcess]] = (ManagerProcess, ApiProcess)

    def __init__(self, seed: int, redis: LockStep) -> None:
        chance = Random(seed)
        world = self.world(seed)
        self.stage = stage = Stage(
            with_another_provider(self.settings(chance, world), seed), chance, faults_of(chance, world), world=world
        )
        self.hypervisor_clock = ProcessClock(stage.time)
        dummy = stage.settings.providers["dummy"]
        assert isinstance(dummy, Dummy)
        self.provider = DummyProvider(dummy, self.hypervisor_clock, self.hypervisor_clock.seconds, Random(seed + 1))
        self.judge = Judge(stage, self.provider)
        self.hypervisor = Hypervisor(stage, self.provider, self.judge)
        self.book = Book(stage, redis, self.judge)
        self.clients = Clients(stage, self.judge)
        self.processes: list[Process] = []
        self.recovery = 0.0
        self.judge.has_come = self._has_come
        self.judge.unknown = self._unknown
        self._losses: list[Loss] = []
        self._left = 0
        self._down: list[tuple[float, str]] = []
        self._torment = Torment(self)

    def settings(self, chance: Random, world: World) -> Settings:
        """The pools, and what holds for them."""
        return settings_of(chance, world)

    def world(self, seed: int) -> World:
        """What else can happen."""
        return world_of(seed)

    def run(self) -> None:
        """From the start to the end. Raises Violation."""
        Deferred.fromCoroutine(self.provider.start())
        for number in range(MANAGERS):
            self._start(f"manager-{number + 1}")
        for number in range(APIS):
            self._start(f"api-{number + 1}")
        if self.stage.chance.random() < FILLED or self.stage.world.backup:
            self._fill()
        self._left = self.stage.chance.randint(*STEPS)
        while self._left > 0:
            self._left -= 1
            self._torment.strike()
            self._next()
        self._recover()
        Ending(self).check()

    def close(self) -> None:
        """All ends."""
        for process in self.processes:
            process.forget()

    def kill(self, process: Process, seconds: float) -> None:
        """A process ends; another takes its place so many seconds later."""
        if not process.alive:
            return
        self.processes.remove(process)
        process.die()
        if isinstance(process, ApiProcess):
            self.clients.died(process)
        self._down.append((self.stage.time.now + seconds, process.name))

    def back_up(self, seconds: float, *, stamped: bool = False) -> None:
        """A backup of Redis is made, and put back so many seconds later, unless there is one already. ``stamped``: as
        soon as a VM that a client has got since bears its stamp; then nobody is left who could tell Redis of it."""
        if not self._losses:
            self._losses.append(Loss(self.stage.time.now + seconds, self.book.save(), stamped))
            self.stage.busy_until = self.stage.time.now + AROUND
            self._left = max(self._left, AFTERWARDS)

    def _lose(self, loss: Loss) -> None:
        """Redis is started anew with a backup; some processes end with it."""
        chance = self.stage.chance
        away = chance.uniform(0.2, 3)
        self.stage.note("fault", "puts a backup back", (loss.backup.when, away))
        self.stage.counts["fault: a backup is put back"] += 1
        for process in self.processes:
            process.cut(away)
        self.stage.drop(lambda step: isinstance(step, Straggler))
        for process in self._ending_with(loss):
            self.kill(process, chance.uniform(0, 15))
        now = self.stage.time.now
        self.book.put_back(loss.backup, now + away)
        self.stage.busy_until = max([now, *(when for when, _ in self._down)]) + AROUND
        self._left = max(self._left, AFTERWARDS)
        if not self.processes:
            self.stage.counts["lost: no process lived on"] += 1

    def _ending_with(self, loss: Loss) -> list[Process]:
        """The processes that end with a Redis."""
        chance = self.stage.chance
        gave = {held.asking.api for held in self.judge.stamped_since(loss.backup.when)}
        if loss.stamped and gave and chance.random() < 0.5:
            return [each for each in self.processes if each.name in gave]
        ends = 1.0 if loss.stamped else chance.choice([0.0, 0.0, 0.3, 1.0])
        return [each for each in self.processes if chance.random() < ends]

    def _is_lost_now(self, loss: Loss) -> bool:
        """Whether it is time for a loss."""
        if loss.when <= self.stage.time.now or self.stage.calm:
            return True
        return loss.stamped and any(self.judge.stamped_since(loss.backup.when))

    def _unknown(self, name: str) -> float:
        """The seconds by which the clock that a process goes by may differ from Redis's: what its measurement and its
        message took, and what Redis's clock was set by since it measured, or while its answers may have been lost."""
        known = [each.measured for each in self.processes if each.name == name]
        since = min([self.stage.measured, *known]) - UNHEARD
        return KNOWN + sum(abs(by) for when, by in self.stage.steps_of_redis if when >= since)

    def _has_come(self, name: str, since: float) -> bool:
        """Whether a process has come to Redis since some moment."""
        return any(each.name == name and each.connection.came >= since for each in self.processes)

    def advance(self, seconds: float) -> None:
        """Time goes on, when what is on its way to the provider has arrived."""
        for step in [step for step in self.stage.steps if isinstance(step, Order)]:
            self.stage.steps.remove(step)
            step.take()
        self.stage.time.now += seconds

    def _next(self) -> None:
        """One step."""
        stage, chance = self.stage, self.stage.chance
        self._restart()
        apis = [each for each in self.processes if isinstance(each, ApiProcess) and each.acts]
        if not stage.calm and apis and chance.random() < (BUSIER if stage.time.now < stage.busy_until else 0.06):
            self.clients.act(apis)
        elif not self._work(BUSY):
            self._time_goes_on()

    def _work(self, share: float) -> bool:
        """Something that can happen does, mostly; False when nothing did."""
        stage = self.stage
        if self.hypervisor_clock.due is not None and self.hypervisor_clock.due <= stage.time.now:
            self.hypervisor_clock.fire()
            return True
        ready = [step for step in stage.steps if step.ready]
        due = [each for each in self.processes if each.due]
        if (not ready and not due) or stage.chance.random() > share:
            return False
        stage.counts["steps"] += 1
        number = int(stage.chance.random() * (len(ready) + len(due)))
        if number < len(ready):
            stage.steps.remove(ready[number])
            ready[number].take()
        else:
            due[number - len(ready)].clock.fire()
        return True

    def _time_goes_on(self) -> None:
        """To the next moment at which something is due; what is on its way to the provider arrives in time."""
        clocks = [self.hypervisor_clock, *(each.clock for each in self.processes)]
        moments = [clock.due for clock in clocks if clock.due is not None]
        moments += [loss.when for loss in self._losses]
        moments += [each.frozen_until for each in self.processes] + [when for when, _ in self._down]
        now, orders = self.stage.time.now, [step.latest for step in self.stage.steps if isinstance(step, Order)]
        soonest = min((moment for moment in moments if moment > now), default=now + 1)
        self.stage.time.now = max(now, min([soonest, *orders]))

    def _restart(self) -> None:
        if self._losses and self._is_lost_now(self._losses[0]):
            self._lose(self._losses.pop())
        for each in self._down[:]:
            when, name = each
            if when <= self.stage.time.now:
                self._down.remove(each)
                self._start(name)

    def _start(self, name: str) -> None:
        self.stage.note(name, "begins")
        manager, api = self.kinds
        if name.startswith("manager"):
            self.processes.append(manager(self.stage, self.book, name, self.line, self.hypervisor))
        else:
            self.processes.append(api(self.stage, self.book, name, self.line))

    def _fill(self) -> None:
        """Let the pools come to size before anything goes wrong."""
        self.stage.calm = True
        until = self.stage.time.now + RECOVERY
        while self.stage.time.now < until and not Ending(self).quiet():
            self._calm_step()
        self.stage.calm = False

    def _recover(self) -> None:
        """Faults stop: all processes run, and everything comes right by itself."""
        stage = self.stage
        stage.calm = True
        self.provider.outage(None)
        self._down = [(stage.time.now, name) for _, name in self._down]
        for process in self.processes:
            process.frozen_until = process.cut_until = 0.0
        if "another" in stage.settings.providers:
            self._recover_beside_one_that_is_away()
        began, waits = stage.time.now, Ending(self).waits()
        while stage.time.now < began + RECOVERY + waits and not Ending(self).quiet():
            self._calm_step()
        self.recovery = max(0.0, stage.time.now - began - waits)

    def _recover_beside_one_that_is_away(self) -> None:
        """One of two providers fails until the pools of the other are full again."""
        stage = self.stage
        stage.counts["fault: one of two providers is away"] += 1
        calls = self.hypervisor_clock.calls
        calls[:] = [
            call for call in calls if call.func != stage.away.clear
        ]  # in place: a call that ends removes itself
        stage.away.add("another")
        until = stage.time.now + RECOVERY + Ending(self).waits()
        pools = {pool.name: pool.size for pool in stage.settings.pools if pool.provider != "another"}
        while stage.time.now < until and (sizes := self.sizes()) and any(sizes[name] != pools[name] for name in pools):
            self._calm_step()
        short = {name: size for name, size in self.sizes().items() if name in pools and size != pools[name]}
        stage.tally.hold(FULL_AGAIN, not short, lambda: f"beside a provider that is away there are {short} of {pools}")
        stage.away.clear()

    def _calm_step(self) -> None:
        self._restart()
        if not self._work(1.0):
            self._time_goes_on()

    def sizes(self) -> dict[str, int]:
        """How many VMs of each pool are ready."""
        return {pool.name: len(self.book.sight.standing(pool.name, Queue.READY)) for pool in self.stage.settings.pools}
