"""A VM in use is neither checked out again nor destroyed, whatever data Redis lost. See Note [Two sources]."""

from collections.abc import Mapping
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from tests.manager.world import World
from tests.store.contents import settings
from vmpooler.domain import times
from vmpooler.domain.admission import Admission, Need
from vmpooler.domain.errors import NotYours, PoolEmpty, StoreAway, TokenNeeded
from vmpooler.domain.guest import Guest, Holder
from vmpooler.domain.model import Queue
from vmpooler.providers.base import ProviderError
from vmpooler.providers.dummy import Dummy, DummyProvider
from vmpooler.settings import Pool
from vmpooler.store import keys
from vmpooler.store.failover.recovery import Failover
from vmpooler.store.redis.client import Connection

clock: Any = reactor

POOL = """
config: {{prefix: vm-, vm_lifetime: {hours}}}
providers: {{dummy: {{createvm_max_time: 20, bootvm_max_time: {boots}, destroyvm_max_time: 5}}}}
pools: [{{name: debian, template: t/debian, folder: f/debian, size: {size}, timeout: {timeout}}}]
"""

DUMP = """
local kept = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  redis.call('COPY', key, 'backup:' .. key, 'REPLACE')
  kept[#kept + 1] = key
end
return kept
"""

PUT_BACK = """
for _, key in ipairs(redis.call('KEYS', 'vmpooler__*')) do
  if key ~= KEYS[1] and key ~= KEYS[2] and key ~= KEYS[3] then redis.call('DEL', key) end
end
for _, key in ipairs(redis.call('KEYS', 'backup:*')) do
  local name = string.sub(key, 8)
  if redis.call('EXISTS', name) == 0 then redis.call('RENAME', key, name) end
end
"""


def a_pool(size: int = 3, hours: float = 2, boots: int = 30, timeout: int = 5) -> str:
    return POOL.format(size=size, hours=hours, boots=boots, timeout=timeout)


async def back_up(store: Connection, world: World) -> None:
    """Copy all keys, as a backup does."""
    await arrive(store, "before")
    await world.advance(seconds=31)
    await store.call("EVAL", DUMP, 0)


async def put_back(store: Connection, world: World) -> None:
    """Restore the backup, then connect to Redis as after a failover.

    The lease and its epoch are kept, so that the test's manager keeps leading. The event stream is kept, because
    ``World.settle`` uses it to detect that all events are delivered.
    """
    await store.call("EVAL", PUT_BACK, 3, keys.LEASE, keys.EPOCH, keys.EVENTS)
    await arrive(store, "after")
    await world.settle()


async def arrive(store: Connection, primary: str) -> None:
    """Connect a process to a Redis whose primary is not the previous one."""
    await store.call("SET", keys.PRIMARY, f"{primary} 1")
    await Failover(settings(), "a process", clock).arrive(store, lambda why: None)


async def test_after_an_old_backup_nobody_gets_what_another_has_and_all_of_it_runs_again(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        await back_up(store, world)
        await store.call("HSET", keys.token("t-ann"), "user", "ann")
        taken = {*await world.checkout(debian=2, token="t-ann"), *await world.checkout(debian=1)}
        await world.advance(minutes=1)
        await put_back(store, world)
        assert taken <= await world.queue(Queue.READY)
        with pytest.raises(StoreAway, match="compared them with their provider"):
            await world.checkout(debian=1)
        await world.advance(minutes=2)
        assert await world.queue(Queue.RUNNING) == taken
        assert await world.counts() == {"ready": 3, "running": 3, "discovered": 3}
        assert not taken & {*await world.checkout(debian=3)}
        owners = [(await world.record(vm)).get("token:user") for vm in sorted(taken)]
        assert sorted(filter(None, owners)) == ["ann", "ann"]
        assert all(any("moved to 'running' queue again" in line for line in world.log(vm)) for vm in taken)
        await world.advance(hours=1.9)
        assert taken <= set(world.provider.vms())
        await world.advance(hours=0.2)
        assert not taken & set(world.provider.vms())


class SlowToWrite(DummyProvider):
    """A hypervisor that takes a minute to write the holder of a VM into its stamp."""

    def __init__(self, settings: Dummy, clock: IReactorTime, *more: Any) -> None:
        super().__init__(settings, clock, *more)
        self._slowly = clock

    async def stamp(self, pool: Pool, name: str, holder: Holder | None) -> None:
        await deferLater(self._slowly, 60)
        await super().stamp(pool, name, holder)


async def test_no_vm_is_given_while_it_is_being_written_who_has_one(store: Connection) -> None:
    async with World(store, a_pool(size=1), SlowToWrite) as world:
        await world.advance(minutes=1)
        await back_up(store, world)
        (vm,) = await world.checkout(debian=1)
        await world.advance(seconds=10)
        await put_back(store, world)
        await world.advance(seconds=40)
        assert vm in await world.queue(Queue.READY), "nothing says yet that somebody has it"
        with pytest.raises(StoreAway):
            await world.checkout(debian=1)
        await world.advance(minutes=1)
        assert vm in await world.queue(Queue.RUNNING)
        await world.advance(minutes=2)
        assert vm not in await world.checkout(debian=1)


class Elsewhere(DummyProvider):
    """A hypervisor where some VMs are outside the folder of their pool."""

    moved: frozenset[str] = frozenset()

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        there = await super().inventory(pool)
        return {name: guest for name, guest in there.items() if name not in self.moved}


async def test_a_completed_vm_that_is_elsewhere_and_in_use_is_not_destroyed(store: Connection) -> None:
    async with World(store, a_pool(), Elsewhere) as world:
        await world.advance(minutes=1)
        await back_up(store, world)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        assert isinstance(world.provider, Elsewhere)
        world.provider.moved = frozenset({vm})
        await put_back(store, world)
        await world.advance(minutes=15)
        assert vm in await world.queue(Queue.RUNNING)
        assert vm in world.provider.vms()


async def test_a_vm_that_its_stamp_brought_back_is_ended_with_a_token_of_its_user_only(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        for token, user in (("t-ann", "ann"), ("t-ann-too", "ann"), ("t-bob", "bob")):
            await store.call("HSET", keys.token(token), "user", user)
        await back_up(store, world)
        (vm,) = await world.checkout(debian=1, token="t-ann")
        await world.advance(minutes=1)
        await put_back(store, world)
        await world.advance(minutes=1)
        now = world.clock.seconds()
        refusals: dict[str | None, type[Exception]] = {None: TokenNeeded, "t-bob": NotYours}
        for sent, no in refusals.items():
            with pytest.raises(no):
                await world.checkouts.complete("debian", vm, Admission(sent, Need.WHERE_TAKEN, own=True), now)
        await world.checkouts.complete("debian", vm, Admission("t-ann-too", Need.WHERE_TAKEN, own=True), now)
        await world.advance(minutes=1)
        assert vm not in set(world.provider.vms())


async def test_a_vm_that_was_made_after_the_backup_runs_on_for_its_client(store: Connection) -> None:
    async with World(store, a_pool(size=1)) as world:
        await world.advance(minutes=1)
        await back_up(store, world)
        (first,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        (second,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        await put_back(store, world)
        await world.advance(minutes=1)
        assert await world.queue(Queue.RUNNING) == {first, second}
        await world.advance(minutes=30)
        assert {first, second} <= set(world.provider.vms())


async def test_a_vm_that_came_to_light_after_a_loss_is_its_holders_by_its_stamp(store: Connection) -> None:
    """VMs discovered after a loss are quarantined, and the pool is verified at once. A complete stamp still decides."""
    async with World(store, a_pool(size=1)) as world:
        await world.advance(minutes=1)
        await back_up(store, world)
        await world.checkout(debian=1)
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.lifetime(vm, 9)
        await world.advance(minutes=1)
        await put_back(store, world)
        await store.call("SET", keys.UNCERTAIN, "a loss", "EX", 900)
        await world.advance(hours=3)
        assert vm in await world.queue(Queue.RUNNING)
        assert "quarantined" not in await world.record(vm)
        await world.advance(hours=6)
        assert vm not in await world.queue(Queue.RUNNING)


async def test_a_lifetime_that_was_made_longer_after_the_backup_holds(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        await back_up(store, world)
        await world.lifetime(vm, 9)
        await world.advance(minutes=1)
        await put_back(store, world)
        await world.advance(hours=3)
        assert vm in await world.queue(Queue.RUNNING)
        await world.advance(hours=6)
        assert vm not in await world.queue(Queue.RUNNING)


async def test_a_vm_that_the_backup_gives_to_its_earlier_client_is_the_later_client_s(store: Connection) -> None:
    async with World(store, a_pool(size=1)) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await back_up(store, world)
        id = (await world.record(vm))["checkout_id"]
        await store.call("HSET", keys.record(vm), "ready", times.text(world.clock.seconds()))  # the newest VM is kept
        assert await world.checkouts.give_back("debian", vm, id, "its client hung up", world.clock.seconds())
        await world.advance(seconds=30)
        assert vm in await world.queue(Queue.READY)
        await store.call("HSET", keys.token("t-bob"), "user", "bob")
        assert vm in await world.checkout(debian=1, token="t-bob")
        await world.advance(seconds=30)
        await put_back(store, world)
        await world.advance(minutes=1)
        assert (await world.record(vm))["token:user"] == "bob"


async def test_a_host_that_comes_back_after_hours_still_has_the_vms_of_its_clients(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        host = world.provider.vms()[vm]
        world.provider.vanish(vm)
        await world.advance(minutes=16)
        world.provider.come_back(host)
        await world.advance(minutes=16)
        assert vm in set(world.provider.vms())
        assert await world.queue(Queue.RUNNING) == {vm}
        assert "missing" not in world.log(vm)[-1]


async def test_a_vm_that_was_deleted_while_its_host_was_away_is_destroyed_when_it_is_back(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        host = world.provider.vms()[vm]
        world.provider.vanish(vm)
        await world.advance(minutes=1)
        await world.delete(vm)
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3}
        world.provider.come_back(host)
        await world.advance(minutes=9)
        assert vm in set(world.provider.vms())
        await world.advance(minutes=3)
        assert vm not in set(world.provider.vms())
        assert await world.counts() == {"ready": 3}


@pytest.mark.parametrize(
    "lost", [[keys.queue(Queue.RUNNING, "debian")], ["stamps"], ["records"], ["stamps", "records"]]
)
async def test_vms_in_use_that_stand_in_no_queue_run_again(store: Connection, lost: list[str]) -> None:
    """The evidence is the stamp, the record or the history, whichever is left."""
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        taken = {*await world.checkout(debian=2)}
        await world.advance(minutes=1)
        await store.call("DEL", keys.queue(Queue.RUNNING, "debian"), keys.active("debian"))
        for vm in taken:
            if "stamps" in lost:
                await world.provider.stamp(world.settings.pools[0], vm, None)
            if "records" in lost:
                await store.call("DEL", keys.record(vm))
        await world.advance(minutes=1)
        assert await world.queue(Queue.RUNNING) == taken
        await world.advance(minutes=30)
        assert taken <= set(world.provider.vms())
        await world.advance(hours=2)
        assert not taken & set(world.provider.vms())


async def test_many_ready_vms_that_are_missing_at_once_are_not_given_and_the_pool_is_filled_beside_them(
    store: Connection,
) -> None:
    async with World(store, a_pool(size=10)) as world:
        await world.advance(minutes=2)
        hosts = [world.provider.vms()[vm] for vm in sorted(await world.queue(Queue.READY))[:7]]
        manager = world.processes[-1]
        manager.pause()
        for host in hosts:
            world.provider.vanish(host.name)
        await manager.go_on()
        await world.advance(minutes=5)
        names = {host.name for host in hosts}
        assert names <= await world.queue(Queue.READY)
        assert any("7 VMs are missing" in line for line in world.log())
        assert await world.counts() == {"ready": 17}, "the pool is filled beside them"
        assert not names & {*await world.checkout(debian=10)}
        with pytest.raises(PoolEmpty):
            await world.checkout(debian=1)
        for host in hosts:
            world.provider.come_back(host)
        await world.advance(minutes=2)
        assert await world.counts() == {"ready": 10, "running": 10}
        assert len(world.provider.vms()) == 20


async def test_many_missing_ready_vms_are_replaced_after_the_grace(store: Connection) -> None:
    async with World(store, a_pool(size=10)) as world:
        await world.advance(minutes=2)
        world.processes[-1].pause()
        for vm in await world.queue(Queue.READY):
            world.provider.vanish(vm)
        await world.processes[-1].go_on()
        await world.advance(minutes=13)
        assert await world.counts() == {"ready": 10}
        assert len(world.provider.vms()) == 10


async def test_many_pending_vms_that_vanish_at_once_are_replaced_after_the_grace(store: Connection) -> None:
    async with World(store, a_pool(size=10, timeout=60, boots=1800)) as world:
        await world.advance(seconds=40)
        vanished = await world.queue(Queue.PENDING)
        assert len(vanished) == 10
        world.processes[-1].pause()
        for vm in vanished:
            world.provider.vanish(vm)
        await world.processes[-1].go_on()
        await world.advance(minutes=9)
        assert await world.queue(Queue.PENDING) == vanished
        await world.advance(minutes=3)
        assert len(await world.queue(Queue.PENDING) - vanished) == 10


async def test_a_vm_that_stands_in_ready_and_running_is_not_given_again(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        await store.call("SADD", keys.queue(Queue.READY, "debian"), vm)
        with pytest.raises(PoolEmpty):
            await world.checkout(debian=4)
        assert vm not in await world.checkout(debian=3)


async def test_a_vm_whose_client_never_got_it_is_ready_again_only_when_its_stamp_is_clear(store: Connection) -> None:
    async with World(store, a_pool(size=1)) as world:
        await world.advance(minutes=1)
        stamps = []
        world.listen(lambda event: stamps.append(world.provider.vms()[vm].stamp) if event.what == "returned" else None)
        (vm,) = await world.checkout(debian=1)
        await world.advance(seconds=1)
        world.provider.outage("the hypervisor is away")
        id = (await world.record(vm))["checkout_id"]
        assert await world.checkouts.give_back("debian", vm, id, "its client hung up", world.clock.seconds())
        await world.advance(minutes=1)
        assert vm in await world.queue(Queue.RUNNING)
        assert "checkout" not in await world.record(vm)
        world.provider.outage(None)
        await world.advance(minutes=6)
        assert [stamp.holder for stamp in stamps if stamp] == [None]
        assert not {"unclaimed", "stamping"} & (await world.record(vm)).keys()
        assert any("moved from 'running' back to 'ready'" in line for line in world.log(vm))


class Witnessed(DummyProvider):
    """Records the field ``stamping`` of a VM's record at each write of a stamp. ``lost``: the answers are lost."""

    store: Connection
    noted: tuple[str | None, ...] = ()
    lost = False

    async def stamp(self, pool: Pool, name: str, holder: Holder | None) -> None:
        self.noted += (await self.store.call("HGET", keys.record(name), "stamping"),)
        await super().stamp(pool, name, holder)
        if self.lost:
            raise ProviderError("the connection was lost")


async def test_that_a_holder_is_written_is_noted_before_so_that_a_lost_answer_is_no_clear_stamp(
    store: Connection,
) -> None:
    async with World(store, a_pool(size=1), Witnessed) as world:
        provider = world.provider
        assert isinstance(provider, Witnessed)
        provider.store, provider.lost = store, True
        await world.advance(minutes=1)
        stamps = []
        world.listen(lambda event: stamps.append(provider.vms()[vm].stamp) if event.what == "returned" else None)
        (vm,) = await world.checkout(debian=1)
        await world.advance(seconds=1)
        id = (await world.record(vm))["checkout_id"]
        assert provider.noted[:1] == (id,)
        assert await world.checkouts.give_back("debian", vm, id, "its client hung up", world.clock.seconds())
        await world.advance(seconds=30)
        assert vm in await world.queue(Queue.RUNNING)
        provider.lost = False
        await world.advance(minutes=6)
        assert [stamp.holder for stamp in stamps if stamp] == [None]
        assert any("moved from 'running' back to 'ready'" in line for line in world.log(vm))


async def test_a_lowered_lifetime_is_for_later_checkouts(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
    async with World(store, a_pool(hours=1)) as heir:
        heir.provider.come_back(world.provider.vms()[vm])
        heir.clock.advance(world.clock.seconds() - heir.clock.seconds())
        await heir.advance(hours=1.5)
        assert vm in await heir.queue(Queue.RUNNING)
        await heir.advance(hours=0.6)
        assert vm not in await heir.queue(Queue.RUNNING)
