"""Disks, snapshots and reverts, on a clock that the test advances."""

import attrs

from tests.manager.test_stories import a_pool
from tests.manager.world import World
from vmpooler.domain.tasks import Kind
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection
from vmpooler.web.views.vm import report

SLOW = "createdisk_max_time: 10, createsnapshot_max_time: 10, revertsnapshot_max_time: 10"


async def running(world: World) -> str:
    """Return a VM that a client has checked out."""
    await world.advance(minutes=1)
    (vm,) = await world.checkout(debian=1)
    await world.advance(seconds=1)
    return vm


async def test_two_equal_disks_are_two_disks(store: Connection) -> None:
    async with World(store, a_pool(dummy=SLOW)) as world:
        vm = await running(world)
        await world.ask(vm, Kind.DISK, "8")
        await world.ask(vm, Kind.DISK, "8")
        await world.advance(minutes=1)
        assert world.disks(vm) == [8, 8]
        assert (await world.record(vm))["disk"] == "+8gb:+8gb"


async def test_what_is_asked_of_a_vm_is_done_in_that_order_and_of_several_at_once(store: Connection) -> None:
    async with World(store, a_pool(dummy=SLOW)) as world:
        await world.advance(minutes=1)
        vms = await world.checkout(debian=3)
        for vm in vms:
            await world.ask(vm, Kind.DISK, "1")
            await world.ask(vm, Kind.SNAPSHOT, "before")
            await world.ask(vm, Kind.DISK, "2")
        await world.advance(seconds=35)
        for vm in vms:
            assert world.disks(vm) == [1, 2]
            done = [event.more["kind"] for event in world.events if event.what == "done" and event.vm == vm]
            assert done == ["disk", "snapshot", "disk"]
            await world.ask(vm, Kind.REVERT, "before")
        await world.advance(seconds=15)
        assert [world.disks(vm) for vm in vms] == [[1]] * 3


async def test_a_request_begins_before_the_clock_moves(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        vm = await running(world)
        await world.ask(vm, Kind.DISK, "8")
        await world.advance(seconds=0.1)
        assert world.disks(vm) == [8]


async def test_a_manager_that_dies_midway_leaves_the_disk_to_the_next_which_adds_it_once(store: Connection) -> None:
    async with World(store, a_pool(dummy=SLOW)) as world:
        vm = await running(world)
        await world.ask(vm, Kind.DISK, "8")
        await world.advance(seconds=1)
        for _ in range(3):
            await world.crash()
            await world.advance(seconds=1)
        await world.advance(minutes=1)
        assert world.disks(vm) == [8]
        assert (await world.record(vm))["disk"] == "+8gb"


async def test_what_fails_is_tried_again_and_given_up_at_last_with_the_reason(store: Connection) -> None:
    async with World(store, a_pool(config="task_tries: 3", dummy="createdisk_fail_percent: 100")) as world:
        vm = await running(world)
        await world.ask(vm, Kind.DISK, "8")
        await world.advance(minutes=1)
        tries = [event.what for event in world.events if event.what in ("delayed", "gave_up")]
        assert tries == ["delayed", "delayed", "gave_up"]
        events = [attrs.evolve(event, id="") for event in world.events if event.vm == vm]
        assert await world.vms.timeline(vm) == events, "its history has the events of the stream"
        (failure,) = report(await world.record(vm), 12, world.clock.seconds())["failures"]
        assert failure.startswith("disk +8gb: injected failure")
        assert await store.call("HLEN", keys.tasks("debian")) == 0


async def test_requests_of_the_originals_api_are_taken_up_too(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        vm = await running(world)
        await store.call("SADD", "vmpooler__tasks__disk", f"{vm}:4", f"{vm}:nonsense", f"{vm}:0", "never-was:8")
        await store.call("SADD", "vmpooler__tasks__snapshot", f"{vm}:snap")
        await world.advance(seconds=10)
        assert world.disks(vm) == [4]
        assert "snap" in world.provider.vms()[vm].snapshots
        assert await store.call("EXISTS", "vmpooler__tasks__disk", "vmpooler__tasks__snapshot") == 0
        assert sum("this is no number of GB" in line for line in world.log(vm)) == 2


async def test_requests_for_a_vm_that_is_finished_with_are_given_up(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        vm = await running(world)
        await world.delete(vm)
        await world.ask(vm, Kind.DISK, "8")
        await world.advance(minutes=2)
        assert await store.call("HLEN", keys.tasks("debian")) == 0
        assert any("the VM is finished with" in line for line in world.log(vm))
