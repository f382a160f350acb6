"""Several managers on one Redis: one leads, and when it fails in any way, another takes over."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import LogEvent

from tests.manager.process import Process
from tests.manager.test_stories import a_pool
from tests.manager.world import World
from vmpooler.domain.backoff import BUSY_INTERVAL
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.log import _text
from vmpooler.providers.base import ProviderError
from vmpooler.store import keys
from vmpooler.store.commands.registry import leader_and_leftovers
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.failover.lease import HOLDS
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import Script

SLOW = "createdisk_max_time: 10, revertsnapshot_max_time: 10"
TAKEOVER = 5


def a_world(store: Connection, dummy: str = "", config: str = "") -> World:
    return World(store, a_pool(dummy=dummy, config=config), holds=HOLDS)


async def until_led_by(world: World, name: str, seconds: float) -> float:
    """Advance the clocks until that process leads. Return the seconds that this took."""
    for quarter in range(int(4 * seconds) + 1):
        if world.leaders() == [name]:
            return quarter / 4
        await world.advance(0.25)
    raise AssertionError(f"{world.leaders()} lead after {seconds} s, not {name}")


def cloning(world: World) -> set[str]:
    """Return the VMs that the hypervisor is cloning."""
    return {vm.name for vm in world.provider.vms().values() if vm.cloning(world.clock.seconds())}


async def test_one_leads_and_the_other_does_nothing(store: Connection) -> None:
    async with a_world(store) as world:
        await world.begin()
        await world.advance(minutes=2)
        assert world.leaders() == ["manager-1"]
        assert await world.counts() == {"ready": 3}
        assert len(world.provider.vms()) == 3
        assert (await leader_and_leftovers(store))[0] == "1 manager-1"
        states = [process.manager.state() for process in world.processes]
        assert [state["manager"] for state in states] == ["leading", "standing by"]
        assert states[0]["providers"] == {"dummy": "ok"}


async def test_when_the_leader_is_killed_the_other_leads_within_five_seconds_and_goes_on(store: Connection) -> None:
    async with a_world(store) as world:
        await world.advance(minutes=1)
        await world.begin()
        world.processes[0].kill()
        vms = await world.checkout(debian=2)
        assert await until_led_by(world, "manager-2", TAKEOVER) >= 2, "not while the lease holds"
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3, "running": 2}
        assert await world.queue(Queue.RUNNING) == set(vms)
        await world.one_each()


async def test_a_leader_that_ends_in_order_is_followed_at_once(store: Connection) -> None:
    async with a_world(store) as world:
        await world.advance(minutes=1)
        await world.begin()
        await world.processes[0].stop()
        assert await until_led_by(world, "manager-2", 0.25) <= 0.25


async def test_clones_of_a_leader_that_died_stay_counted_until_they_are_known(store: Connection) -> None:
    async with a_world(store, SLOW, config="task_limit: 2") as world:
        await world.advance(1)
        ordered = cloning(world)
        assert len(ordered) == 2
        for _ in range(3):
            await world.begin()
            world.processes[-2].kill()
            for _ in range(40):
                await world.advance(0.25)
                assert len(cloning(world)) <= 2
                assert cloning(world) <= set(await store.call("HKEYS", keys.CLONING))
        await world.advance(minutes=5)
        assert await world.counts() == {"ready": 3}
        assert ordered <= await world.queue(Queue.READY), "they were waited for"


async def test_a_clone_that_was_written_down_and_never_ordered_gives_its_place_back(store: Connection) -> None:
    async with a_world(store, config="task_limit: 1") as world:
        await world.advance(minutes=1)
        await world.begin()
        await Queues(world.store, world.settings).begin_clone("debian", "vm-never", 9, world.clock.seconds())
        world.processes[0].kill()
        await world.checkout(debian=1)
        await world.advance(20)
        assert await store.call("HKEYS", keys.CLONING) == ["vm-never"], "nobody can know yet"
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3, "running": 1}


async def test_a_leader_that_wakes_up_late_stands_by_and_has_done_no_harm(store: Connection) -> None:
    async with a_world(store, SLOW) as world:
        await world.advance(minutes=3)
        await world.begin()
        old = world.processes[0]
        await world.checkout(debian=1)
        await world.advance(1)
        old.pause()
        await until_led_by(world, "manager-2", TAKEOVER)
        vms = await world.checkout(debian=1)
        await world.delete(vms[0])
        await world.advance(minutes=2)
        assert await world.counts() == {"ready": 3, "running": 1}
        before = len(world.events)
        await old.go_on()
        assert world.leaders() == ["manager-2"]
        await world.advance(minutes=1)
        assert world.leaders() == ["manager-2"]
        assert len(world.events) == before, "nothing happened that had not"
        assert await world.counts() == {"ready": 3, "running": 1}
        assert len(world.provider.vms()) == 4
        await world.one_each()
        world.processes[1].kill()
        await until_led_by(world, "manager-1", TAKEOVER)
        await world.checkout(debian=1)
        await world.advance(minutes=2)
        assert await world.counts() == {"ready": 3, "running": 2}


async def test_one_that_slept_for_a_while_and_that_nobody_followed_goes_on_as_if_nothing_were(
    store: Connection,
) -> None:
    async with a_world(store, SLOW) as world:
        await world.advance(1)
        world.processes[0].pause()
        await world.advance(minutes=2)
        assert (await leader_and_leftovers(store))[0] == ""
        await world.processes[0].go_on()
        assert (await leader_and_leftovers(store))[0] == "1 manager-1"
        await world.advance(minutes=2)
        assert await world.counts() == {"ready": 3}
        assert not any(event.what in ("failed", "completed") for event in world.events)


async def test_a_clone_whose_permission_comes_too_late_is_not_ordered(store: Connection) -> None:
    async with a_world(store) as world:
        await world.advance(minutes=1)
        await world.begin()
        old = world.processes[0]
        with pausing_after(world, "begin_clone"):
            await world.checkout(debian=1)
            await world.settle()
        (late,) = await world.queue(Queue.PENDING)
        await until_led_by(world, "manager-2", TAKEOVER)
        await old.go_on()
        await world.advance(minutes=2)
        assert late not in world.provider.vms()
        assert await world.counts() == {"ready": 3, "running": 1}
        await world.one_each()


async def test_what_a_client_did_after_its_revert_is_not_undone_by_an_old_leader(store: Connection) -> None:
    async with a_world(store, SLOW) as world:
        await world.advance(minutes=3)
        (vm,) = await world.checkout(debian=1)
        await world.advance(30)
        await world.ask(vm, Kind.SNAPSHOT, "before")
        await world.advance(30)
        await world.begin()
        with pausing_after(world, "pool_state"):
            await world.ask(vm, Kind.REVERT, "before")
        assert not world.processes[0].runs
        await until_led_by(world, "manager-2", TAKEOVER)
        await world.advance(30)
        await world.ask(vm, Kind.DISK, "8")
        await world.advance(30)
        assert world.disks(vm) == [8]
        await world.processes[0].go_on()
        await world.advance(minutes=1)
        assert world.disks(vm) == [8]
        done = [event.more["kind"] for event in world.events if event.what == "done"]
        assert done == ["snapshot", "snapshot-revert", "disk"]


@contextmanager
def pausing_after(world: World, script: str, process: Process | None = None) -> Iterator[None]:
    """Pause a process, by default the first, when Redis has executed that script, before the process gets the reply."""
    process = process or world.processes[0]

    def pause(each: Script, reply: Any) -> None:
        if each.name == script and (script != "take_lease" or reply[1] == 0):
            process.pause()

    before, world.counted.ran = world.counted.ran, pause
    try:
        yield
    finally:
        world.counted.ran = before


async def test_a_disk_that_an_old_leader_has_added_is_added_once_with_one_event(store: Connection) -> None:
    async with a_world(store, SLOW) as world:
        await world.advance(minutes=3)
        (vm,) = await world.checkout(debian=1)
        await world.advance(30)
        await world.begin()
        await world.ask(vm, Kind.DISK, "8")
        world.processes[0].pause()
        await world.advance(30)
        await world.processes[0].go_on()
        await world.advance(30)
        assert world.disks(vm) == [8]
        assert (await world.record(vm))["disk"] == "+8gb"
        assert sum(event.what == "done" for event in world.events) == 1


async def test_a_redis_that_lost_its_data_is_led_anew_and_nothing_in_use_is_destroyed(store: Connection) -> None:
    async with a_world(store) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        await store.call("FLUSHALL")
        await world.advance(minutes=20)
        assert world.leaders() == ["manager-1"]
        assert vm in world.provider.vms()


async def test_of_many_who_stand_by_one_leads_until_none_is_left(store: Connection) -> None:
    async with a_world(store) as world:
        for _ in range(3):
            await world.begin()
        led = []
        for _ in world.processes:
            await world.advance(TAKEOVER)
            (name,) = world.leaders()
            led.append(name)
            await world.checkout(debian=1) if await world.queue(Queue.READY) else None
            next(each for each in world.processes if each.name == name).kill()
        assert sorted(led) == ["manager-1", "manager-2", "manager-3", "manager-4"]
        await world.one_each()


async def test_a_manager_that_stands_by_says_so_once_and_the_next_says_that_it_leads(
    store: Connection, logged: list[LogEvent]
) -> None:
    async with a_world(store) as world:
        await world.begin()
        await world.advance(30)
        world.processes[0].pause()
        await world.advance(5)
        await world.processes[0].go_on()
        await world.advance(30)
    said = [_text(event) for event in logged if "lead" in _text(event)]
    assert said == [
        "[*] leads from now on: 1 manager-1",
        "[*] stands by while another manager leads: 1 manager-1",
        "[*] leads from now on: 2 manager-2",
        "[!] leads no more: another manager does",
        "[*] stands by while another manager leads: 2 manager-2",
    ]


async def test_one_whose_provider_is_not_fit_to_lead_with_leaves_the_lead_and_tries_again(
    store: Connection, logged: list[LogEvent]
) -> None:
    async with a_world(store) as world:
        await world.advance(minutes=1)
        unfit = await world.begin()

        async def refuse() -> None:
            raise ProviderError("the file is broken")

        unfit.manager._providers["dummy"].start = refuse  # type: ignore[method-assign]  # only this manager's provider refuses
        world.processes[0].kill()
        await world.advance(HOLDS + 1)
        assert (await leader_and_leftovers(store))[0] == ""
        await until_led_by(world, unfit.name, BUSY_INTERVAL)
        said = [_text(event) for event in logged if "cannot lead" in _text(event)]
        assert said == ["[!] cannot lead: the file is broken"]


async def test_a_term_that_could_not_begin_leaves_nothing_behind_that_the_next_would_use(store: Connection) -> None:
    async with a_world(store) as world:
        await world.advance(minutes=1)
        second = await world.begin()
        before = second.manager._lease
        with pausing_after(world, "take_lease", second):
            world.processes[0].kill()
            await world.advance(HOLDS + 1)
        assert (await leader_and_leftovers(store))[0].endswith(second.name)
        third = await world.begin()
        await until_led_by(world, third.name, TAKEOVER)
        await second.go_on()
        assert world.leaders() == [third.name]
        assert second.manager._lease is not before
        third.kill()
        await until_led_by(world, second.name, TAKEOVER)
        await world.one_each()
