"""Checkouts (all VMs or none, and never a VM twice), returned VMs, and VMs that their client ends."""

import re
from itertools import combinations
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from tests.store.contents import (
    NOW,
    POOL,
    all_keys,
    checkouts_of,
    contents,
    events,
    hash_of,
    history,
    make_ready,
    make_running,
    members,
    queues_of,
    standing,
)
from vmpooler.domain import times
from vmpooler.domain.admission import FREE, Admission, Need
from vmpooler.domain.errors import NoSuchVm, PoolEmpty, TokenNeeded
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import OF_A_CHECKOUT, Checkouts, Given, Wanted
from vmpooler.store.redis.client import Connection

LATER = NOW + 100
WRITTEN = times.text(LATER)
TOKEN = "abcdefghijklmnopqrstuvwxyz012345"


@pytest.fixture
def checkouts(store: Connection) -> Checkouts:
    return checkouts_of(store)


def one(name: str = POOL, *pools: str) -> list[Wanted]:
    return [Wanted(name, 1, pools or (name,))]


async def stock(store: Connection, **ready: int) -> None:
    """Create pools with these numbers of ready VMs, without records."""
    for pool, count in ready.items():
        for number in range(count):
            await store.call("SADD", keys.queue(Queue.READY, pool), f"{pool}{number}")


async def known_token(store: Connection, user: str = "ann") -> None:
    await store.call("HSET", keys.token(TOKEN), "user", user, "created", times.text(NOW))


# Which VMs are given.


async def test_a_checkout_is_recorded_where_the_original_looks(store: Connection, checkouts: Checkouts) -> None:
    await make_ready(store, "vm")
    assert await checkouts.checkout(one(), "id1", None, LATER) == [Given(POOL, POOL, "vm")]
    assert await standing(store) == [Queue.RUNNING]
    assert await hash_of(store, keys.active(POOL)) == {"vm": WRITTEN}
    record = await hash_of(store, keys.record("vm"))
    assert (record["checkout"], record["checkout_id"]) == (WRITTEN, "id1")
    assert (record["template"], record["pool"]) == (POOL, POOL)
    assert not record.keys() & {"token:token", "token:user", "lifetime"}


async def test_a_vm_given_under_an_alias_is_its_real_pools(store: Connection, checkouts: Checkouts) -> None:
    await make_ready(store, "vm")
    assert await checkouts.checkout(one("deb", POOL), "id1", None, LATER) == [Given("deb", POOL, "vm")]
    assert await standing(store) == [Queue.RUNNING]


async def test_nothing_wanted_is_given_at_once(store: Connection, checkouts: Checkouts) -> None:
    assert await checkouts.checkout([], "id1", None, NOW) == []
    assert await contents(store) == {}


async def test_when_one_pool_runs_dry_nothing_is_changed(store: Connection, checkouts: Checkouts) -> None:
    await stock(store, a=3, b=1)
    before = await contents(store)
    with pytest.raises(PoolEmpty, match="for b"):
        await checkouts.checkout([Wanted("a", 2, ("a",)), Wanted("b", 2, ("b",))], "id1", None, NOW)
    assert await contents(store) == before


async def test_absurdly_many_are_refused_at_once(store: Connection, checkouts: Checkouts) -> None:
    await stock(store, a=3)
    with pytest.raises(PoolEmpty):
        await checkouts.checkout([Wanted("a", 10**6, ("a",))], "id1", None, NOW)


async def test_the_fullest_pool_of_an_alias_gives_first(store: Connection, checkouts: Checkouts) -> None:
    await stock(store, a=2, b=4)
    given = await checkouts.checkout([Wanted("any", 3, ("a", "b"))], "id1", None, NOW)
    assert [each.pool for each in given].count("b") >= 2
    assert (await checkouts.checkout(one("any", "a", "b"), "id2", None, NOW))[0].pool in ("a", "b")


async def test_a_pool_asked_for_by_its_own_name_gives_before_those_that_have_it_as_an_alias(
    store: Connection, checkouts: Checkouts
) -> None:
    await stock(store, a=1, b=4)
    given = await checkouts.checkout([Wanted("a", 2, ("a", "b"))], "id1", None, NOW)
    assert [each.pool for each in given] == ["a", "b"]


async def test_an_alias_makes_way_for_who_can_be_served_from_one_pool_only(
    store: Connection, checkouts: Checkouts
) -> None:
    await stock(store, a=1, b=1)
    wanted = [Wanted("any", 1, ("b", "a")), Wanted("a", 1, ("a",))]
    for order in (wanted, wanted[::-1]):
        given = await checkouts.checkout(order, "id1", None, NOW)
        assert {(each.name, each.vm) for each in given} == {("any", "b0"), ("a", "a0")}
        await store.call("FLUSHALL")
        await stock(store, a=1, b=1)


def can_be_served(wanted: list[Wanted], ready: dict[str, int]) -> bool:
    """Hall's theorem: no group of entries requests more VMs than its pools have together."""
    groups = (group for size in range(1, len(wanted) + 1) for group in combinations(wanted, size))
    return all(
        sum(each.count for each in group)
        <= sum(ready[pool] for pool in {pool for each in group for pool in each.pools})
        for group in groups
    )


@pytest.mark.parametrize("seed", range(12))
async def test_a_checkout_that_can_be_served_is_served_and_no_other(
    store: Connection, checkouts: Checkouts, seed: int
) -> None:
    chance, served = Random(seed), 0
    for _ in range(25):
        await store.call("FLUSHALL")
        pools = [f"p{number}" for number in range(chance.randint(1, 4))]
        ready = {pool: chance.randint(0, 3) for pool in pools}
        await stock(store, **ready)
        wanted = []
        for number in range(chance.randint(1, 4)):
            usable = tuple(chance.sample(pools, chance.randint(1, len(pools))))
            name = chance.choice([usable[0], f"alias{number}"])
            wanted.append(Wanted(name, chance.randint(1, 3), usable))
        before = await contents(store)
        if not can_be_served(wanted, ready):
            with pytest.raises(PoolEmpty):
                await checkouts.checkout(wanted, "id1", None, NOW)
            assert await contents(store) == before
            continue
        served += 1
        given = await checkouts.checkout(wanted, "id1", None, NOW)
        assert len({each.vm for each in given}) == len(given) == sum(each.count for each in wanted)
        for name in {each.name for each in wanted}:
            assert sum(each.name == name for each in given) == sum(each.count for each in wanted if each.name == name)
        for each in given:
            assert any(each.pool in wish.pools for wish in wanted if wish.name == each.name)
        for pool in pools:
            mine = {each.vm for each in given if each.pool == pool}
            assert await members(store, Queue.RUNNING, pool) == mine
            assert await members(store, Queue.READY, pool) == {f"{pool}{n}" for n in range(ready[pool])} - mine
    assert served


async def test_of_a_large_pool_many_can_be_had_at_once(store: Connection, checkouts: Checkouts) -> None:
    names = [f"vm{number}" for number in range(3000)]
    await store.call("SADD", keys.queue(Queue.READY, POOL), *names)
    given = await checkouts.checkout([Wanted("x", 1500, (POOL,)), Wanted(POOL, 1500, (POOL,))], "id1", None, NOW)
    assert {each.vm for each in given} == set(names)


async def test_what_was_taken_before_costs_redis_next_to_nothing(store: Connection, checkouts: Checkouts) -> None:
    await store.call("SADD", keys.queue(Queue.READY, POOL), *(f"vm{number}" for number in range(200)))
    for number in range(170):
        if number == 150:
            await store.call("CONFIG", "RESETSTAT")
        await checkouts.checkout(one(), f"id{number}", None, NOW)
    scans = re.search(r"cmdstat_sscan:calls=(\d+)", await store.call("INFO", "commandstats"))
    assert scans
    assert 20 <= int(scans[1]) < 20 * 4, "of 20 checkouts; it were more than 15 each if all began at the same place"


async def test_clients_at_once_never_get_the_same_vm(store: Connection, checkouts: Checkouts) -> None:
    await make_ready(store, *(f"vm{number}" for number in range(20)))

    async def client(number: int) -> list[str]:
        try:
            return [each.vm for each in await checkouts.checkout(one()[:1], f"id{number}", None, NOW)]
        except PoolEmpty:
            return []

    answers = await gatherResults([Deferred.fromCoroutine(client(number)) for number in range(30)])
    got = [vm for answer in answers for vm in answer]
    assert len(got) == len(set(got)) == 20


# Tokens.


async def test_a_known_token_makes_the_vm_its_users(store: Connection) -> None:
    await make_ready(store, "vm")
    await known_token(store)
    await checkouts_of(store, vm_lifetime_auth=48).checkout(one(), "id1", TOKEN, LATER)
    record = await hash_of(store, keys.record("vm"))
    assert (record["token:token"], record["token:user"], record["lifetime"]) == (TOKEN, "ann", "48")
    assert (await hash_of(store, keys.token(TOKEN)))["last"] == WRITTEN


async def test_without_a_lifetime_of_their_own_users_get_the_usual_one(store: Connection, checkouts: Checkouts) -> None:
    await make_ready(store, "vm")
    await known_token(store)
    await checkouts.checkout(one(), "id1", TOKEN, LATER)
    assert "lifetime" not in await hash_of(store, keys.record("vm"))


async def test_without_a_token_the_usual_lifetime_holds(store: Connection) -> None:
    await make_ready(store, "vm")
    await checkouts_of(store, vm_lifetime_auth=48).checkout(one(), "id1", None, LATER)
    assert "lifetime" not in await hash_of(store, keys.record("vm"))


@pytest.mark.parametrize("token", ["unknown", ""])
async def test_an_unknown_token_is_refused_before_any_queue_is_touched(
    store: Connection, checkouts: Checkouts, token: str
) -> None:
    await make_ready(store, "vm")
    before = await contents(store)
    with pytest.raises(TokenNeeded):
        await checkouts.checkout(one(), "id1", token, LATER)
    assert await contents(store) == before


async def test_a_dry_pool_does_not_count_as_a_use_of_the_token(store: Connection, checkouts: Checkouts) -> None:
    await known_token(store)
    before = await contents(store)
    with pytest.raises(PoolEmpty):
        await checkouts.checkout(one(), "id1", TOKEN, LATER)
    assert await contents(store) == before


async def test_events_have_the_user_and_never_the_token(store: Connection, checkouts: Checkouts) -> None:
    await make_ready(store, "vm", "other")
    await known_token(store)
    await checkouts.checkout([Wanted(POOL, 2, (POOL,))], "id1", TOKEN, LATER)
    await checkouts.complete(POOL, "vm", Admission(TOKEN, Need.WHERE_TAKEN), LATER)
    await checkouts.give_back(POOL, "other", "id1", "why", LATER)
    assert [event["by"] for event in (await events(store))[-4:]] == ["ann", "ann", "ann", "api"]
    for key in (keys.EVENTS, keys.history("vm"), keys.history("other")):
        assert TOKEN not in str((await contents(store))[key])


async def test_a_checkout_is_one_event_a_vm_the_same_in_stream_and_history(
    store: Connection, checkouts: Checkouts
) -> None:
    await make_ready(store, "vm", "other")
    before = len(await events(store))
    await checkouts.checkout([Wanted("any", 2, (POOL,))], "id1", None, LATER)
    new = (await events(store))[before:]
    common = {"what": "checkout", "pool": POOL, "when": "1700000100.000", "by": "anonymous", "checkout_id": "id1"}
    assert sorted(new, key=lambda event: event["vm"]) == [{**common, "vm": "other"}, {**common, "vm": "vm"}]
    assert (await history(store, "vm"))[-1] == {**common, "vm": "vm"}


async def test_the_history_of_a_vm_without_a_record_lasts_as_long_as_the_record_it_gets(
    store: Connection, checkouts: Checkouts
) -> None:
    await stock(store, a=1)
    await checkouts.checkout(one("a"), "id1", None, LATER)
    assert [await store.call("TTL", key) for key in (keys.record("a0"), keys.history("a0"))] == [-1, -1]


# Returned VMs.


async def test_a_vm_whose_client_is_gone_is_as_if_it_had_never_been_given(
    store: Connection, checkouts: Checkouts
) -> None:
    await make_ready(store, "vm")
    await known_token(store)
    ready = await hash_of(store, keys.record("vm"))
    await checkouts_of(store, vm_lifetime_auth=48).checkout(one(), "id1", TOKEN, LATER)
    await queues_of(store).miss(POOL, "vm", Queue.RUNNING, True, LATER)
    assert await checkouts.give_back(POOL, "vm", "id1", "its client hung up", LATER)
    assert await standing(store) == [Queue.READY]
    assert await hash_of(store, keys.record("vm")) == ready
    assert not {keys.active(POOL), keys.since(POOL)} & set(await all_keys(store))
    assert not ready.keys() & set(OF_A_CHECKOUT)
    assert (await history(store))[-1]["why"] == "its client hung up"


async def test_a_vm_is_not_given_back_for_a_client_whose_it_is_not(store: Connection, checkouts: Checkouts) -> None:
    await make_ready(store, "vm")
    await checkouts.checkout(one(), "id1", None, LATER)
    await checkouts.give_back(POOL, "vm", "id1", "why", LATER)
    await checkouts.checkout(one(), "id2", None, LATER)
    before = await contents(store)
    assert not await checkouts.give_back(POOL, "vm", "id1", "why", LATER)
    assert await contents(store) == before


async def test_a_completed_vm_is_not_given_back(store: Connection, checkouts: Checkouts) -> None:
    await make_running(store, "vm")
    await checkouts.complete(POOL, "vm", FREE, LATER)
    before = await contents(store)
    assert not await checkouts.give_back(POOL, "vm", "id", "why", LATER)
    assert await contents(store) == before


# A client ends its VM.


@pytest.mark.parametrize("token", [None, "unknown", TOKEN])
async def test_a_vm_taken_without_a_token_may_be_ended_by_anyone(
    store: Connection, checkouts: Checkouts, token: str | None
) -> None:
    await make_running(store, "vm")
    await known_token(store)
    await checkouts.complete(POOL, "vm", Admission(token, Need.WHERE_TAKEN), LATER)
    assert await standing(store) == [Queue.COMPLETED]


@pytest.mark.parametrize("token", [None, "", "unknown"])
async def test_a_vm_taken_with_a_token_needs_one_that_is_known(
    store: Connection, checkouts: Checkouts, token: str | None
) -> None:
    await make_ready(store, "vm")
    await known_token(store)
    await checkouts.checkout(one(), "id1", TOKEN, NOW)
    before = await contents(store)
    with pytest.raises(TokenNeeded):
        await checkouts.complete(POOL, "vm", Admission(token, Need.WHERE_TAKEN), LATER)
    assert await contents(store) == before
    await checkouts.complete(POOL, "vm", Admission(TOKEN, Need.WHERE_TAKEN), LATER)
    assert await standing(store) == [Queue.COMPLETED]
    assert (await hash_of(store, keys.token(TOKEN)))["last"] == WRITTEN


async def test_where_nobody_logs_in_tokens_of_earlier_days_bind_nobody(store: Connection, checkouts: Checkouts) -> None:
    await make_ready(store, "vm")
    await known_token(store)
    await checkouts.checkout(one(), "id1", TOKEN, NOW)
    await checkouts.complete(POOL, "vm", FREE, LATER)
    assert await standing(store) == [Queue.COMPLETED]


@pytest.mark.parametrize("prepare", [make_ready, None])
async def test_only_a_running_vm_can_be_ended(store: Connection, checkouts: Checkouts, prepare: Any) -> None:
    if prepare:
        await prepare(store, "vm")
    before = await contents(store)
    with pytest.raises(NoSuchVm):
        await checkouts.complete(POOL, "vm", Admission(None, Need.WHERE_TAKEN), LATER)
    assert await contents(store) == before
