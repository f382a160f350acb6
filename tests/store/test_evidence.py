"""What the scripts do with VMs that a client may have. See Note [Two sources]."""

from typing import Any

import pytest

from tests.store.contents import (
    NOW,
    POOL,
    checkouts_of,
    contents,
    hash_of,
    history,
    make_ready,
    make_running,
    queues_of,
    settings,
    standing,
)
from vmpooler.domain import times
from vmpooler.domain.admission import FREE
from vmpooler.domain.change import Change
from vmpooler.domain.errors import PoolEmpty, StoreAway
from vmpooler.domain.evidence import BY_STAMP, LONGER
from vmpooler.domain.guest import Holder
from vmpooler.domain.model import NOBODY, Queue
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import OF_A_CHECKOUT, Given, Wanted
from vmpooler.store.commands.vm_updates import Changes
from vmpooler.store.redis.client import Connection

LATER = NOW + 60.0
HOUR = 3600.0
REDIS = "this 2"
HOLDER = Holder("bob", "another", NOW - HOUR, NOW + HOUR)


def one() -> list[Wanted]:
    return [Wanted(POOL, 1, (POOL,))]


async def record(store: Connection) -> dict[str, str]:
    return await hash_of(store, keys.record("vm"))


# Which VMs are given.


async def test_a_pool_that_was_not_compared_with_its_provider_gives_nothing(store: Connection) -> None:
    await make_ready(store, "vm")
    await store.call("SET", keys.DOUBTED, REDIS)
    before = await contents(store)
    with pytest.raises(StoreAway, match="compared them with their provider"):
        await checkouts_of(store).checkout(one(), "id", None, LATER)
    assert await contents(store) == before
    assert await queues_of(store).verify(POOL, REDIS)
    assert await checkouts_of(store).checkout(one(), "id", None, LATER) == [Given(POOL, POOL, "vm")]


async def test_a_pool_is_not_verified_by_a_look_at_another_redis(store: Connection) -> None:
    await store.call("SET", keys.DOUBTED, REDIS)
    before = await contents(store)
    for looked_at in ("this 1", "another 2", ""):
        assert not await queues_of(store).verify(POOL, looked_at)
    assert await contents(store) == before


async def missing(store: Connection) -> None:
    await queues_of(store).miss(POOL, "vm", Queue.READY, True, NOW)


async def taken_by_its_record(store: Connection) -> None:
    await store.call("HSET", keys.record("vm"), "checkout", times.text(NOW))


async def in_use_too(store: Connection) -> None:
    await store.call("SADD", keys.queue(Queue.RUNNING, POOL), "vm")


@pytest.mark.parametrize("spoil", [missing, taken_by_its_record, in_use_too])
async def test_a_ready_vm_that_is_not_clear_is_left_to_the_manager(store: Connection, spoil: Any) -> None:
    await make_ready(store, "vm")
    await spoil(store)
    before = await contents(store)
    with pytest.raises(PoolEmpty):
        await checkouts_of(store).checkout(one(), "id", None, LATER)
    assert await contents(store) == before
    await make_ready(store, "other")
    assert await checkouts_of(store).checkout(one(), "id", None, LATER) == [Given(POOL, POOL, "other")]


async def test_a_pool_of_which_not_all_is_clear_gives_the_rest_beside_another(store: Connection) -> None:
    await make_ready(store, "vm", "clear")
    await missing(store)
    await make_ready(store, "other", pool="centos")
    given = await checkouts_of(store).checkout([Wanted("linux", 2, (POOL, "centos"))], "id", None, LATER)
    assert {each.vm for each in given} == {"clear", "other"}


# Stamps.


async def test_a_vm_whose_stamp_is_under_way_goes_back_when_it_is_clear(store: Connection) -> None:
    queues, checkouts = queues_of(store), checkouts_of(store)
    await make_running(store, "vm")
    assert await queues.stamp(POOL, "vm", "id", LATER)
    assert await checkouts.give_back(POOL, "vm", "id", "its client hung up", LATER)
    assert await standing(store) == [Queue.RUNNING]
    assert not (await record(store)).keys() & set(OF_A_CHECKOUT)
    assert (await record(store))["unclaimed"] == "its client hung up"
    assert not await queues.stamp(POOL, "vm", "", LATER), "nobody has it any more"
    assert await queues.put_back(POOL, "vm", LATER)
    assert await standing(store) == [Queue.READY]
    assert not {"unclaimed", "stamping"} & (await record(store)).keys()
    assert [event["what"] for event in await history(store)][-2:] == ["unclaimed", "returned"]


async def test_a_vm_that_a_client_has_is_not_put_back(store: Connection) -> None:
    await make_running(store, "vm")
    before = await contents(store)
    assert not await queues_of(store).put_back(POOL, "vm", LATER)
    assert await contents(store) == before


async def test_a_stamp_for_a_client_that_does_not_have_the_vm_is_not_started(store: Connection) -> None:
    await make_running(store, "vm")
    before = await contents(store)
    assert not await queues_of(store).stamp(POOL, "vm", "another", LATER)
    assert await contents(store) == before
    await make_ready(store, "ready")
    assert not await queues_of(store).stamp(POOL, "ready", "", LATER)


# Claims.


async def test_a_claimed_vm_is_its_holders_and_nothing_of_another_is_left(store: Connection) -> None:
    await store.call("HSET", keys.token("t-ann"), "user", "ann")
    await make_ready(store, "vm")
    await checkouts_of(store, vm_lifetime_auth=9).checkout(one(), "id", "t-ann", NOW)
    assert await queues_of(store).reclaim(POOL, "vm", Queue.RUNNING, HOLDER, BY_STAMP, LATER)
    known = await record(store)
    assert await standing(store) == [Queue.RUNNING]
    assert {"token:token", "lifetime"}.isdisjoint(known)
    assert (known["checkout_id"], known["token:user"], known["stamping"]) == ("another", "bob", "another")
    assert known["checkout"] == times.text(NOW - HOUR)
    assert float(known["lifetime_default"]) == 2
    assert await store.call("EXISTS", keys.HELD + "t-ann") == 0


async def test_a_later_end_of_the_same_checkout_keeps_its_token(store: Connection) -> None:
    await store.call("HSET", keys.token("t-ann"), "user", "ann")
    await make_ready(store, "vm")
    await checkouts_of(store).checkout(one(), "id", "t-ann", NOW)
    holder = Holder("ann", "id", NOW, NOW + 5 * HOUR)
    assert await queues_of(store).reclaim(POOL, "vm", Queue.RUNNING, holder, LONGER, LATER)
    known = await record(store)
    assert (known.get("token:token"), float(known["lifetime_default"])) == ("t-ann", 5)
    assert await store.call("HGET", keys.HELD + "t-ann", "vm") == POOL


@pytest.mark.parametrize(("asked", "kept"), [(9, "9"), (1, None), (0, "0")])
async def test_a_longer_lifetime_that_was_asked_for_since_the_loss_is_kept(
    store: Connection, asked: int, kept: str | None
) -> None:
    await make_ready(store, "vm")
    await Changes(store, settings()).make("vm", Change(asked), FREE, NOW)
    assert await queues_of(store).reclaim(POOL, "vm", Queue.READY, HOLDER, BY_STAMP, LATER)
    known = await record(store)
    assert (known.get("lifetime"), float(known["lifetime_default"])) == (kept, 2)


async def test_a_vm_of_an_unknown_moment_is_quarantined_for_the_lifetime_of_the_settings(store: Connection) -> None:
    await make_ready(store, "vm")
    await Changes(store, settings()).make("vm", Change(9), FREE, NOW)
    assert await queues_of(store, vm_lifetime=7).reclaim(POOL, "vm", Queue.READY, Holder(NOBODY), BY_STAMP, LATER)
    known = await record(store)
    assert (known["quarantined"], known["checkout"]) == (BY_STAMP, times.text(LATER))
    assert (known.get("lifetime"), float(known["lifetime_default"])) == (None, 7)
    assert (await history(store))[-1]["what"] == "quarantined"


async def test_the_end_of_a_checkout_is_in_the_record_and_that_of_a_ready_vm_is_none(store: Connection) -> None:
    await make_running(store, "vm")
    assert await queues_of(store).complete(POOL, "vm", Queue.RUNNING, "why", LATER)
    assert (await record(store)).get("completed") == times.text(LATER)
    await make_ready(store, "other")
    assert await queues_of(store).complete(POOL, "other", Queue.READY, "why", LATER)
    assert "completed" not in await hash_of(store, keys.record("other"))


# VMs that are discovered after a loss.


async def came_to_light(store: Connection) -> dict[str, str]:
    await store.call("SET", keys.UNCERTAIN, "a loss")
    assert await queues_of(store).discover(POOL, "vm", True, LATER)
    return await record(store)


async def test_a_vm_that_comes_to_light_after_its_end_is_no_earlier_clients(store: Connection) -> None:
    await store.call("HSET", keys.token("t-ann"), "user", "ann")
    await make_ready(store, "vm")
    await checkouts_of(store, vm_lifetime_auth=9).checkout(one(), "id", "t-ann", NOW)
    await queues_of(store).complete(POOL, "vm", Queue.RUNNING, "why", NOW)
    await queues_of(store).forget(POOL, "vm", 1, NOW)
    known = await came_to_light(store)
    assert await standing(store) == [Queue.RUNNING]
    assert known["quarantined"] == "a loss"
    assert {"token:token", "token:user", "lifetime"}.isdisjoint(known)


async def test_a_vm_that_comes_to_light_with_a_whole_record_is_not_quarantined(store: Connection) -> None:
    await make_running(store, "vm")
    before = await record(store)
    await store.call("DEL", keys.queue(Queue.RUNNING, POOL))
    assert await came_to_light(store) == before
    assert await standing(store) == [Queue.DISCOVERED]
