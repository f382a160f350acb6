"""What a read of Redis returns of a pool."""

import json
from typing import Any

import attrs
import pytest

from tests.store.contents import NOW, POOL, make_completed, make_ready, make_running, queues_of, settings
from vmpooler.domain import times
from vmpooler.domain.backoff import SECOND_CHECK_DELAY
from vmpooler.domain.counts import PoolCounts
from vmpooler.domain.model import Queue, Vm
from vmpooler.domain.tasks import Kind, Task
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Checkouts, Wanted
from vmpooler.store.queries.pool_state import StoredPool, Trouble, read_state
from vmpooler.store.queries.stats import counts
from vmpooler.store.redis.client import Connection

HOURS = 24.0


async def seen(store: Connection, pool: str = POOL) -> StoredPool:
    return await read_state(store, pool, HOURS)


async def only(store: Connection) -> Vm:
    (vm,) = (await seen(store)).vms
    return vm


async def stands(store: Connection, *queues: Queue, **fields: str) -> None:
    """Write the VM to Redis as another program left it."""
    for queue in queues:
        await store.call("SADD", keys.queue(queue, POOL), "vm")
    for field, value in fields.items():
        await store.call("HSET", keys.record("vm"), field, value)


async def test_an_empty_redis_has_nothing_of_a_pool(store: Connection) -> None:
    assert await seen(store) == StoredPool((), {}, frozenset(), frozenset(), False, False, False, ())


async def test_a_vm_is_seen_with_all_its_moments(store: Connection) -> None:
    queues = queues_of(store)
    await queues.begin_clone(POOL, "vm", 1, NOW)
    assert await only(store) == Vm("vm", Queue.PENDING, ordered=NOW, lifetime=HOURS)
    await queues.end_clone(POOL, "vm", 10, NOW + 10)
    await queues.promote(POOL, "vm", "10.0.0.1", 20, NOW + 20)
    await queues.check("vm", NOW + 30)
    moments: Any = {"ordered": NOW, "ready": NOW + 20, "checked": NOW + 30}
    ready = Vm("vm", Queue.READY, lifetime=HOURS, **moments)
    assert await only(store) == ready
    await queues.doubt(POOL, "vm", Queue.READY, "is unreachable", NOW + 40.25, first=True)
    doubtful = attrs.evolve(ready, doubted=NOW + 40.25, retry_at=NOW + 40.25 + SECOND_CHECK_DELAY, failures=1)
    assert await only(store) == doubtful
    await queues.recover(POOL, "vm", NOW + 50)
    assert await only(store) == ready


async def test_that_a_vm_was_switched_on_is_seen_until_it_is_taken_back(store: Connection) -> None:
    queues = queues_of(store)
    await queues.begin_clone(POOL, "vm", 1, NOW)
    await queues.note_power("vm", NOW + 40.5)
    assert (await only(store)).powered == NOW + 40.5
    await queues.note_power("vm", None)
    assert (await only(store)).powered is None


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "1e9", "1 2", "1" * 400])
async def test_what_is_no_number_counts_as_not_there(store: Connection, text: str) -> None:
    await stands(store, Queue.READY, doubt=text, power_on=text, clone_time=text)
    vm = await only(store)
    assert (vm.doubted, vm.powered, vm.clone_seconds) == (None, None, 0)


async def test_a_running_vm_is_seen_with_its_owner_and_its_own_lifetime(store: Connection) -> None:
    await make_ready(store, "vm")
    await store.call("HSET", keys.token("t"), "user", "ann")
    checkouts = Checkouts(store, settings(vm_lifetime_auth=48.0))
    await checkouts.checkout([Wanted(POOL, 1, (POOL,))], "id", "t", NOW + 50)
    vm = await only(store)
    assert (vm.queue, vm.checkout, vm.lifetime, vm.owner) == (Queue.RUNNING, NOW + 50, 48.0, "ann")


async def test_a_running_vm_of_nobody_known_has_an_owner_nevertheless(store: Connection) -> None:
    await stands(store, Queue.RUNNING)
    assert (await only(store)).owner == "anonymous"


async def test_a_missing_vm_is_seen_with_the_time_since(store: Connection) -> None:
    await stands(store, Queue.RUNNING)
    await queues_of(store).miss(POOL, "vm", Queue.RUNNING, True, NOW + 0.25)
    assert (await only(store)).since == NOW + 0.25


# Data of Ruby vmpooler.


async def test_a_vm_of_the_original_is_seen_with_what_is_known_of_it(store: Connection) -> None:
    await stands(store, Queue.READY, clone="2023-11-14 23:13:20 +0100", template=POOL)
    assert await only(store) == Vm("vm", Queue.READY, ordered=NOW, lifetime=HOURS)


async def test_a_vm_without_a_record_is_seen(store: Connection) -> None:
    await stands(store, Queue.PENDING)
    assert await only(store) == Vm("vm", Queue.PENDING, lifetime=HOURS)


@pytest.mark.parametrize("checkout", ["", "2023-11-14"])
async def test_the_checkout_time_of_the_pool_stands_in_for_the_records(store: Connection, checkout: str) -> None:
    await stands(store, Queue.RUNNING, checkout=checkout)
    await store.call("HSET", keys.active(POOL), "vm", times.text(NOW))
    assert (await only(store)).checkout == NOW


async def test_the_record_comes_before_the_pools_checkout_time(store: Connection) -> None:
    await stands(store, Queue.RUNNING, checkout=times.text(NOW))
    await store.call("HSET", keys.active(POOL), "vm", times.text(NOW - 1000))
    assert (await only(store)).checkout == NOW


@pytest.mark.parametrize(("stored", "hours"), [("12", 12.0), ("0", None), ("never", None)])
async def test_a_lifetime_is_read_as_the_original_does(store: Connection, stored: str, hours: float | None) -> None:
    await stands(store, Queue.RUNNING, lifetime=stored)
    assert (await only(store)).lifetime == hours


@pytest.mark.parametrize(
    ("queues", "believed", "also"),
    [
        ((Queue.READY, Queue.RUNNING), Queue.RUNNING, (Queue.READY,)),
        ((Queue.COMPLETED, Queue.READY, Queue.DISCOVERED), Queue.READY, (Queue.COMPLETED, Queue.DISCOVERED)),
        ((Queue.COMPLETED, Queue.PENDING), Queue.PENDING, (Queue.COMPLETED,)),
        (tuple(Queue), Queue.RUNNING, (Queue.READY, Queue.PENDING, Queue.COMPLETED, Queue.DISCOVERED)),
    ],
)
async def test_a_vm_in_several_queues_is_one_vm_in_the_safest(
    store: Connection, queues: tuple[Queue, ...], believed: Queue, also: tuple[Queue, ...]
) -> None:
    await stands(store, *queues)
    vm = await only(store)
    assert (vm.queue, vm.also) == (believed, also)


# The pool as a whole.


async def test_what_fails_is_seen_and_delays_the_next_try(store: Connection) -> None:
    await make_completed(store, "vm")
    queues = queues_of(store)
    await queues.fail(POOL, "vm", 'it\'s "locked" ✗', NOW)
    await queues.fail(POOL, keys.CLONES, "no space", NOW)
    read_state = await seen(store)
    assert read_state.troubles == {
        "vm": Trouble(1, NOW + 1, 'it\'s "locked" ✗'),
        ":clone": Trouble(1, NOW + 1, "no space"),
    }
    assert (read_state.vms[0].retry_at, read_state.vms[0].failures) == (NOW + 1, 1)


async def test_what_another_version_wrote_is_read_as_far_as_it_can_be(store: Connection) -> None:
    await make_completed(store, "vm")
    trouble, task = '{"tries": 1, "until": 5, "why": "so", "whose": "new"}', Task("1-a", Kind.DISK, "vm", "8")
    await store.call("HSET", keys.trouble(POOL), "vm", trouble, "other", "no JSON", ":clone", '{"tries": "many"}')
    written = json.dumps({**attrs.asdict(task), "urgent": True})
    await store.call("HSET", keys.tasks(POOL), "1-a", written, "2-b", '{"kind": "new"}')
    read_state = await seen(store)
    assert read_state.troubles == {"vm": Trouble(1, 5, "so")}
    assert read_state.tasks == (task,)
    assert read_state.unreadable == (":clone", "other", '{"kind": "new"}')


async def test_a_pool_counts_as_verified_where_this_redis_is_not_doubted(store: Connection) -> None:
    assert ((await seen(store)).doubted, (await seen(store)).verified) == ("", True)
    await store.call("SET", keys.DOUBTED, "this 2")
    assert ((await seen(store)).doubted, (await seen(store)).verified) == ("this 2", False)
    await queues_of(store).verify(POOL, "this 2")
    assert (await seen(store)).verified


# A VM whose record was lost.


async def test_the_history_of_a_vm_says_who_has_it_when_its_record_is_gone(store: Connection) -> None:
    await make_running(store, "vm")
    await gone(store)
    vm = await only(store)
    assert (vm.queue, vm.checkout, vm.checkout_id, vm.ended) == (Queue.DISCOVERED, NOW, "id", False)


@pytest.mark.parametrize("end", ["returned", "completed", "destroyed"])
async def test_a_checkout_that_has_ended_by_the_history_is_none(store: Connection, end: str) -> None:
    await make_running(store, "vm")
    await store.call("RPUSH", keys.history("vm"), json.dumps({"what": end}))
    await gone(store)
    assert (await only(store)).checkout is None


async def gone(store: Connection) -> None:
    """Delete the record of the VM, the running queue and the checkout times; then discover the VM."""
    await store.call("DEL", keys.record("vm"), keys.queue(Queue.RUNNING, POOL), keys.active(POOL))
    await queues_of(store).discover(POOL, "vm", True, NOW)


async def test_the_marks_of_a_pool_are_seen(store: Connection) -> None:
    queues = queues_of(store, task_limit=1)
    await queues.begin_clone("other", "theirs", 5, NOW)
    await queues.begin_clone(POOL, "vm", 5, NOW)
    await queues.flag(POOL, "why", NOW)
    await queues.note_empty(POOL, NOW)
    await store.call("SADD", keys.confirmed(POOL), "x")
    assert await seen(store) == StoredPool(
        (), {}, frozenset("x"), frozenset(), flagged=True, empty=True, waiting=True, tasks=()
    )
    await queues.withdraw(POOL)
    assert not (await seen(store)).waiting


async def test_a_pool_sees_its_own_clones_and_no_others(store: Connection) -> None:
    queues = queues_of(store)
    await queues.begin_clone(POOL, "mine", 5, NOW)
    await queues.begin_clone("other", "theirs", 5, NOW)
    assert (await seen(store)).cloning == frozenset({"mine"})
    other = await seen(store, "other")
    assert ([vm.name for vm in other.vms], other.cloning) == (["theirs"], frozenset({"theirs"}))


async def test_counts_are_of_all_pools_at_one_moment(store: Connection) -> None:
    await make_ready(store, "a", "b")
    await make_completed(store, "c", pool="other")
    await queues_of(store).begin_clone(POOL, "d", 9, NOW)
    await store.call("HSET", keys.boot_times(times.day(NOW)), "debian:old", "")
    found = await counts(store, ["other", POOL, "none"], NOW)
    booted = times.text(NOW)
    assert found.pools == (PoolCounts(0, 0, 0, 1, booted), PoolCounts(2, 1, 0, 0, booted), PoolCounts(0, 0, 0, 0, ""))
    assert (found.cloning, found.clone_seconds, found.boot_seconds) == (1, (10.0,) * 3, (20.0,) * 3)
