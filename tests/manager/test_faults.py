"""Faults around a manager do the least possible damage.

A manager that has lost the lead sends no orders, and no pool waits for the provider of another pool.
"""

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tests.manager.test_leaders import SLOW, TAKEOVER, a_world, pausing_after, until_led_by
from tests.manager.test_stories import a_pool
from tests.manager.world import World
from vmpooler.domain.guest import Guest
from vmpooler.domain.model import Queue
from vmpooler.manager.loop import MOST_REST, Loop
from vmpooler.manager.pool_controller import INVENTORY_TIMEOUT
from vmpooler.providers.base import ProviderError
from vmpooler.providers.dummy import DummyProvider
from vmpooler.settings import Pool
from vmpooler.store import keys
from vmpooler.store.commands.registry import leader_and_leftovers
from vmpooler.store.failover.lease import HOLDS
from vmpooler.store.redis.client import Connection


class Noting(DummyProvider):
    """A hypervisor that records the names of the VMs that it was ordered to destroy."""

    ordered: tuple[str, ...] = ()

    async def destroy(self, pool: Pool, name: str) -> None:
        self.ordered += (name,)
        await super().destroy(pool, name)


class Failing(DummyProvider):
    """A hypervisor where the operations named in ``fails`` fail, and those named in ``hangs`` do not end.

    A name is an operation, or an operation and a pool: ``clone`` or ``clone debian``.
    """

    fails: frozenset[str] = frozenset()
    hangs: frozenset[str] = frozenset()
    hung: tuple[Deferred[None], ...] = ()

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        await self._come_to("inventory", pool)
        return await super().inventory(pool)

    async def probe(self, pool: Pool, guest: Guest) -> None:
        await self._come_to("probe", pool)
        await super().probe(pool, guest)

    async def find(self, pool: Pool, name: str) -> Guest | None:
        await self._come_to("find", pool)
        return await super().find(pool, name)

    async def clone(self, pool: Pool, name: str) -> None:
        await self._come_to("clone", pool)
        await super().clone(pool, name)

    async def _come_to(self, what: str, pool: Pool) -> None:
        either = {what, f"{what} {pool.name}"}
        if either & self.hangs:
            self.hung += (Deferred(),)
            await self.hung[-1]
        if either & self.fails:
            raise ProviderError("the connection was lost")


def failing(world: World, *what: str, hangs: bool = False) -> None:
    """Make only these operations fail, or hang. Operations that hang from an earlier call fail now."""
    assert isinstance(world.provider, Failing)
    hung, world.provider.hung = world.provider.hung, ()
    for each in hung:
        if not each.called:
            each.errback(ProviderError("the connection was lost"))
    world.provider.fails, world.provider.hangs = frozenset(), frozenset()
    if hangs:
        world.provider.hangs = frozenset(what)
    else:
        world.provider.fails = frozenset(what)


async def test_a_destruction_whose_permission_comes_too_late_is_not_ordered(store: Connection) -> None:
    async with World(store, a_pool(), Noting, holds=HOLDS) as world:
        assert isinstance(world.provider, Noting)
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        await world.begin()
        old = world.processes[0]
        with pausing_after(world, "pool_state"):
            await world.delete(vm)
        assert old.paused
        await until_led_by(world, "manager-2", TAKEOVER)
        await world.advance(minutes=1)
        assert world.provider.ordered == (vm,), "by the one that leads"
        await old.go_on()
        await world.advance(minutes=1)
        assert world.provider.ordered == (vm,)


async def test_a_manager_that_stands_by_again_does_nothing_but_read_the_lease(store: Connection) -> None:
    async with a_world(store) as world:
        await world.advance(minutes=1)
        await world.begin()
        old = world.processes[0]
        busy = len(old.clock.getDelayedCalls())
        old.pause()
        await until_led_by(world, "manager-2", TAKEOVER)
        await old.go_on()
        await world.advance(1)
        assert len(old.clock.getDelayedCalls()) == 1 < busy


async def test_the_lease_is_kept_until_what_is_in_flight_has_ended(store: Connection) -> None:
    async with a_world(store, SLOW, "task_limit: 3") as world:
        (process,) = world.processes
        assert await world.counts() == {"pending": 3}
        ended = Deferred.fromCoroutine(process.manager.stop(60))
        await world.advance(HOLDS + 1)
        assert not ended.called
        assert (await leader_and_leftovers(store))[0] == "1 manager-1"
        await world.advance(30)
        await ended
        process.dead = True
        assert (await leader_and_leftovers(store))[0] == ""
        assert await store.call("HLEN", keys.CLONING) == 0


async def test_clones_of_a_pool_that_is_gone_give_their_places_to_others(store: Connection) -> None:
    await store.call("HSET", keys.CLONING, "vm-gone", "gone", "vm-gone-too", "gone")
    await store.call("ZADD", keys.LINE, 1, "gone")
    async with World(store, a_pool("task_limit: 2")) as world:
        await world.advance(minutes=3)
        assert await world.counts() == {"ready": 3}
        assert await store.call("ZCARD", keys.LINE) == 0


TWO = (
    "pools: [{name: debian, template: t/x, folder: f/d, size: 2}, {name: centos, template: t/x, folder: f/c, size: 2}]"
)


async def test_a_place_that_is_free_again_is_taken_at_once_by_the_pool_that_waits_for_it(store: Connection) -> None:
    slow = f"config: {{task_limit: 1}}\nproviders: {{dummy: {{createvm_max_time: 20, bootvm_max_time: 1}}}}\n{TWO}"
    async with World(store, slow) as world:
        seen = []
        while sum([sum((await world.counts(pool)).values()) for pool in ("debian", "centos")]) < 4:
            await world.advance(0.25)
            seen.append(await store.call("HLEN", keys.CLONING))
        assert set(seen) == {1}


async def test_a_pool_whose_provider_fails_holds_up_no_other_in_the_line(store: Connection) -> None:
    slow = f"config: {{task_limit: 1}}\nproviders: {{dummy: {{createvm_max_time: 20, bootvm_max_time: 1}}}}\n{TWO}"
    async with World(store, slow, Failing) as world:
        first, other = ("debian", "centos") if await world.counts("debian") else ("centos", "debian")
        assert other in await store.call("ZRANGE", keys.LINE, 0, -1)
        failing(world, f"inventory {other}")
        await world.advance(minutes=1)
        assert (await world.counts(first)).get("ready") == 2
        assert other not in await store.call("ZRANGE", keys.LINE, 0, -1)
        failing(world)
        await world.advance(minutes=6)
        assert (await world.counts(other)).get("ready") == 2


async def test_clones_of_a_pool_whose_provider_is_away_give_their_places_to_others(store: Connection) -> None:
    """A manager that has died ordered these clones, so no manager waits for them."""
    slow = f"config: {{task_limit: 1}}\nproviders: {{dummy: {{createvm_max_time: 200, bootvm_max_time: 1}}}}\n{TWO}"
    async with World(store, slow, Failing) as world:
        first, other = ("debian", "centos") if await world.counts("debian") else ("centos", "debian")
        failing(world, f"inventory {first}", f"clone {first}")
        await world.crash()
        await world.advance(minutes=20)
        assert (await world.counts(other)).get("ready") == 2
        failing(world)
        await world.advance(minutes=20)
        assert (await world.counts(first)).get("ready") == 2


async def test_an_inventory_that_never_comes_ends_the_round_and_the_next_may_have_one(store: Connection) -> None:
    async with World(store, a_pool(), Failing) as world:
        await world.advance(minutes=1)
        failing(world, "inventory", hangs=True)
        (vm,) = await world.checkout(debian=1)
        await world.advance(INVENTORY_TIMEOUT + 1)
        noticed = any("did not answer" in event.why for event in world.events if event.what == "failed")
        failing(world)  # the last inventory call must end, even if the assertion below fails
        assert noticed
        await world.advance(minutes=2)
        assert await world.counts() == {"ready": 3, "running": 1}
        assert vm in await world.queue(Queue.RUNNING)


async def test_a_clone_that_never_ends_is_given_up_with_the_reason(store: Connection) -> None:
    async with World(store, a_pool(), Failing) as world:
        await world.advance(minutes=1)
        failing(world, "clone", hangs=True)
        await world.checkout(debian=1)
        (vm,) = await world.queue(Queue.PENDING)
        await world.advance(minutes=5, seconds=1)
        assert vm not in await world.queue(Queue.PENDING)
        assert any("no end after 5 minutes" in event.why for event in world.events if event.vm == vm)
        failing(world)
        await world.advance(minutes=10)
        assert await world.counts() == {"ready": 3, "running": 1}


async def test_a_provider_that_fails_ends_no_ready_vm_that_it_was_to_check(store: Connection) -> None:
    async with World(store, a_pool("vm_checktime: 2"), Failing) as world:
        await world.advance(minutes=1)
        ready = await world.queue(Queue.READY)
        failing(world, "probe")
        await world.advance(minutes=10)
        assert await world.queue(Queue.READY) == ready
        assert not ["doubt" for vm in ready if "doubt" in await world.record(vm)], "it was not checked"
        assert any("connection was lost" in event.why for event in world.events if event.what == "failed")


async def test_what_another_version_wrote_and_this_one_cannot_read_stops_no_pool(store: Connection) -> None:
    await store.call("HSET", keys.trouble("debian"), "vm-gone", '{"tries": "many"}', "vm-lost", "no JSON")
    await store.call("HSET", keys.tasks("debian"), "2-b", '{"kind": "new"}')
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3}


async def test_a_provider_that_fails_while_a_running_vm_is_sought_has_not_lost_it(store: Connection) -> None:
    async with World(store, a_pool(), Failing) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        world.provider.vanish(vm)
        failing(world, "find")
        await world.advance(minutes=30)
        assert vm in await world.queue(Queue.RUNNING)
        said = {event.why for event in world.events if event.what == "failed" and event.vm == vm}
        assert said == {"the connection was lost"}


async def test_a_loop_that_is_woken_during_a_round_has_another_soon_after_it() -> None:
    clock, rounds = Clock(), []
    under_way: Deferred[None] = Deferred()

    async def round() -> float:
        rounds.append(clock.seconds())
        if len(rounds) == 1:
            await under_way
        return 100

    loop = Loop("debian", round, clock)
    loop.start()
    loop.wake()
    clock.advance(5)
    under_way.callback(None)
    assert rounds == [0]
    clock.advance(MOST_REST)
    assert rounds == [0, 5 + MOST_REST]
    await loop.stop()


async def test_a_loop_that_is_given_up_does_not_go_on_with_its_round() -> None:
    under_way: Deferred[None] = Deferred()
    seen: list[Any] = []

    async def round() -> float:
        try:
            await under_way
        except CancelledError:
            seen.append("given up")
            raise
        seen.append("went on")
        return 1

    loop = Loop("debian", round, Clock())
    loop.start()
    loop.give_up()
    under_way.addErrback(lambda _: None)
    assert seen == ["given up"]
