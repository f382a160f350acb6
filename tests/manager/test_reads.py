"""The reads of a round: VMs outside their folder, VMs made or destroyed during a read, destructions that fail."""

from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from tests.manager.test_stories import a_pool
from tests.manager.world import World
from vmpooler.domain.guest import Guest
from vmpooler.domain.model import Queue
from vmpooler.manager.leadership import MAX_POOLS_READ
from vmpooler.providers.base import ProviderError
from vmpooler.providers.dummy import Dummy, DummyProvider
from vmpooler.settings import Pool
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import Script


class Moving(DummyProvider):
    """A hypervisor where an administrator moves VMs out of their folder."""

    moved: frozenset[str] = frozenset()

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        seen = await super().inventory(pool)
        return {name: guest for name, guest in seen.items() if name not in self.moved}


class Slow(DummyProvider):
    """A hypervisor that returns an inventory only ``seconds`` after it was read."""

    seconds = 20.0

    def __init__(self, settings: Dummy, clock: IReactorTime, wall: Callable[[], float], chance: Random) -> None:
        super().__init__(settings, clock, wall, chance)
        self.clock = clock

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        seen = await super().inventory(pool)
        await deferLater(self.clock, self.seconds)
        return seen


class Stubborn(DummyProvider):
    """A hypervisor that refuses the first ``refusals`` destructions."""

    refusals = 3

    async def destroy(self, pool: Pool, name: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ProviderError("not now")
        await super().destroy(pool, name)


class Watched:
    """A connection that records the largest number of reads in flight at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reads = 0
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def run(self, script: Script, /, **values: Any) -> Any:
        self._reads += script.name == "pool_state"
        self.most = max(self.most, self._reads)
        try:
            return await self._connection.run(script, **values)
        finally:
            self._reads -= script.name == "pool_state"


async def test_many_pools_take_turns_to_read_and_all_have_theirs(store: Connection) -> None:
    watched, names = Watched(store), [f"pool-{number}" for number in range(3 * MAX_POOLS_READ)]
    pools = "".join(f"  - {{name: {name}, size: 1}}\n" for name in names)
    config = f"config: {{task_limit: 100}}\nproviders: {{dummy: {{}}}}\npools:\n{pools}"
    async with World(cast(Connection, watched), config) as world:
        await world.advance(seconds=1)
        assert [await world.counts(name) for name in names] == [{"ready": 1}] * len(names)
    assert watched.most == MAX_POOLS_READ


async def test_a_running_vm_that_somebody_moved_elsewhere_stays_its_clients(store: Connection) -> None:
    async with World(store, a_pool(), Moving) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        assert isinstance(world.provider, Moving)
        world.provider.moved = frozenset({vm})
        await world.advance(minutes=25)
        assert vm in await world.queue(Queue.RUNNING)


async def test_what_is_destroyed_or_made_during_a_read_is_not_taken_for_unknown(store: Connection) -> None:
    async with World(store, a_pool(), Slow) as world:
        assert isinstance(world.provider, Slow)
        await world.advance(minutes=5)
        for vm in await world.checkout(debian=3):
            await world.delete(vm)
            await world.advance(seconds=7)
        await world.advance(minutes=10)
        world.provider.seconds = 0  # the last read must end, even if the test fails
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3}
        seen = Counter(event.what for event in world.events if event.what in ("clone", "ready", "destroyed"))
        assert seen == {"clone": 6, "ready": 6, "destroyed": 3}
        assert [event for event in world.events if event.what in ("discovered", "missing")] == []


async def test_a_vm_whose_destruction_fails_is_destroyed_later(store: Connection) -> None:
    async with World(store, a_pool(), Stubborn) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.delete(vm)
        await world.advance(seconds=0.5)
        assert vm in await world.queue(Queue.COMPLETED)
        await world.advance(minutes=1)
        assert vm not in world.provider.vms()
        assert vm not in await world.queue(Queue.COMPLETED)
