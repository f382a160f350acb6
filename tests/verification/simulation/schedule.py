"""One schedule: all parts together, the scheduler's choice of the next step, and the end."""

from __future__ import annotations

from random import Random

import attrs
from twisted.internet.defer import Deferred

from tests.verification.proof.invariants import FULL_AGAIN
from tests.verification.simulation.book import Book, RedisBackup
from tests.verification.simulation.clients import SimulatedClients
from tests.verification.simulation.clock import ProcessClock
from tests.verification.simulation.faults import StepFaults
from tests.verification.simulation.final_checks import FinalChecks
from tests.verification.simulation.hypervisor import Hypervisor, ProviderCall
from tests.verification.simulation.judge import Judge
from tests.verification.simulation.process import SimulatedConnection, SimulatedProcess, Straggler
from tests.verification.simulation.redis import LockStep
from tests.verification.simulation.service import ApiProcess, ManagerProcess
from tests.verification.simulation.simulation import Simulation
from tests.verification.simulation.variety import faults_of, settings_of, with_another_provider
from tests.verification.simulation.world import SimulationWorld, world_of
from vmpooler.domain.model import Queue
from vmpooler.providers.dummy import Dummy, DummyProvider
from vmpooler.settings import Settings

MANAGERS = 2
APIS = 2

STEPS = (150, 450)
"""Minimum and maximum number of steps of a schedule while faults happen."""

FILLED = 0.7
"""Share of schedules that begin with full pools."""

BUSY = 0.9
"""Probability that a possible step is taken before time advances."""

BUSIER = 0.2
"""Probability that a client sends a request around a loss: soon after the backup, and after it is put back. The VMs
given then are the ones that matter."""

KNOWN = 15.0
"""Seconds by which a moment that a process measured and sent may be off. This is half of the longest round trip, and
the longest delay of a command, including one that was given up and arrives late, in both directions."""

ON_THE_WAY = 30.0
"""Seconds that a command may take from the moment of its creation."""

AROUND = 12.0
"""Seconds of each busy period: from a backup on, and from the moment when all processes are back after a loss."""

AFTERWARDS = 80
"""Minimum number of steps after a backup and after a loss, in which clients send requests."""

RECOVERY = 240.0
"""Seconds in which all pools must be at size again after the last fault and the waits that followed from it. They cover
a clone that never boots (a minute), one that the provider never started (half a minute), the clones that replace
them, and an inventory that does not arrive (a minute)."""


@attrs.frozen
class PlannedLoss:
    """A backup that is put back at a moment or earlier, see :meth:`Schedule.back_up`."""

    when: float
    backup: RedisBackup
    stamped: bool


UNMEASURED = 60.0
"""Seconds before its last measurement in which a process may have measured nothing, because its replies were lost."""


class Schedule:
    """The schedule of a seed. ``line``, ``kinds`` and ``settings`` are for tests that check that a broken program is
    caught."""

    line: type[SimulatedConnection] = SimulatedConnection
    kinds: tuple[type[ManagerProcess], type[ApiProcess]] = (ManagerProcess, ApiProcess)

    def __init__(self, seed: int, redis: LockStep) -> None:
        chance = Random(seed)
        world = self.world(seed)
        self.simulation = simulation = Simulation(
            with_another_provider(self.settings(chance, world), seed), chance, faults_of(chance, world), world=world
        )
        self.hypervisor_clock = ProcessClock(simulation.time)
        dummy = simulation.settings.providers["dummy"]
        assert isinstance(dummy, Dummy)
        self.provider = DummyProvider(dummy, self.hypervisor_clock, self.hypervisor_clock.seconds, Random(seed + 1))
        self.judge = Judge(simulation, self.provider)
        self.hypervisor = Hypervisor(simulation, self.provider, self.judge)
        self.book = Book(simulation, redis, self.judge)
        self.clients = SimulatedClients(simulation, self.judge)
        self.processes: list[SimulatedProcess] = []
        self.recovery = 0.0
        self.judge.has_come = self._has_come
        self.judge.unknown = self._unknown
        self._losses: list[PlannedLoss] = []
        self._left = 0
        self._down: list[tuple[float, str]] = []
        self._faults = StepFaults(self)

    def settings(self, chance: Random, world: SimulationWorld) -> Settings:
        """Return the pools and their settings."""
        return settings_of(chance, world)

    def world(self, seed: int) -> SimulationWorld:
        """Return the world: which further faults can happen."""
        return world_of(seed)

    def run(self) -> None:
        """Run from the start to the end. Raises Violation."""
        Deferred.fromCoroutine(self.provider.start())
        for number in range(MANAGERS):
            self._start(f"manager-{number + 1}")
        for number in range(APIS):
            self._start(f"api-{number + 1}")
        if self.simulation.chance.random() < FILLED or self.simulation.world.backup:
            self._fill()
        self._left = self.simulation.chance.randint(*STEPS)
        while self._left > 0:
            self._left -= 1
            self._faults.strike()
            self._next()
        self._recover()
        FinalChecks(self).check()

    def close(self) -> None:
        """Clean up all processes."""
        for process in self.processes:
            process.forget()

    def kill(self, process: SimulatedProcess, seconds: float) -> None:
        """End a process. Another one replaces it after this many seconds."""
        if not process.alive:
            return
        self.processes.remove(process)
        process.die()
        if isinstance(process, ApiProcess):
            self.clients.died(process)
        self._down.append((self.simulation.time.now + seconds, process.name))

    def back_up(self, seconds: float, *, stamped: bool = False) -> None:
        """Make a backup of Redis and put it back after this many seconds, unless a backup already exists.

        ``stamped``: put it back as soon as a VM that a client got since then has its stamp; mostly no process is left
        then that could replay the checkout.
        """
        if not self._losses:
            self._losses.append(PlannedLoss(self.simulation.time.now + seconds, self.book.save(), stamped))
            self.simulation.busy_until = self.simulation.time.now + AROUND
            self._left = max(self._left, AFTERWARDS)

    def _lose(self, loss: PlannedLoss) -> None:
        """Restart Redis with a backup. Some processes end with it."""
        chance = self.simulation.chance
        away = chance.uniform(0.2, 3)
        self.simulation.note("fault", "puts a backup back", (loss.backup.when, away))
        self.simulation.counts["fault: a backup is put back"] += 1
        for process in self.processes:
            process.cut(away)
        self.simulation.drop(lambda step: isinstance(step, Straggler))
        for process in self._ending_with(loss):
            self.kill(process, chance.uniform(0, 15))
        now = self.simulation.time.now
        self.book.put_back(loss.backup, now + away)
        self.simulation.busy_until = max([now, *(when for when, _ in self._down)]) + AROUND
        self._left = max(self._left, AFTERWARDS)
        if not self.processes:
            self.simulation.counts["lost: no process lived on"] += 1

    def _ending_with(self, loss: PlannedLoss) -> list[SimulatedProcess]:
        """Return the processes that end together with Redis."""
        chance = self.simulation.chance
        gave = {held.asking.api for held in self.judge.stamped_since(loss.backup.when)}
        if loss.stamped and gave and chance.random() < 0.5:
            return [each for each in self.processes if each.name in gave]
        ends = 1.0 if loss.stamped else chance.choice([0.0, 0.0, 0.3, 1.0])
        return [each for each in self.processes if chance.random() < ends]

    def _is_lost_now(self, loss: PlannedLoss) -> bool:
        """Whether it is time for a loss."""
        if loss.when <= self.simulation.time.now or self.simulation.calm:
            return True
        return loss.stamped and any(self.judge.stamped_since(loss.backup.when))

    def _unknown(self, name: str) -> float:
        """Return the seconds by which the clock of a process may differ from Redis's clock. They cover the duration of
        its measurement and its message, and the steps of Redis's clock since it measured, or while its replies may
        have been lost."""
        known = [each.measured for each in self.processes if each.name == name]
        since = min([self.simulation.measured, *known]) - UNMEASURED
        return KNOWN + sum(abs(by) for when, by in self.simulation.steps_of_redis if when >= since)

    def _has_come(self, name: str, since: float) -> bool:
        """Whether a process has connected to Redis since a moment."""
        return any(each.name == name and each.connection.came >= since for each in self.processes)

    def advance(self, seconds: float) -> None:
        """Advance the time after everything on its way to the provider has arrived."""
        for step in [step for step in self.simulation.steps if isinstance(step, ProviderCall)]:
            self.simulation.steps.remove(step)
            step.take()
        self.simulation.time.now += seconds

    def _next(self) -> None:
        """Take one step."""
        simulation, chance = self.simulation, self.simulation.chance
        self._restart()
        apis = [each for each in self.processes if isinstance(each, ApiProcess) and each.acts]
        if (
            not simulation.calm
            and apis
            and chance.random() < (BUSIER if simulation.time.now < simulation.busy_until else 0.06)
        ):
            self.clients.act(apis)
        elif not self._work(BUSY):
            self._time_goes_on()

    def _work(self, share: float) -> bool:
        """Take a possible step with probability ``share``. Returns False when no step was taken."""
        simulation = self.simulation
        if self.hypervisor_clock.due is not None and self.hypervisor_clock.due <= simulation.time.now:
            self.hypervisor_clock.fire()
            return True
        ready = [step for step in simulation.steps if step.ready]
        due = [each for each in self.processes if each.due]
        if (not ready and not due) or simulation.chance.random() > share:
            return False
        simulation.counts["steps"] += 1
        number = int(simulation.chance.random() * (len(ready) + len(due)))
        if number < len(ready):
            simulation.steps.remove(ready[number])
            ready[number].take()
        else:
            due[number - len(ready)].clock.fire()
        return True

    def _time_goes_on(self) -> None:
        """Advance to the next moment at which something is due. What is on its way to the provider arrives in time."""
        clocks = [self.hypervisor_clock, *(each.clock for each in self.processes)]
        moments = [clock.due for clock in clocks if clock.due is not None]
        moments += [loss.when for loss in self._losses]
        moments += [each.frozen_until for each in self.processes] + [when for when, _ in self._down]
        now, orders = (
            self.simulation.time.now,
            [step.latest for step in self.simulation.steps if isinstance(step, ProviderCall)],
        )
        soonest = min((moment for moment in moments if moment > now), default=now + 1)
        self.simulation.time.now = max(now, min([soonest, *orders]))

    def _restart(self) -> None:
        if self._losses and self._is_lost_now(self._losses[0]):
            self._lose(self._losses.pop())
        for each in self._down[:]:
            when, name = each
            if when <= self.simulation.time.now:
                self._down.remove(each)
                self._start(name)

    def _start(self, name: str) -> None:
        self.simulation.note(name, "begins")
        manager, api = self.kinds
        if name.startswith("manager"):
            self.processes.append(manager(self.simulation, self.book, name, self.line, self.hypervisor))
        else:
            self.processes.append(api(self.simulation, self.book, name, self.line))

    def _fill(self) -> None:
        """Let the pools reach their size before any fault happens."""
        self.simulation.calm = True
        until = self.simulation.time.now + RECOVERY
        while self.simulation.time.now < until and not FinalChecks(self).quiet():
            self._calm_step()
        self.simulation.calm = False

    def _recover(self) -> None:
        """Stop the faults: all processes run, and the service recovers without help."""
        simulation = self.simulation
        simulation.calm = True
        self.provider.outage(None)
        self._down = [(simulation.time.now, name) for _, name in self._down]
        for process in self.processes:
            process.frozen_until = process.cut_until = 0.0
        if "another" in simulation.settings.providers:
            self._recover_beside_one_that_is_away()
        began, waits = simulation.time.now, FinalChecks(self).waits()
        while simulation.time.now < began + RECOVERY + waits and not FinalChecks(self).quiet():
            self._calm_step()
        self.recovery = max(0.0, simulation.time.now - began - waits)

    def _recover_beside_one_that_is_away(self) -> None:
        """Let one of two providers fail until the pools of the other are full again."""
        simulation = self.simulation
        simulation.counts["fault: one of two providers is away"] += 1
        calls = self.hypervisor_clock.calls
        calls[:] = [
            call for call in calls if call.func != simulation.away.clear
        ]  # in place: a call that ends removes itself
        simulation.away.add("another")
        until = simulation.time.now + RECOVERY + FinalChecks(self).waits()
        pools = {pool.name: pool.size for pool in simulation.settings.pools if pool.provider != "another"}
        while (
            simulation.time.now < until
            and (sizes := self.sizes())
            and any(sizes[name] != pools[name] for name in pools)
        ):
            self._calm_step()
        short = {name: size for name, size in self.sizes().items() if name in pools and size != pools[name]}
        simulation.tally.hold(
            FULL_AGAIN, not short, lambda: f"beside a provider that is away there are {short} of {pools}"
        )
        simulation.away.clear()

    def _calm_step(self) -> None:
        self._restart()
        if not self._work(1.0):
            self._time_goes_on()

    def sizes(self) -> dict[str, int]:
        """Return the number of ready VMs of each pool."""
        return {
            pool.name: len(self.book.sight.standing(pool.name, Queue.READY)) for pool in self.simulation.settings.pools
        }
