"""The life of a pool, on a clock that the test advances."""

import pytest

from tests.manager.world import World
from vmpooler.domain import times
from vmpooler.domain.backoff import BACKOFF_MOST, SECOND_CHECK_DELAY
from vmpooler.domain.errors import PoolEmpty
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import Script

POOL = """
config: {{prefix: vm-, vm_lifetime: 2, {config}}}
providers: {{dummy: {{createvm_max_time: 20, bootvm_max_time: 30, destroyvm_max_time: 5, {dummy}}}}}
pools: [{{name: debian, alias: deb, template: t/debian, folder: f/debian, size: 3, timeout: 5, {pool}}}]
"""


def a_pool(config: str = "", dummy: str = "", pool: str = "") -> str:
    return POOL.format(config=config, dummy=dummy, pool=pool)


async def test_a_new_pool_fills_to_its_size_and_no_further(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        assert await world.counts() == {"pending": 3}
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3}
        await world.advance(hours=1)
        assert await world.counts() == {"ready": 3}
        assert len(world.provider.vms()) == 3


async def test_a_checkout_starts_its_replacement_before_the_clock_moves(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(deb=1)
        assert await world.counts() == {"ready": 2, "running": 1, "pending": 1}
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3, "running": 1}
        assert world.log(vm)[-1] == f"[>] [debian] '{vm}' moved from 'ready' to 'running' queue, for anonymous"


async def test_a_vm_whose_lifetime_is_over_is_destroyed_and_its_record_kept_for_a_while(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(hours=1.95)
        assert await world.queue(Queue.RUNNING) == {vm}
        await world.advance(minutes=5)
        assert await world.counts() == {"ready": 3}
        assert vm not in set(world.provider.vms())
        assert "destroy" in await world.record(vm)
        assert 0 < await store.call("TTL", keys.record(vm)) <= 168 * 3600
        assert 0 < await store.call("TTL", keys.history(vm)) <= 168 * 3600
        assert any("reached end of TTL after 2 hours" in line for line in world.log(vm))


async def test_what_was_over_by_a_clock_that_was_set_back_since_is_not_ended(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        await world.checkout(debian=3)
        process, ended = world.processes[-1], list[str]()

        def ran(script: Script, reply: object) -> None:
            if script.name == "complete":
                ended.append(script.name)
                process.ahead = 0

        world.counted.ran = ran
        process.ahead = 3 * 3600
        await world.advance(minutes=1)
        assert ended == ["complete"]
        assert len(await world.queue(Queue.RUNNING)) == 2


@pytest.mark.limit(90)  # four simulated hours of rounds
async def test_a_lifetime_of_its_own_counts_before_the_default_and_zero_means_for_ever(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        long, ever, short = await world.checkout(debian=3)
        await store.call("HSET", keys.record(long), "lifetime", "4")
        await store.call("HSET", keys.record(ever), "lifetime", "0")
        await store.call("HSET", keys.record(short), "lifetime", "1")
        await world.advance(hours=1.1)
        assert await world.queue(Queue.RUNNING) == {long, ever}
        await world.advance(hours=3)
        assert await world.queue(Queue.RUNNING) == {ever}


async def test_a_client_that_is_done_has_its_vm_destroyed_at_once(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.delete(vm)
        assert await world.queue(Queue.COMPLETED) == {vm}
        await world.advance(seconds=6)
        assert await world.queue(Queue.COMPLETED) == set()
        assert vm not in set(world.provider.vms())


async def test_a_ready_vm_that_is_no_longer_fresh_is_replaced(store: Connection) -> None:
    async with World(store, a_pool(pool="ready_ttl: 60")) as world:
        await world.advance(minutes=1)
        first = await world.queue(Queue.READY)
        await world.advance(minutes=59)
        assert await world.queue(Queue.READY) == first
        await world.advance(minutes=3)
        now = await world.queue(Queue.READY)
        assert len(now) == 3
        assert not first & now
        ended = [event.vm for event in world.events if "reached end of TTL after 60 minutes" in event.why]
        assert sorted(ended) == sorted(first)


async def test_a_ready_vm_that_is_switched_off_is_replaced_at_once_and_one_renamed_by_its_second_check(
    store: Connection,
) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        off, renamed, _ = sorted(await world.queue(Queue.READY))
        world.provider.switch_off(off)
        world.provider.rename(renamed, "another")
        await world.advance(seconds=0.1)
        assert off not in await world.queue(Queue.READY)
        assert any("appears to be powered off" in line for line in world.log(off))
        assert renamed in await world.queue(Queue.READY)
        await world.advance(seconds=SECOND_CHECK_DELAY)
        assert renamed not in await world.queue(Queue.READY)
        assert any("has mismatched hostname 'another'" in line for line in world.log(renamed))
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3}


async def test_a_guest_that_never_boots_is_given_up_after_the_timeout(store: Connection) -> None:
    async with World(store, a_pool(dummy="bootvm_fail_percent: 100")) as world:
        first = await world.queue(Queue.PENDING)
        await world.advance(minutes=4.9)
        assert await world.queue(Queue.PENDING) == first
        await world.advance(minutes=1)
        assert not first & await world.queue(Queue.PENDING)
        assert all(any("marked as 'failed' after 5 minutes" in line for line in world.log(vm)) for vm in first)


async def test_clones_that_fail_are_tried_ever_more_rarely_and_at_once_when_one_works(store: Connection) -> None:
    async with World(store, a_pool(dummy="createvm_fail_percent: 100")) as world:
        await world.advance(minutes=30)
        orders = [event.when for event in world.events if event.what == "clone"]
        assert 3 + 10 <= len(orders) <= 3 + 12, "a back-off leaves few tries in half an hour"
        assert BACKOFF_MOST <= orders[-1] - orders[-2] < BACKOFF_MOST + 25
        failed = {event.vm for event in world.events if event.what == "clone"} - await world.queue(Queue.PENDING)
        assert all(any("could not be cloned: injected failure" in line for line in world.log(vm)) for vm in failed)
        assert await store.call("GET", keys.TASKS_CLONE) == "0"
        await world.one_each()


async def test_a_pool_whose_provider_fails_leaves_its_vms_alone_and_heals(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (vm,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        before = await world.counts()
        world.provider.outage("the hypervisor is on fire")
        await world.advance(minutes=30)
        assert await world.counts() == before
        failures = [event.more["tries"] for event in world.events if event.why == "the hypervisor is on fire"]
        assert failures == [str(number + 1) for number in range(len(failures))]
        assert 9 + 4 <= len(failures) <= 9 + 5, "every failure is one event"
        world.provider.outage(None)
        await world.delete(vm)
        await world.advance(minutes=6)
        assert await world.counts() == {"ready": 3}


async def test_an_unknown_vm_of_ours_is_destroyed_after_the_grace_and_not_before(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        world.provider.plant("debian", "vm-orphan", stamped=True)
        await world.advance(minutes=9.5)
        assert await world.queue(Queue.DISCOVERED) == {"vm-orphan"}
        await world.advance(minutes=2)
        assert await world.counts() == {"ready": 3}
        assert "vm-orphan" not in set(world.provider.vms())
        assert world.log("vm-orphan")[0] == "[?] [debian] 'vm-orphan' has been discovered"


async def test_an_unknown_vm_that_leaves_meanwhile_starts_its_grace_anew(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        world.provider.plant("debian", "vm-orphan", stamped=True)
        await world.advance(minutes=8)
        world.provider.vanish("vm-orphan")
        await world.advance(minutes=1)
        assert await world.queue(Queue.DISCOVERED) == set()
        world.provider.plant("debian", "vm-orphan", stamped=True)
        await world.advance(minutes=8)
        assert await world.queue(Queue.DISCOVERED) == {"vm-orphan"}


async def test_a_foreign_vm_is_reported_and_never_destroyed(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        world.provider.plant("debian", "someones-server", stamped=False)
        await world.advance(hours=2)
        assert "someones-server" in set(world.provider.vms())
        assert await world.queue(Queue.DISCOVERED) == {"someones-server"}


async def test_a_foreign_vm_is_destroyed_where_the_operator_wants_it(store: Connection) -> None:
    async with World(store, a_pool(config="destroy_foreign: true")) as world:
        await world.advance(minutes=1)
        world.provider.plant("debian", "someones-server", stamped=False)
        await world.advance(minutes=9)
        assert "someones-server" in set(world.provider.vms())
        await world.advance(minutes=3)
        assert "someones-server" not in set(world.provider.vms())
        assert await world.counts() == {"ready": 3}


async def test_a_redis_that_lost_its_data_destroys_nothing_until_an_operator_confirms(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        (used,) = await world.checkout(debian=1)
        await world.advance(minutes=1)
        old = set(world.provider.vms())
        assert used in old
        await store.call("DEL", *await store.call("KEYS", "vmpooler__*__debian"))
        await world.advance(hours=1)
        assert old <= set(world.provider.vms())
        assert await world.counts() == {"ready": 3, "running": 1, "discovered": 3}
        assert await world.queue(Queue.RUNNING) == {used}
        assert await store.call("HEXISTS", keys.FLAGGED, "debian") == 1
        assert any("mass guard" in line for line in world.log())
        await store.call("SADD", keys.confirmed("debian"), *old)
        await world.advance(minutes=15)
        assert old & set(world.provider.vms()) == {used}
        assert await store.call("HEXISTS", keys.FLAGGED, "debian") == 0
        assert await world.counts() == {"ready": 3, "running": 1}


async def test_a_running_vm_that_is_missing_is_shown_and_kept_until_its_lifetime_ends(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        lost, kept = await world.checkout(debian=2)
        world.provider.vanish(lost)
        await world.advance(hours=1.9)
        assert await world.queue(Queue.RUNNING) == {lost, kept}
        assert any("is missing from the inventory" in line for line in world.log(lost))
        assert any("the provider does not have it" in line for line in world.log(lost))
        await world.advance(hours=0.2)
        assert await world.queue(Queue.RUNNING) == set()
        assert any("reached end of TTL after 2 hours" in line for line in world.log(lost))


async def test_a_ready_vm_that_vanished_is_replaced_at_once(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        gone = sorted(await world.queue(Queue.READY))[0]
        world.provider.vanish(gone)
        await world.settle()
        assert gone not in await world.queue(Queue.READY)
        await world.advance(minutes=1)
        assert await world.counts() == {"ready": 3}


async def test_a_pool_that_was_made_smaller_is_trimmed_the_stalest_first(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        since = {vm: (await world.record(vm))["ready"] for vm in await world.queue(Queue.READY)}
        assert len(since) == 3
        *_, second, newest = sorted(since.values())
        assert second < newest
        await world.restart(a_pool().replace("size: 3", "size: 1"))
        await world.advance(minutes=2)
        assert await world.counts() == {"ready": 1}
        (kept,) = world.provider.vms()
        assert await world.queue(Queue.READY) == {kept}
        assert since.get(kept) == newest


async def test_pools_share_the_clones_and_none_goes_without(store: Connection) -> None:
    pools = ", ".join(f"{{name: {name}, template: t/x, folder: f/{name}, size: {size}}}" for name, size in SIZES)
    many = f"config: {{task_limit: 2}}\nproviders: {{dummy: {{createvm_max_time: 20}}}}\npools: [{pools}]"
    async with World(store, many) as world:
        most = 0
        for _ in range(60):
            await world.advance(seconds=5)
            most = max(most, int(await store.call("GET", keys.TASKS_CLONE)))
            await world.one_each()
        assert most == 2
        assert [(await world.counts(name)).get("ready") for name, _ in SIZES[1:]] == [2, 2]


async def test_the_limit_of_clones_finds_itself_up_to_the_one_configured(store: Connection) -> None:
    auto = "config: {task_limit: auto, task_limit_max: 7}\nproviders: {dummy: {createvm_max_time: 20}}"
    async with World(store, f"{auto}\npools: [{{name: debian, template: t/x, folder: f, size: 30}}]") as world:
        seen = [int(await store.call("GET", keys.TASKS_CLONE))]
        for _ in range(8):
            await world.advance(seconds=5)
            seen.append(int(await store.call("GET", keys.TASKS_CLONE)))
        assert (seen[0], max(seen)) == (4, 7)


async def test_a_pool_that_clients_found_empty_is_served_before_one_that_refills(store: Connection) -> None:
    pools = ", ".join(f"{{name: {name}, template: t/x, folder: f/{name}, size: 20}}" for name in ("large", "wanted"))
    slow = f"config: {{task_limit: 2}}\nproviders: {{dummy: {{createvm_max_time: 20}}}}\npools: [{pools}]"
    async with World(store, slow) as world:
        await world.advance(seconds=1)
        await world.checkouts.hurry(["wanted"], world.clock.seconds())
        while not (counts := await world.counts("wanted")).get("ready"):
            before = await world.counts("large")
            await world.advance(seconds=1)
        assert sum(counts.values()) > sum(before.values())


SIZES = [("greedy", 40), ("modest", 2), ("humble", 2)]


async def test_more_than_there_is_is_refused_and_changes_nothing(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        with pytest.raises(PoolEmpty):
            await world.checkout(debian=4)
        assert await world.counts() == {"ready": 3}


async def test_who_has_a_vm_is_written_on_it(store: Connection) -> None:
    async with World(store, a_pool()) as world:
        await world.advance(minutes=1)
        await store.call("HSET", keys.token("tokentokentoken"), "user", "jo")
        (vm,) = await world.checkout(debian=1, token="tokentokentoken")
        await world.advance(seconds=1)
        stamp = world.provider.vms()[vm].guest(world.clock.seconds()).stamp
        record = await world.vms.record(vm)
        assert stamp is not None
        assert stamp.holder is not None
        assert (stamp.holder.owner, stamp.holder.checkout_id) == ("jo", record["checkout_id"])
        since = times.moment(record["checkout"])
        assert since is not None
        assert (stamp.holder.since, stamp.holder.until) == (since, since + 2 * 3600)
        assert "tokentokentoken" not in repr(world.events)
