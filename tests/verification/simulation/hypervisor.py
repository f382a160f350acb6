"""The provider as a manager process reaches it: orders are sent, carried out and answered, each at its own time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.verification.simulation.judge import Judge
from tests.verification.simulation.process import Sent, SimulatedProcess
from tests.verification.simulation.simulation import Simulation
from vmpooler.domain.guest import Guest, Holder
from vmpooler.providers.base import Listener, NoAnswer, ProviderError
from vmpooler.providers.dummy import DummyProvider
from vmpooler.settings import Pool

READS = frozenset({"inventory", "find", "probe"})
"""Calls that only read from the provider. Every process may make them."""

GLANCE = 0.1
"""Seconds until an order that may not be sent is tried again."""

ON_THE_WAY = 1.0
"""Seconds that an order may take to reach the provider. Time does not advance past this before the order has arrived.
"""


class Hypervisor:
    """The one hypervisor, which outlives every process. With two providers, both use it."""

    def __init__(self, simulation: Simulation, provider: DummyProvider, judge: Judge) -> None:
        self.simulation = simulation
        self.provider = provider
        self.judge = judge
        self._listening: list[tuple[SimulatedProcess, Listener]] = []
        provider.changes(self._changed)

    def listen(self, process: SimulatedProcess, listener: Listener) -> None:
        """Notify a process of changes while it lives."""
        self._listening = [each for each in self._listening if each[0].alive]
        self._listening.append((process, listener))

    def _changed(self, pool: str) -> None:
        for process, listener in self._listening:
            if process.alive and not self.simulation.strikes(self.simulation.faults.lose, "news of the provider lost"):
                self.simulation.steps.append(News(process, partial(listener, pool)))


class News:
    """A notification or a reply of the provider to a process."""

    def __init__(self, process: SimulatedProcess, deliver: Callable[[], None]) -> None:
        self.process = process
        self._deliver = deliver

    @property
    def ready(self) -> bool:
        """Whether the process can receive it."""
        return self.process.acts

    def take(self) -> None:
        """Deliver it."""
        self._deliver()


class ProviderCall(Sent):
    """A call on its way to the provider."""

    def __init__(self, process: SimulatedProcess, hypervisor: Hypervisor, what: str, args: tuple[Any, ...]) -> None:
        self.process = process
        self.answer: Deferred[Any] = Deferred(lambda _: None)
        self.since = process.simulation.time.now
        self._hypervisor = hypervisor
        self._what = what
        self._args = args
        self.ready = True

    @property
    def latest(self) -> float:
        """The latest moment at which it arrives."""
        return self.since + ON_THE_WAY

    def take(self) -> None:
        """Deliver the order, refuse it, or lose its reply."""
        simulation, faults = self.process.simulation, self.process.simulation.faults
        if self._args[0].provider in simulation.away:
            self._end(Failure(ProviderError("no route to this provider")))
        elif simulation.strikes(faults.refuse, "provider refuses"):
            self._end(Failure(ProviderError("the provider cannot")))
        elif self._what == "probe" and simulation.strikes(faults.deaf, "guest does not answer"):
            self._end(Failure(NoAnswer("the guest is busy")))
        else:
            lost = simulation.strikes(faults.lose, "answer of the provider lost")
            done = self._arrive()
            if lost:
                done.addErrback(lambda _: None)
                self._end(Failure(ProviderError("the provider does not answer")))
            else:
                done.addBoth(self._end)

    def orphan(self) -> None:
        """Arrive although the process has ended, or never."""
        if self.process.simulation.chance.random() < 0.5:
            self._arrive().addErrback(lambda _: None)

    def _arrive(self) -> Deferred[Any]:
        simulation, judge = self.process.simulation, self._hypervisor.judge
        simulation.counts[f"provider: {self._what}"] += 1
        simulation.note(self.process.name, "orders", (self._what, *(getattr(arg, "name", arg) for arg in self._args)))
        if self._what == "destroy":
            judge.destroying(self._args[1])
        done = Deferred.fromCoroutine(getattr(self._hypervisor.provider, self._what)(*self._args))
        if self._what == "clone":
            judge.cloned()
        return done

    def _end(self, outcome: Any) -> None:
        if self.process.alive:
            self.process.simulation.steps.append(News(self.process, lambda: self._answered(outcome)))

    def _answered(self, outcome: Any) -> None:
        if not self.answer.called:
            result = outcome.getErrorMessage() if isinstance(outcome, Failure) else outcome
            self.process.simulation.note(self.process.name, f"receives the result of {self._what}", result)
            self.answer.callback(outcome)


class Front:
    """The provider of one process."""

    def __init__(self, process: SimulatedProcess, hypervisor: Hypervisor, may_order: Callable[[], bool]) -> None:
        self._process = process
        self._hypervisor = hypervisor
        self._may_order = may_order
        self._stopped = False

    async def prepare(self) -> None:
        """Do nothing: the provider already runs."""

    async def start(self) -> None:
        """Do nothing: the provider already runs."""

    async def stop(self) -> None:
        """Never send the orders that still wait. The provider itself keeps running."""
        self._stopped = True

    def trouble(self) -> str:
        """Return an empty text: this provider reports no trouble."""
        return ""

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        found: Mapping[str, Guest] = await self._order("inventory", pool)
        return found

    async def find(self, pool: Pool, name: str) -> Guest | None:
        found: Guest | None = await self._order("find", pool, name)
        return found

    async def clone(self, pool: Pool, name: str) -> None:
        await self._order("clone", pool, name)

    async def destroy(self, pool: Pool, name: str) -> None:
        await self._order("destroy", pool, name)

    async def power_on(self, pool: Pool, name: str) -> None:
        await self._order("power_on", pool, name)

    async def probe(self, pool: Pool, guest: Guest) -> None:
        await self._order("probe", pool, guest)

    async def stamp(self, pool: Pool, name: str, holder: Holder | None) -> None:
        await self._order("stamp", pool, name, holder)

    async def add_disk(self, pool: Pool, name: str, size: int, id: str) -> None:
        await self._order("add_disk", pool, name, size, id)

    async def snapshot(self, pool: Pool, name: str, snapshot: str) -> None:
        await self._order("snapshot", pool, name, snapshot)

    async def revert(self, pool: Pool, name: str, snapshot: str) -> None:
        await self._order("revert", pool, name, snapshot)

    def changes(self, listener: Listener) -> None:
        self._hypervisor.listen(self._process, listener)

    async def _order(self, what: str, *args: Any) -> Any:
        if not self._process.alive:
            return await Deferred()
        while what not in READS and not self._may_order():
            if self._stopped:
                raise ProviderError("another process gives the orders")
            await deferLater(self._process.clock, GLANCE)
        order = ProviderCall(self._process, self._hypervisor, what, args)
        self._process.simulation.steps.append(order)
        return await order.answer
