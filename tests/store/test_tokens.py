"""Tokens, and the VMs that were checked out with them, including those that another program wrote."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from tests.store.contents import (
    NOW,
    POOL,
    all_keys,
    checkouts_of,
    contents,
    hash_of,
    make_ready,
    make_running,
    queues_of,
    settings,
    standing,
)
from vmpooler.domain import times
from vmpooler.domain.admission import FREE, Admission, Need
from vmpooler.domain.change import Change
from vmpooler.domain.errors import NoSuchToken, NothingToDelete, NotYours, TokenNeeded
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Wanted
from vmpooler.store.commands.tokens import BATCH, GOOD_FOR, Token, Tokens
from vmpooler.store.commands.vm_updates import Changes
from vmpooler.store.queries.pool_state import read_state
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import Script

WRITTEN = times.text(NOW)


@attrs.define
class CountedTrips:
    """A connection that counts round trips."""

    connection: Connection
    trips: int = 0

    async def run(self, script: Script, /, **values: Any) -> Any:
        self.trips += 1
        return await self.connection.run(script, **values)


@pytest.fixture
def counted(store: Connection) -> CountedTrips:
    return CountedTrips(store)


@pytest.fixture
def tokens(counted: Any) -> Tokens:
    return Tokens(counted, [POOL, "centos"])


async def crowd(store: Connection) -> None:
    """Create more keys than one step of a scan covers."""
    script = "for i = 1, ARGV[1] do redis.call('SET', 'other' .. i, '') end"
    await store.call("EVAL", script, 0, 2 * BATCH)


async def elsewhere(store: Connection, name: str, user: str, created: str = WRITTEN) -> None:
    """Write a token as another program does."""
    await store.call("HSET", keys.token(name), "user", user, "created", created)


async def names(tokens: Tokens, user: str = "ann") -> list[str]:
    return [token.name for token in await tokens.of(user)]


async def taken(store: Connection, vm: str, token: str | None, pool: str = POOL) -> None:
    """Create a VM that this service checked out."""
    await make_ready(store, vm, pool=pool)
    await checkouts_of(store).checkout([Wanted(pool, 1, (pool,))], vm, token, NOW)


async def taken_elsewhere(store: Connection, vm: str, token: str | None, pool: str = POOL) -> None:
    """Create a VM that Ruby vmpooler checked out, with the writes in its order."""
    await store.call("SADD", keys.queue(Queue.RUNNING, pool), vm)
    await store.call("HSET", keys.record(vm), "template", pool, "checkout", WRITTEN)
    if token is not None:
        await store.call("HSET", keys.record(vm), "token:token", token, "token:user", "ann")


async def running(tokens: Tokens, name: str = "t1") -> tuple[str, ...]:
    return (await tokens.show(name)).running


# A user's tokens.


async def test_a_token_is_written_as_the_original_does(store: Connection, tokens: Tokens) -> None:
    await tokens.add("t1", "ann", NOW)
    assert await contents(store) == {keys.token("t1"): ["user", "ann", "created", WRITTEN]}


async def test_a_user_has_the_tokens_made_here_and_elsewhere_the_oldest_first(
    store: Connection, tokens: Tokens
) -> None:
    await elsewhere(store, "t3", "ann", times.text(NOW + 20))
    await tokens.add("t2", "ann", NOW + 10)
    assert await tokens.of("ann") == [
        Token("t2", "ann", times.text(NOW + 10), ""),
        Token("t3", "ann", times.text(NOW + 20), ""),
    ]
    await elsewhere(store, "t1", "ann")
    await elsewhere(store, "other", "bob")
    await store.call("SET", keys.token("odd"), "no hash")
    assert await names(tokens) == ["t1", "t2", "t3"]
    assert await names(tokens, "nobody") == []


@pytest.mark.parametrize("user", ["*", "a*n", "[a]nn", "vmpooler__token__", "ü ö", 'x"y\n', "t1"])
async def test_a_user_may_have_any_name(tokens: Tokens, user: str) -> None:
    await tokens.add("t1", "ann", NOW)
    await tokens.add("t2", user, NOW)
    assert await names(tokens, user) == ["t2"]
    assert await names(tokens) == ["t1"]


async def test_among_many_keys_the_tokens_are_looked_for_once(
    store: Connection, tokens: Tokens, counted: CountedTrips
) -> None:
    await crowd(store)
    expected = [f"t{number}" for number in range(9)]
    for name in expected:
        await elsewhere(store, name, "ann")
    assert await names(tokens) == expected
    assert counted.trips > 1
    counted.trips = 0
    assert await names(tokens) == expected
    assert counted.trips == 1
    assert 0 < await store.call("TTL", keys.tokens("ann")) <= GOOD_FOR


async def test_among_many_keys_what_happens_here_is_known_at_once(store: Connection, tokens: Tokens) -> None:
    await crowd(store)
    await elsewhere(store, "t1", "ann")
    assert await names(tokens) == ["t1"]
    await tokens.add("t2", "ann", NOW)
    for name in ("used", "shown", "unused"):
        await elsewhere(store, name, "ann", times.text(NOW + 1))
    await taken(store, "vm", "used")
    await Changes(store, settings()).make("vm", Change(4), Admission("shown", Need.ALWAYS), NOW)
    assert await names(tokens) == ["t1", "t2", "shown", "used"]
    await tokens.drop("t2", "ann", False)
    assert set(await store.call("SMEMBERS", keys.tokens("ann"))) == {"t1", "shown", "used"}
    await store.call("DEL", keys.token("t1"))
    assert await names(tokens) == ["shown", "used"]
    assert set(await store.call("SMEMBERS", keys.tokens("ann"))) == {"shown", "used"}
    await store.call("DEL", keys.tokens("ann"))
    assert await names(tokens) == ["shown", "unused", "used"], "after an hour everything is known"


async def test_a_list_of_tokens_never_starts_with_some_of_them(store: Connection, tokens: Tokens) -> None:
    await crowd(store)
    await elsewhere(store, "old", "ann")
    await tokens.add("t1", "ann", NOW)
    await taken(store, "vm", "t1")
    assert await names(tokens) == ["old", "t1"]


async def test_among_many_keys_tokens_are_found_for_who_has_lost_all_of_theirs(
    store: Connection, tokens: Tokens
) -> None:
    await crowd(store)
    await tokens.add("t1", "ann", NOW)
    assert await names(tokens) == ["t1"]
    await tokens.drop("t1", "ann", True)
    assert await names(tokens) == []
    await elsewhere(store, "t2", "ann")
    assert await names(tokens) == ["t2"]


# One token.


async def test_a_token_is_returned_with_its_last_use(store: Connection, tokens: Tokens) -> None:
    await tokens.add("t1", "ann", NOW)
    assert await tokens.show("t1") == Token("t1", "ann", WRITTEN, "")
    await taken(store, "vm", "t1")
    assert await tokens.show("t1") == Token("t1", "ann", WRITTEN, WRITTEN, ("vm",))


@pytest.mark.parametrize("name", ["", "nothing", "*", "\udcff"])
async def test_an_unknown_token_is_not_returned(tokens: Tokens, name: str) -> None:
    with pytest.raises(NoSuchToken):
        await tokens.show(name)


@pytest.mark.parametrize("take", [taken, taken_elsewhere])
async def test_a_token_has_the_running_vms_that_were_checked_out_with_it(
    store: Connection, tokens: Tokens, counted: CountedTrips, take: Any
) -> None:
    for name in ("t1", "t2"):
        await tokens.add(name, "ann", NOW)
    for vm, token, pool in (("a", "t1", POOL), ("b", "t2", POOL), ("c", None, POOL), ("d", "t1", "centos")):
        await take(store, vm, token, pool)
    counted.trips = 0
    assert await running(tokens) == ("a", "d")
    assert await running(tokens, "t2") == ("b",)
    assert counted.trips == 2, "one for each"


async def test_a_vm_that_another_program_checks_out_is_found_although_it_writes_the_token_last(
    store: Connection, tokens: Tokens
) -> None:
    await tokens.add("t1", "ann", NOW)
    await taken_elsewhere(store, "vm", None)
    assert await running(tokens) == ()
    await taken_elsewhere(store, "vm", "t1")
    assert await running(tokens) == ("vm",)


async def test_a_look_enters_the_vms_that_another_program_checked_out(store: Connection) -> None:
    await taken_elsewhere(store, "vm", "t1")
    await read_state(store, POOL, 24)
    assert await hash_of(store, keys.HELD + "t1") == {"vm": POOL}
    assert await store.call("SMEMBERS", keys.BOOKED + POOL) == ["vm"]
    await store.call("SMOVE", keys.queue(Queue.RUNNING, POOL), keys.queue(Queue.COMPLETED, POOL), "vm")
    await read_state(store, POOL, 24)
    assert not [key for key in await all_keys(store) if key.startswith((keys.HELD, keys.BOOKED))]


async def given_back(store: Connection) -> None:
    assert await checkouts_of(store).give_back(POOL, "vm", "vm", "why", NOW)


async def completed(store: Connection) -> None:
    await checkouts_of(store).complete(POOL, "vm", FREE, NOW)


async def expired(store: Connection) -> None:
    await queues_of(store).complete(POOL, "vm", Queue.RUNNING, "why", NOW)


async def ended_elsewhere(store: Connection) -> None:
    await store.call("SMOVE", keys.queue(Queue.RUNNING, POOL), keys.queue(Queue.COMPLETED, POOL), "vm")


async def destroyed_after_an_end_elsewhere(store: Connection) -> None:
    await ended_elsewhere(store)
    await queues_of(store).forget(POOL, "vm", 1, NOW)


async def taken_by_another_token(store: Connection) -> None:
    await given_back(store)
    await checkouts_of(store).checkout([Wanted(POOL, 1, (POOL,))], "again", "t2", NOW)


OURS: Sequence[Any] = (given_back, completed, expired, destroyed_after_an_end_elsewhere, taken_by_another_token)


@pytest.mark.parametrize("end", [*OURS, ended_elsewhere])
async def test_a_token_has_a_vm_no_longer_than_it_runs(store: Connection, tokens: Tokens, end: Any) -> None:
    for name in ("t1", "t2"):
        await tokens.add(name, "ann", NOW)
    await taken(store, "vm", "t1")
    await end(store)
    if end in OURS:
        assert keys.HELD + "t1" not in await all_keys(store), "nothing is left to be found out"
    assert await running(tokens) == ()
    assert keys.HELD + "t1" not in await all_keys(store)


async def test_a_vm_that_changed_hands_elsewhere_is_its_first_tokens_no_longer(
    store: Connection, tokens: Tokens
) -> None:
    await tokens.add("t1", "ann", NOW)
    await taken(store, "vm", "t1")
    await taken_elsewhere(store, "vm", "t2")
    assert await running(tokens) == ()


async def test_a_token_has_no_vm_that_ended_elsewhere_in_a_pool_that_is_no_longer_configured(
    store: Connection, tokens: Tokens
) -> None:
    await tokens.add("t1", "ann", NOW)
    await taken(store, "vm", "t1", "fedora")
    assert await running(tokens) == ("vm",)
    await store.call("SREM", keys.queue(Queue.RUNNING, "fedora"), "vm")
    assert await running(tokens) == ()


# Deletion of a token.


async def test_vms_keep_the_token_that_is_deleted_and_then_need_another(store: Connection, tokens: Tokens) -> None:
    await tokens.add("t1", "ann", NOW)
    await tokens.add("t2", "bob", NOW)
    await taken(store, "vm", "t1")
    await tokens.drop("t1", "bob", False)
    assert (await hash_of(store, keys.record("vm")))["token:token"] == "t1"
    with pytest.raises(NoSuchToken):
        await tokens.show("t1")
    with pytest.raises(TokenNeeded):
        await checkouts_of(store).complete(POOL, "vm", Admission("t1", Need.WHERE_TAKEN), NOW)
    await checkouts_of(store).complete(POOL, "vm", Admission("t2", Need.WHERE_TAKEN), NOW)


async def test_only_its_user_deletes_a_token_where_that_is_wanted(store: Connection, tokens: Tokens) -> None:
    await tokens.add("t1", "ann", NOW)
    before = await contents(store)
    with pytest.raises(NotYours):
        await tokens.drop("t1", "bob", True)
    assert await contents(store) == before
    await tokens.drop("t1", "ann", True)
    assert await contents(store) == {}
    with pytest.raises(NothingToDelete):
        await tokens.drop("t1", "ann", True)


# The owner of a VM.


@pytest.mark.parametrize(
    ("token", "fields", "mine"),
    [
        ("anns", {"token:token": "anns", "token:user": "ann"}, True),
        ("anns2", {"token:token": "anns", "token:user": "ann"}, True),
        ("bobs", {"token:token": "anns", "token:user": "ann"}, False),
        ("bobs", {}, True),
        ("anns", {"token:token": "anns"}, True),
        ("anns2", {"token:token": "anns"}, True),
        ("bobs", {"token:token": "anns"}, False),
        ("anns", {"token:token": "deleted", "token:user": "ann"}, True),
        ("anns", {"token:token": "deleted"}, False),
        ("nameless", {"token:token": "nameless", "token:user": ""}, True),
        ("nameless", {"token:token": "deleted", "token:user": ""}, False),
    ],
)
async def test_a_vm_is_its_users_and_where_no_user_is_known_its_tokens(
    store: Connection, tokens: Tokens, token: str, fields: dict[str, str], mine: bool
) -> None:
    for name, user in (("anns", "ann"), ("anns2", "ann"), ("bobs", "bob")):
        await tokens.add(name, user, NOW)
    await store.call("HSET", keys.token("nameless"), "created", WRITTEN)
    await make_running(store, "vm")
    for field, value in fields.items():
        await store.call("HSET", keys.record("vm"), field, value)
    admission = Admission(token, Need.WHERE_TAKEN, own=True)
    if not mine:
        with pytest.raises(NotYours):
            await checkouts_of(store).complete(POOL, "vm", admission, NOW)
        assert "last" not in await hash_of(store, keys.token(token)), "a refusal is no use"
    else:
        await checkouts_of(store).complete(POOL, "vm", admission, NOW)
    assert await standing(store) == [Queue.COMPLETED if mine else Queue.RUNNING]
