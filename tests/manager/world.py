"""A manager with a real Redis, the simulated hypervisor, and a clock that the test advances."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from tests.manager.process import Process
from vmpooler.config import load
from vmpooler.domain.admission import FREE
from vmpooler.domain.change import Change
from vmpooler.domain.events import Event, line
from vmpooler.domain.model import Queue
from vmpooler.domain.names import random_name
from vmpooler.domain.tasks import Kind
from vmpooler.providers.dummy import Dummy, DummyProvider
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Catalogue, Checkouts
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.vm_updates import Changes
from vmpooler.store.queries.vms import Vms
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import Script
from vmpooler.store.stream import EventStream

YEARS = 1e8
"""Duration in seconds of a lease that no other manager competes for."""

MORNING = 1_800_000_000.0
"""The time at which every test begins, in epoch seconds."""


class Counted:
    """A connection that counts the commands in flight.

    ``ran`` is called for each script that Redis has executed, before the caller of the script gets the reply.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.under_way = 0
        self.ran: Callable[[Script, Any], object] = lambda script, reply: None

    async def call(self, *args: Any) -> Any:
        return await self._count(self._connection.call(*args))

    async def run(self, script: Script, /, **values: Any) -> Any:
        reply = await self._count(self._connection.run(script, **values))
        self.ran(script, reply)
        return reply

    async def _count(self, work: Any) -> Any:
        self.under_way += 1
        try:
            return await work
        finally:
            self.under_way -= 1


class World:
    """A Redis, a hypervisor and a manager on a virtual clock. Use as ``async with``.

    :meth:`begin` starts more managers. With ``holds``, the duration of a lease in seconds, a new manager waits until
    the lease is free. Without it, a new manager takes over at once. ``hypervisor`` is the class of the provider.
    """

    def __init__(
        self,
        connection: Connection,
        yaml: str,
        hypervisor: type[DummyProvider] = DummyProvider,
        holds: float | None = None,
    ) -> None:
        self.clock = Clock()
        self.clock.rightNow = MORNING
        self.real = connection
        self.counted = Counted(connection)
        self.store = cast(Connection, self.counted)
        self.settings = load(yaml, environ={}, base=Path()).settings
        self.chance = random.Random(7)
        self.events: list[Event] = []
        self.checkouts = Checkouts(self.store, self.settings)
        self.vms = Vms(self.store)
        self.tasks = Tasks(self.store, self.settings, self.chance.choice, "api")
        self.catalogue = Catalogue(self.settings.pools)
        dummy = self.settings.providers["dummy"]
        assert isinstance(dummy, Dummy)
        self.provider = hypervisor(dummy, self.clock, self.clock.seconds, self.chance)
        self.holds = holds or YEARS
        self.alone = holds is None
        self._ends = 0.0
        self.processes: list[Process] = []
        self.unfenced: set[str] = set()
        """Commands and scripts that managers sent without a fence: a newer leader could not have stopped them."""
        self._blocking = connection.reader(30)
        self._stream = EventStream(self._blocking, reactor)
        self.listen = self._stream.listen
        self.listen(self.events.append)

    async def __aenter__(self) -> "World":
        self._blocking.start()
        await self._blocking.wait_ready(5)
        self._stream.start()
        await self.provider.start()
        await self.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stream.stop()
        await self._blocking.close()
        for process in self.processes:
            if process.runs:
                await process.stop()
        await self.provider.stop()
        assert self.unfenced == set()

    async def begin(self) -> Process:
        """Start another process with a manager and return it."""
        process = Process(self, f"manager-{len(self.processes) + 1}")
        self.processes.append(process)
        await process.manager.start()
        await self.settle()
        return process

    async def crash(self) -> None:
        """Kill the newest process at once and start another one on the same Redis and hypervisor."""
        self.processes[-1].kill()
        await self.begin()

    async def restart(self, yaml: str) -> None:
        """Stop the newest process cleanly, and start another one with this configuration on the same hypervisor."""
        await self.processes[-1].stop()
        self.settings = load(yaml, environ={}, base=Path()).settings
        await self.begin()

    def leaders(self) -> list[str]:
        """Return the names of the running processes that act as leader."""
        return [process.name for process in self.processes if process.runs and process.manager.leads]

    async def lease(self, script: Script, /, **values: Any) -> Any:
        """Take or renew the lease, which expires by the clock of this world."""
        answer = await self.store.run(script, **values | {"holds": int(YEARS * 1000)})
        if answer == 1 or (answer and answer[1] == 0):
            self._ends = self.clock.seconds() + self.holds
            self.clock.callLater(self.holds, self._expire)
        return answer

    def _expire(self) -> None:
        if self.clock.seconds() >= self._ends:
            Deferred.fromCoroutine(self.store.call("DEL", keys.LEASE))

    async def settle(self) -> None:
        """Wait until no command is in flight and all events are delivered: only the clock can cause further work."""
        quiet = 0
        while quiet < 2:
            await deferLater(reactor, 0)
            if self.counted.under_way or not await self._delivered_all():
                quiet = 0
            else:
                quiet += 1

    async def _delivered_all(self) -> bool:
        newest = await self.real.call("XREVRANGE", keys.EVENTS, "+", "-", "COUNT", 1)
        return not newest or newest[0][0] == self._stream._last

    async def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0) -> None:
        """Advance the clocks by this time, in steps from one timer that is due to the next."""
        await self.settle()
        end = self.clock.seconds() + seconds + 60 * minutes + 3600 * hours
        while (due := min(self._due(), default=end + 1)) <= end:
            await self._turn(max(due, self.clock.seconds()))
        await self._turn(end)

    def _clocks(self) -> list[Clock]:
        return [self.clock, *(process.clock for process in self.processes if process.runs)]

    def _due(self) -> list[float]:
        return [call.getTime() for clock in self._clocks() for call in clock.getDelayedCalls()]

    async def _turn(self, moment: float) -> None:
        for clock in self._clocks():
            clock.advance(moment - clock.seconds())
        await self.settle()

    async def queue(self, queue: Queue, pool: str = "debian") -> set[str]:
        """Return the VMs of a pool in a queue."""
        return set(await self.real.call("SMEMBERS", keys.queue(queue, pool)))

    async def counts(self, pool: str = "debian") -> dict[str, int]:
        """Return the number of VMs of a pool in each queue, without empty queues."""
        found = {str(queue): len(await self.queue(queue, pool)) for queue in Queue}
        return {queue: count for queue, count in found.items() if count}

    async def checkout(self, *, token: str | None = None, **counts: int) -> list[str]:
        """Check out VMs, as the API does, and return their names."""
        wanted = self.catalogue.wanted(counts)
        id = random_name(self.chance.choice, 32)
        given = await self.checkouts.checkout(wanted, id, token, self.clock.seconds())
        await self.settle()
        return [each.vm for each in given]

    async def delete(self, vm: str, pool: str = "debian") -> None:
        """Delete a VM, as the API does: it moves to the completed queue."""
        await self.checkouts.complete(pool, vm, FREE, self.clock.seconds())
        await self.settle()

    async def lifetime(self, vm: str, hours: int) -> None:
        """Change the lifetime of a VM, as the API does."""
        await Changes(self.store, self.settings).make(vm, Change(hours, {}), FREE, self.clock.seconds())
        await self.settle()

    async def ask(self, vm: str, kind: Kind, argument: str) -> None:
        """Request a disk, a snapshot or a revert, as the API does."""
        await self.tasks.request(vm, kind, argument, FREE, self.clock.seconds())
        await self.settle()

    def disks(self, vm: str) -> list[int]:
        """Return the sizes in GB of the extra disks that a VM has at the hypervisor."""
        return [disk.size for disk in self.provider.vms()[vm].disks]

    async def record(self, vm: str) -> Mapping[str, str]:
        return await self.vms.record(vm)

    def log(self, vm: str = "") -> list[str]:
        """Return the log lines of one VM, or of all VMs."""
        return [line(event) for event in self.events if vm in ("", event.vm)]

    async def one_each(self) -> None:
        """Assert that every VM is in one queue only, and that the clone counter equals the clones in flight."""
        places: dict[str, list[str]] = {}
        for pool in self.settings.pools:
            for queue in Queue:
                for vm in await self.queue(queue, pool.name):
                    places.setdefault(vm, []).append(f"{pool.name} {queue}")
        assert {vm: where for vm, where in places.items() if len(where) != 1} == {}
        under_way = await self.real.call("HLEN", keys.CLONING)
        assert int(await self.real.call("GET", keys.TASKS_CLONE) or 0) == under_way
