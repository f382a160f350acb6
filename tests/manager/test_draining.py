"""Pools that have VMs but are no longer configured are drained: no VM is lost, and every refusal is reported."""

import json
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from tests.manager.world import World
from vmpooler.config import load
from vmpooler.domain.admission import FREE
from vmpooler.domain.errors import PoolGone
from vmpooler.domain.estate import REFUSED
from vmpooler.domain.guest import Guest
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.providers.dummy import DummyProvider
from vmpooler.settings import Pool
from vmpooler.store import keys
from vmpooler.store.commands.registry import leftovers
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.redis.client import Connection

HEAD = """
config: {prefix: vm-, vm_lifetime: 2}
providers: {dummy: {createvm_max_time: 20, bootvm_max_time: 30, destroyvm_max_time: 5}}
"""
BOTH = HEAD + "pools: [{name: debian, size: 3, timeout: 5}, {name: old, size: 3, timeout: 5}]"
ONE = HEAD + "pools: [{name: debian, size: 3, timeout: 5}]"


class OneFolder(DummyProvider):
    """A hypervisor that lists the VMs of all pools together, like a vCenter with one folder for all pools."""

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        names = ("debian", "old", "new")
        found = [await super(OneFolder, self).inventory(attrs.evolve(pool, name=name)) for name in names]
        return {name: guest for listed in found for name, guest in listed.items()}


class OneFolderOfTheOriginal(OneFolder):
    """OneFolder where no stamp names the pool of a VM."""

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        listed = await super().inventory(pool)
        stamps = {name: guest.stamp for name, guest in listed.items()}
        bare = {name: attrs.evolve(stamp, pool="") for name, stamp in stamps.items() if stamp is not None}
        return {name: attrs.evolve(guest, stamp=bare.get(name)) for name, guest in listed.items()}


async def test_a_pool_that_is_removed_is_drained_and_then_forgotten(store: Connection) -> None:
    async with World(store, BOTH) as world:
        await world.advance(minutes=1)
        given, kept = await world.checkout(old=2)
        await world.advance(minutes=1)
        assert await world.counts("old") == {"ready": 3, "running": 2}
        await world.restart(ONE)
        await store.call("SADD", keys.VERIFIED, "old")
        (drained,) = (await leftovers(store)).drained
        assert drained.pool == "old"
        assert "not configured any more" in drained.note
        await world.advance(minutes=1)
        assert await world.counts("old") == {"running": 2}
        assert {vm.pool for vm in world.provider.vms().values()} == {"debian", "old"}
        await world.delete(given, "old")
        await world.advance(seconds=10)
        assert given not in world.provider.vms()
        assert await world.queue(Queue.RUNNING, "old") == {kept}
        await world.advance(hours=1.9)
        assert await world.queue(Queue.RUNNING, "old") == {kept}
        await world.advance(hours=0.2)
        assert kept not in world.provider.vms()
        assert await world.counts() == {"ready": 3}
        assert (await leftovers(store)).drained == ()
        left = [key for key in await store.call("KEYS", "*") if key.endswith("__old") and "x__minutes" not in key]
        assert [key for key in left if "x__quarters" not in key] == []
        for hash in (keys.POOLS, keys.LASTBOOT, keys.DRAINING, keys.FLAGGED):
            assert not await store.call("HEXISTS", hash, "old")
        assert not await store.call("SISMEMBER", keys.VERIFIED, "old")


async def test_a_drained_pool_that_comes_back_fills_again(store: Connection) -> None:
    async with World(store, BOTH) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(old=1)
        await world.restart(ONE)
        await world.advance(minutes=1)
        assert await world.counts("old") == {"running": 1}
        await world.restart(BOTH)
        await world.advance(minutes=1)
        assert await world.counts("old") == {"ready": 3, "running": 1}
        assert (await leftovers(store)).drained == ()
        assert vm in world.provider.vms()


async def test_clones_under_way_of_a_removed_pool_are_counted_until_they_end_and_then_destroyed(
    store: Connection,
) -> None:
    async with World(store, BOTH) as world:
        assert await world.counts("old") == {"pending": 3}
        await world.restart(ONE)
        assert await store.call("HLEN", keys.CLONING) == 6
        await world.advance(minutes=6)
        assert await world.counts("old") == {}
        assert {vm.pool for vm in world.provider.vms().values()} == {"debian"}
        assert (await leftovers(store)).drained == ()


async def test_what_is_asked_of_a_drained_pool_is_refused_and_what_was_asked_is_given_up_with_the_reason(
    store: Connection,
) -> None:
    async with World(store, BOTH) as world:
        await world.advance(minutes=1)
        first, second = await world.checkout(old=2)
        with_both = world.tasks
        await world.processes[-1].stop()
        await with_both.request(first, Kind.DISK, "8", FREE, world.clock.seconds())
        await store.call(
            "HSET",
            keys.tasks("old"),
            "1",
            json.dumps({"id": "1", "kind": "snapshot", "vm": second, "argument": "x", "tries": 0, "retry_at": 0}),
        )
        world.settings = load(ONE, environ={}, base=Path()).settings
        await world.begin()
        await world.advance(seconds=10)
        for vm in (first, second):
            (failure,) = [text for field, text in (await world.record(vm)).items() if field.startswith("failed:")]
            assert failure.endswith(REFUSED)
            assert world.disks(vm) == []
        before = await world.record(first)
        for process in (with_both, Tasks(store, world.settings, world.chance.choice, "api")):
            with pytest.raises(PoolGone):
                await process.request(first, Kind.DISK, "8", FREE, world.clock.seconds())
        assert await world.record(first) == before
        assert await store.call("SCARD", keys.intake(Kind.DISK)) == 0


async def test_a_pool_that_an_older_version_left_is_found_and_drained_where_its_provider_is_certain(
    store: Connection,
) -> None:
    async with World(store, BOTH) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(old=1)
        await world.processes[-1].stop()
        await store.call("DEL", keys.POOLS)
        world.settings = load(ONE, environ={}, base=Path()).settings
        await world.begin()
        await world.advance(minutes=1)
        assert await world.counts("old") == {"running": 1}
        await world.delete(vm, "old")
        await world.advance(seconds=40)
        assert vm not in world.provider.vms()
        assert (await leftovers(store)).drained == ()


async def test_a_pool_whose_provider_is_not_known_stands_as_it_is_and_people_are_asked(store: Connection) -> None:
    two = ONE.replace("providers: {", "providers: {more: {provider_class: dummy}, ")
    async with World(store, BOTH) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(old=1)
        await world.advance(minutes=1)
        await world.processes[-1].stop()
        await store.call("DEL", keys.POOLS)
        world.settings = load(two, environ={}, base=Path()).settings
        await world.begin()
        await store.call("SADD", keys.intake(Kind.DISK), f"{vm}:8")  # by another program
        await world.advance(hours=3)
        assert await world.counts("old") == {"ready": 3, "running": 1}
        (drained,) = (await leftovers(store)).drained
        assert "put the pool back with size: 0" in drained.note
        assert [field for field in await world.record(vm) if field.startswith("failed:")] != []
        await world.delete(vm, "old")
        await world.advance(minutes=5)
        assert await world.counts("old") == {"ready": 3, "completed": 1}
        assert vm in world.provider.vms()
        await world.restart(two.replace("pools: [", "pools: [{name: old, provider: dummy, size: 0}, "))
        await world.advance(minutes=1)
        assert await world.counts("old") == {}
        assert vm not in world.provider.vms()


async def test_a_provider_that_was_removed_is_asked_back_by_name(store: Connection) -> None:
    here = ONE.replace("providers: {dummy:", "providers: {other: {provider_class: dummy}, dummy:")
    async with World(store, BOTH) as world:
        await world.advance(minutes=1)
        text = await store.call("HGET", keys.POOLS, "old")
        await world.processes[-1].stop()
        gone = json.loads(text) | {"provider": "gone", "kind": "vsphere", "at": "vcenter.example.com"}
        await store.call("HSET", keys.POOLS, "old", json.dumps(gone))
        world.settings = load(here, environ={}, base=Path()).settings
        await world.begin()
        await world.advance(minutes=5)
        assert await world.counts("old") == {"ready": 3}
        (drained,) = (await leftovers(store)).drained
        assert "provider gone (vcenter.example.com)" in drained.note
        assert "put that provider back" in drained.note


@pytest.mark.parametrize("broken", ["{", "[]", '{"folder": 3}', '{"timeout": true}', '{"vms": 1}', '{"before": [1]}'])
async def test_a_broken_memory_costs_only_its_pool(store: Connection, broken: str) -> None:
    async with World(store, BOTH) as world:
        await world.advance(minutes=1)
        await world.processes[-1].stop()
        await store.call("HSET", keys.POOLS, "strange", broken)
        await store.call("HSET", keys.POOLS, "debian", broken)
        await store.call("SADD", keys.queue(Queue.READY, "strange"), "vm-strange")
        world.settings = load(ONE, environ={}, base=Path()).settings
        await world.begin()
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3}
        assert await world.counts("old") == {}


async def test_a_memory_of_a_newer_version_is_read_as_far_as_it_is_understood(store: Connection) -> None:
    async with World(store, BOTH) as world:
        await world.advance(minutes=1)
        text = await store.call("HGET", keys.POOLS, "old")
        await world.processes[-1].stop()
        newer = {key: value for key, value in json.loads(text).items() if key != "probe_port"} | {"colour": ["red"]}
        await store.call("HSET", keys.POOLS, "old", json.dumps(newer))
        world.settings = load(ONE, environ={}, base=Path()).settings
        await world.begin()
        await world.advance(minutes=1)
        assert await world.counts("old") == {}


@pytest.mark.parametrize("hypervisor", [OneFolder, OneFolderOfTheOriginal])
@pytest.mark.parametrize("foreign", [False, True])
async def test_pools_in_one_folder_leave_each_others_vms_alone(
    store: Connection, hypervisor: type[DummyProvider], foreign: bool
) -> None:
    rules = f"vm_lifetime: 2, discovered_grace: 1, destroy_foreign: {str(foreign).lower()}"
    both = BOTH.replace("vm_lifetime: 2", rules)
    renamed = both.replace("name: old", "name: new")
    async with World(store, both, hypervisor) as world:
        await world.advance(minutes=1)
        given = await world.checkout(old=3)
        await world.advance(minutes=5)
        assert await world.counts() == {"ready": 3}
        assert await world.counts("old") == {"ready": 3, "running": 3}
        await world.restart(renamed)
        await world.advance(minutes=5)
        assert await world.counts("new") == {"ready": 3}
        assert await world.counts("old") == {"running": 3}
        assert await world.queue(Queue.RUNNING, "old") == set(given)
        assert {"discovered", "flagged"}.isdisjoint(str(event.what) for event in world.events)
        await world.advance(hours=2)
        assert await world.counts("old") == {}
        assert await world.counts("new") == await world.counts() == {"ready": 3}
        assert len(world.provider.vms()) == 6


async def test_a_vm_that_was_noted_as_unknown_in_anothers_folder_keeps_its_record(store: Connection) -> None:
    async with World(store, BOTH, OneFolder) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(old=1)
        await store.call("SADD", keys.queue(Queue.DISCOVERED, "debian"), vm)  # by an older version
        await store.call("HSET", keys.since("debian"), vm, "1")
        await world.advance(minutes=30)
        assert await world.queue(Queue.DISCOVERED) == set()
        assert await world.queue(Queue.RUNNING, "old") == {vm}
        assert await store.call("TTL", keys.record(vm)) == -1


async def test_an_orphan_of_a_drained_pool_is_accounted_for_before_that_is_forgotten(store: Connection) -> None:
    async with World(store, BOTH.replace("vm_lifetime: 2", "vm_lifetime: 2, discovered_grace: 5"), OneFolder) as world:
        await world.advance(minutes=1)
        orphan, *_ = sorted(await world.queue(Queue.READY, "old"))
        await store.call("SREM", keys.queue(Queue.READY, "old"), orphan)
        await world.restart(ONE.replace("vm_lifetime: 2", "vm_lifetime: 2, discovered_grace: 5"))
        await world.advance(minutes=2)
        assert orphan in world.provider.vms()
        assert [each.pool for each in (await leftovers(store)).drained] == ["old"]
