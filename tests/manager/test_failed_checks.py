"""Guests that do not answer: no VM is replaced after one failed check, or when most guests fail at once."""

from collections.abc import Iterable

import pytest

from tests.manager.world import World
from vmpooler.domain import times
from vmpooler.domain.backoff import BACKOFF_MOST, MAX_CHECK_DELAY, SECOND_CHECK_DELAY
from vmpooler.domain.events import What
from vmpooler.domain.guest import Guest
from vmpooler.domain.model import Queue
from vmpooler.domain.vm_policy import CLONE_SETTLES
from vmpooler.providers.base import NoAnswer, ProviderError
from vmpooler.providers.dummy import DummyProvider
from vmpooler.settings import Pool
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection

CHECK = 120.0
"""Seconds between two checks of a ready VM."""

QUICK = "createvm_max_time: 4, bootvm_max_time: 4, destroyvm_max_time: 1"


def pools(**sizes: int) -> str:
    """Return a configuration with pools of these sizes."""
    each = ", ".join(f"{{name: {name}, template: t/x, folder: f/{name}, size: {size}}}" for name, size in sizes.items())
    config = f"{{prefix: vm-, vm_checktime: {CHECK / 60}, vm_lifetime: 2}}"
    return f"config: {config}\nproviders: {{dummy: {{{QUICK}}}}}\npools: [{each}]"


class Network(DummyProvider):
    """A hypervisor behind a network that can fail, for all guests or for some."""

    away = False
    dead: frozenset[str] = frozenset()
    no_power = ""
    checks = 0

    async def probe(self, pool: Pool, guest: Guest) -> None:
        self.checks += 1
        if self.away or guest.name in self.dead:
            raise NoAnswer("no route to host")
        await super().probe(pool, guest)

    async def power_on(self, pool: Pool, name: str) -> None:
        if self.no_power:
            raise ProviderError(self.no_power)
        await super().power_on(pool, name)


def network(world: World) -> Network:
    assert isinstance(world.provider, Network)
    return world.provider


async def ready(world: World, *names: str) -> set[str]:
    return {vm for name in names for vm in await world.queue(Queue.READY, name)}


async def filled(world: World, *names: str) -> set[str]:
    await world.advance(seconds=30)
    return await ready(world, *names)


def said(world: World, what: What, subject: str) -> int:
    return sum(event.what == what and event.more.get("subject") == subject for event in world.events)


def completed(world: World) -> set[str]:
    return {event.vm for event in world.events if event.what is What.COMPLETED}


async def until_in_doubt(world: World) -> None:
    """Advance the clock until the first check of a VM has failed."""
    for _ in range(round(CHECK) + 10):
        if any(event.what is What.FAILED for event in world.events):
            return
        await world.advance(seconds=1)
    raise AssertionError("no check has failed")


async def troubles(store: Connection, names: Iterable[str]) -> list[str]:
    return [subject for name in names for subject in await store.call("HKEYS", keys.trouble(name))]


SAID_ONCE = [What.FAILED, What.RECOVERED]


@pytest.mark.parametrize(("seconds", "said"), [(2, []), (5, []), (20, SAID_ONCE), (60, SAID_ONCE), (300, SAID_ONCE)])
async def test_a_network_that_is_away_for_a_while_costs_no_vm(
    store: Connection, seconds: int, said: list[What]
) -> None:
    async with World(store, pools(debian=5, centos=5), Network) as world:
        before = await filled(world, "debian", "centos")
        assert len(before) == 10
        network(world).away = True
        await until_in_doubt(world)
        for _ in range(seconds):
            await world.advance(seconds=1)
            assert await ready(world, "debian", "centos") == before
        network(world).away = False
        await world.advance(seconds=MAX_CHECK_DELAY + 5)
        assert await ready(world, "debian", "centos") == before
        assert completed(world) == set()
        assert await troubles(store, ["debian", "centos"]) == []
        for pool in ("debian", "centos"):
            of_pool = [event for event in world.events if event.pool == pool]
            assert [event.what for event in of_pool if event.more.get("subject") == keys.ANSWERS] == said


async def test_that_most_guests_do_not_answer_is_said_where_providers_troubles_are(store: Connection) -> None:
    async with World(store, pools(debian=5, centos=5), Network) as world:
        await filled(world, "debian", "centos")
        network(world).away = True
        manager = world.processes[0].manager
        assert manager.state()["providers"] == {"dummy": "ok"}
        await world.advance(seconds=CHECK + 20)
        assert "guests of the provider that were probed lately do not answer" in manager.state()["providers"]["dummy"]
        assert keys.ANSWERS in await troubles(store, ["debian"])
        assert any("probing failed: 10 of 10 guests" in line for line in world.log())
        network(world).away = False
        await world.advance(seconds=MAX_CHECK_DELAY + 5)
        assert manager.state()["providers"] == {"dummy": "ok"}
        assert said(world, What.FAILED, keys.ANSWERS) == said(world, What.RECOVERED, keys.ANSWERS) == 2


async def test_the_guard_survives_a_change_of_managers(store: Connection) -> None:
    async with World(store, pools(debian=5, centos=5), Network) as world:
        before = await filled(world, "debian", "centos")
        network(world).away = True
        await world.advance(seconds=CHECK - 20)
        for _ in range(6):
            await world.advance(seconds=7)
            await world.crash()
        assert await ready(world, "debian", "centos") == before


async def test_half_of_the_vms_that_really_died_are_replaced(store: Connection) -> None:
    async with World(store, pools(debian=6, centos=6), Network) as world:
        before = await filled(world, "debian", "centos")
        dead = frozenset(sorted(before)[::2])
        network(world).dead = dead
        await world.advance(seconds=CHECK + 2 * MAX_CHECK_DELAY)
        assert await ready(world, "debian", "centos") & dead == set()
        assert completed(world) == dead
        await world.advance(seconds=30)
        assert len(await ready(world, "debian", "centos")) == 12
        await world.one_each()


async def test_all_vms_of_one_pool_that_died_are_replaced_when_those_of_others_answer(store: Connection) -> None:
    async with World(store, pools(debian=4, centos=8), Network) as world:
        await filled(world, "debian", "centos")
        dead = frozenset(await ready(world, "debian"))
        network(world).dead = dead
        await world.advance(seconds=CHECK - 30)
        for vm in await ready(world, "centos"):  # postpones their next check
            await store.call("HSET", keys.record(vm), "check", times.text(world.clock.seconds()))
        await world.advance(seconds=3 * MAX_CHECK_DELAY)
        assert completed(world) == dead
        await world.advance(seconds=30)
        assert len(await ready(world, "debian")) == 4


async def test_the_one_vm_of_a_pool_of_one_is_replaced_after_its_second_check(store: Connection) -> None:
    async with World(store, pools(debian=1), Network) as world:
        (dead,) = await filled(world, "debian")
        network(world).dead = frozenset([dead])
        await until_in_doubt(world)
        await world.advance(seconds=SECOND_CHECK_DELAY - 2)
        assert await ready(world, "debian") == {dead}
        await world.advance(seconds=4)
        assert completed(world) == {dead}
        assert any("is unreachable: no route to host" in line for line in world.log(dead))
        await world.advance(seconds=20)
        (other,) = await ready(world, "debian")
        assert other != dead


async def test_where_all_vms_died_the_provider_is_full_again_after_the_grace(store: Connection) -> None:
    async with World(store, pools(debian=5), Network) as world:
        dead = frozenset(await filled(world, "debian"))
        network(world).dead = dead
        await world.advance(minutes=11)
        assert completed(world) == set()
        await world.advance(minutes=3)
        assert completed(world) == dead
        assert len(await ready(world, "debian")) == 5
        assert await troubles(store, ["debian"]) == []


async def test_a_dead_vm_among_healthy_ones_costs_few_more_checks(store: Connection) -> None:
    async with World(store, pools(debian=20), Network) as world:
        before = await filled(world, "debian")
        network(world).dead = frozenset([min(before)])
        await world.advance(seconds=CHECK - 30)
        checks = network(world).checks
        await world.advance(seconds=60)
        assert completed(world) == {min(before)}
        assert 20 <= network(world).checks - checks < 20 + 10


async def test_a_trouble_of_a_vm_ends_with_the_check_that_succeeds_and_is_logged_once(store: Connection) -> None:
    async with World(store, pools(debian=1), Network) as world:
        (vm,) = await filled(world, "debian")
        network(world).away = True
        await until_in_doubt(world)
        network(world).away = False
        assert "doubt" in await world.record(vm)
        await world.advance(seconds=SECOND_CHECK_DELAY + 1)
        assert await troubles(store, ["debian"]) == []
        assert "doubt" not in await world.record(vm)
        await world.advance(seconds=3 * CHECK)
        assert said(world, What.RECOVERED, vm) == 1
        assert await ready(world, "debian") == {vm}


async def test_the_doubt_of_a_vm_that_is_given_meanwhile_ends_with_its_stamp(store: Connection) -> None:
    async with World(store, pools(debian=1), Network) as world:
        (vm,) = await filled(world, "debian")
        network(world).away = True
        await until_in_doubt(world)
        await world.checkout(debian=1)
        await world.advance(seconds=2 * SECOND_CHECK_DELAY)
        assert await troubles(store, ["debian"]) == []
        assert "doubt" not in await world.record(vm)
        assert await world.queue(Queue.RUNNING) == {vm}


async def test_a_pending_vm_whose_time_is_up_has_two_checks(store: Connection) -> None:
    async with World(store, pools(debian=1).replace("size: 1", "size: 1, timeout: 1"), Network) as world:
        (vm,) = await world.queue(Queue.PENDING)
        network(world).away = True
        await world.advance(seconds=62)
        assert await world.queue(Queue.PENDING) == {vm}
        network(world).away = False
        await world.advance(seconds=SECOND_CHECK_DELAY)
        assert await ready(world, "debian") == {vm}
        assert await troubles(store, ["debian"]) == []


# VMs that are off after their clone.


class Unpowered(Network):
    """Switches the next ``off`` VMs off after their clone, and with ``stay_off`` also after each power-on."""

    off = 1
    stay_off = False

    async def clone(self, pool: Pool, name: str) -> None:
        await super().clone(pool, name)
        if self.off:
            self.off -= 1
            self.switch_off(name)

    async def power_on(self, pool: Pool, name: str) -> None:
        await super().power_on(pool, name)
        if self.stay_off:
            self.switch_off(name)


async def test_a_vm_that_is_off_after_its_clone_is_switched_on(store: Connection) -> None:
    async with World(store, pools(debian=1), Unpowered) as world:
        (vm,) = await world.queue(Queue.PENDING)
        await world.advance(seconds=CLONE_SETTLES - 1)
        assert await ready(world, "debian") == set()
        await world.advance(seconds=15)
        assert await ready(world, "debian") == {vm}
        assert any("it was off after its clone, and is switched on" in line for line in world.log(vm))
        assert await troubles(store, ["debian"]) == []


async def test_a_vm_that_is_off_again_is_replaced_also_by_another_manager(store: Connection) -> None:
    async with World(store, pools(debian=1), Unpowered) as world:
        assert isinstance(world.provider, Unpowered)
        world.provider.stay_off = True
        (vm,) = await world.queue(Queue.PENDING)
        await world.advance(seconds=CLONE_SETTLES + 10)
        await world.crash()
        assert await world.queue(Queue.PENDING) == {vm}
        await world.advance(seconds=CLONE_SETTLES)
        assert completed(world) == {vm}
        assert any("is switched off again after it was switched on" in line for line in world.log(vm))
        await world.advance(seconds=30)
        assert len(await ready(world, "debian")) == 1
        assert await troubles(store, ["debian"]) == []


async def test_where_vms_cannot_be_switched_on_clones_come_ever_more_rarely_until_one_is_ready(
    store: Connection,
) -> None:
    async with World(store, pools(debian=4), Unpowered) as world:
        assert isinstance(world.provider, Unpowered)
        world.provider.off, world.provider.no_power = 1000, "no host has memory for it"
        await world.advance(minutes=60)
        orders = [event.when for event in world.events if event.what is What.CLONE]
        assert 4 + 8 <= len(orders) < 4 + 20
        assert BACKOFF_MOST < orders[-1] - orders[-2] < BACKOFF_MOST + CLONE_SETTLES + 30
        assert any("could not be switched on: no host has memory for it" in line for line in world.log())
        assert said(world, What.RECOVERED, keys.POWER) == 0
        world.provider.off = 0
        await world.advance(minutes=8)
        assert len(await ready(world, "debian")) == 4
        assert said(world, What.RECOVERED, keys.POWER) == 1
        await world.one_each()


async def test_a_provider_that_is_away_is_asked_again_to_switch_a_vm_on(store: Connection) -> None:
    async with World(store, pools(debian=1), Unpowered) as world:
        assert isinstance(world.provider, Unpowered)
        (vm,) = await world.queue(Queue.PENDING)
        await world.advance(seconds=CLONE_SETTLES - 5)
        world.provider.no_power = "the provider went away"
        world.provider.trouble = lambda: "away"  # type: ignore[method-assign]  # the provider reports trouble, and still lists VMs
        await world.advance(seconds=20)
        assert await world.queue(Queue.PENDING) == {vm}
        assert "power_on" not in await world.record(vm)
        world.provider.no_power = ""
        world.provider.trouble = lambda: ""  # type: ignore[method-assign]  # the provider works again
        await world.advance(seconds=40)
        assert await ready(world, "debian") == {vm}
