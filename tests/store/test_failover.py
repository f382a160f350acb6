"""A Redis that forgot what was written last: what clients were told of is not given twice, and not lost."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import LogEvent

from tests.redis_server import RedisServer
from tests.store.contents import NOW, checkouts_of, events, hash_of, make_ready, members, queues_of, settings, standing
from vmpooler.domain.admission import FREE
from vmpooler.domain.change import Change
from vmpooler.domain.checkout import Given, Wanted
from vmpooler.domain.errors import StoreAway
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.settings import Pool, Redis
from vmpooler.store import failover, keys
from vmpooler.store.changes import Changes
from vmpooler.store.connection import Connection
from vmpooler.store.failover import Failover
from vmpooler.store.tasks import Tasks
from vmpooler.store.tokens import Tokens

clock: Any = reactor

POOLS = (Pool(name="debian", size=5),)

Join = Callable[..., Awaitable[Connection]]

SHORT = 3
"""Seconds that one is waited for who does not come. Redis counts whole ones, so it may be one less."""

SOON = failover.LONGEST + 10
"""Seconds in which a fail-over is over, on a busy machine."""


@pytest_twisted.async_yield_fixture
async def join(spare_redis: RedisServer) -> AsyncIterator[Join]:
    """A process comes to the Redis: the connection that it has."""
    made: list[Connection] = []

    async def come(process: Failover) -> Connection:
        connection = Connection(spare_redis.settings, reactor, size=2, quiet=True, failover=process)
        made.append(connection)
        connection.start()
        await connection.wait_ready(SOON)
        return connection

    yield come
    for connection in made:
        await connection.close()


def process(who: str, longest: float = failover.LONGEST, **redis: Any) -> Failover:
    return Failover(attrs.evolve(settings(), pools=POOLS, redis=Redis(**redis)), who, clock, clock.seconds, longest)


async def check_out(connection: Connection, vms: int = 1, token: str | None = None) -> list[str]:
    given: list[Given] = await checkouts_of(connection, vm_lifetime_auth=7).checkout(
        [Wanted("debian", vms, ("debian",))], "first", token, NOW
    )
    return [each.vm for each in given]


async def forget_what_follows(connection: Connection) -> None:
    """Have Redis come up with this when it is started the next time."""
    await connection.call("SAVE")


def restart(redis: RedisServer) -> None:
    redis.kill()
    redis.start()


async def test_a_checkout_that_redis_forgot_is_its_clients_again_before_anybody_is_answered(
    join: Join, spare_redis: RedisServer
) -> None:
    one, other = await join(process("one")), await join(process("other"))
    await make_ready(one, "vm")
    await Tokens(one, ["debian"]).add("secret", "ann", NOW)
    await forget_what_follows(one)
    assert await check_out(one, token="secret") == ["vm"]
    restart(spare_redis)
    await other.wait_ready(SOON)
    assert await standing(other) == [Queue.RUNNING]
    record = await hash_of(other, keys.record("vm"))
    expected = {"checkout_id": "first", "token:token": "secret", "token:user": "ann", "lifetime": "7"}
    assert expected.items() <= record.items()
    assert (await events(other))[-1]["what"] == "restored"
    await one.wait_ready(SOON)
    assert (await Tokens(one, ["debian"]).show("secret")).running == ("vm",)


async def test_whatever_else_clients_were_told_of_is_done_again(join: Join, spare_redis: RedisServer) -> None:
    one, known = await join(process("one")), settings()
    for vm in ("kept", "done"):
        await make_ready(one, vm)
    await check_out(one, 2)
    await forget_what_follows(one)
    await checkouts_of(one).complete("debian", "done", FREE, NOW)
    await Changes(one, known).make("kept", Change(9, {"team": "red"}), FREE, NOW)
    await Tasks(one, known, lambda text: text[0], "api").request("kept", Kind.DISK, "8", FREE, NOW)
    await Tokens(one, ["debian"]).add("secret", "ann", NOW)
    restart(spare_redis)
    await one.wait_ready(SOON)
    assert await standing(one, "done") == [Queue.COMPLETED]
    assert {"lifetime": "9", "tag:team": "red"}.items() <= (await hash_of(one, keys.record("kept"))).items()
    assert len(await one.call("SMEMBERS", keys.intake(Kind.DISK))) == 1
    assert (await Tokens(one, ["debian"]).show("secret")).user == "ann"


async def test_what_redis_did_not_forget_is_not_done_twice(join: Join, spare_redis: RedisServer) -> None:
    one, known = await join(process("one")), settings()
    for vm in ("kept", "done"):
        await make_ready(one, vm)
    await check_out(one, 2)
    await checkouts_of(one).complete("debian", "done", FREE, NOW)
    await Changes(one, known).make("kept", Change(9, {"team": "red"}), FREE, NOW)
    await Changes(one, known).make("kept", Change(None, {"team": "blue"}), FREE, NOW + 1)
    await Tasks(one, known, lambda text: text[0], "api").request("kept", Kind.DISK, "8", FREE, NOW)
    await queues_of(one).forget("debian", "done", 1, NOW)
    before = await events(one)
    await forget_what_follows(one)
    restart(spare_redis)
    await one.wait_ready(SOON)
    assert await events(one) == before
    assert (await hash_of(one, keys.record("kept")))["tag:team"] == "blue"
    assert len(await one.call("SMEMBERS", keys.intake(Kind.DISK))) == 1


async def test_a_vm_that_went_back_is_no_longer_its_clients(join: Join, spare_redis: RedisServer) -> None:
    one = await join(process("one"))
    await make_ready(one, "vm")
    await forget_what_follows(one)
    await check_out(one)
    assert await checkouts_of(one).give_back("debian", "vm", "first", "its client hung up", NOW)
    restart(spare_redis)
    await one.wait_ready(SOON)
    assert await standing(one) == [Queue.READY]


@pytest.mark.parametrize("stood", ["pending", "nowhere"])
async def test_a_vm_is_restored_though_redis_forgot_that_it_was_ready(
    join: Join, spare_redis: RedisServer, stood: str
) -> None:
    one = await join(process("one"))
    if stood == "pending":
        assert await queues_of(one).begin_clone("debian", "vm", 5, NOW) == "ok"
        await forget_what_follows(one)
        await queues_of(one).promote("debian", "vm", "", 1, NOW)
    else:
        await forget_what_follows(one)
        await make_ready(one, "vm")
    await check_out(one)
    restart(spare_redis)
    await one.wait_ready(SOON)
    assert await standing(one) == [Queue.RUNNING]
    assert await one.call("HLEN", keys.CLONING) == 0


async def given_by_one_that_dies(join: Join, redis: RedisServer, **settings: Any) -> tuple[Connection, Failover, str]:
    """A process, one that dies after it gave a VM away, and that VM. Redis has forgotten that, and another VM is ready
    and a third being cloned."""
    doomed = process("doomed", **settings)
    one, other = await join(process("one", SHORT, **settings)), await join(doomed)
    for vm in ("a", "b"):
        await make_ready(one, vm)
    await queues_of(one).begin_clone("debian", "cloning", 5, NOW)
    await forget_what_follows(one)
    (given,) = await check_out(other)
    redis.kill()
    await other.close()
    redis.start()
    return one, doomed, given


async def test_what_a_dead_process_may_have_given_away_is_put_out_of_reach(
    join: Join, spare_redis: RedisServer
) -> None:
    one, _, given = await given_by_one_that_dies(join, spare_redis)
    while "doomed is waited for" not in one.last_error:
        await deferLater(clock, 0.01)
    with pytest.raises(StoreAway, match="doomed"):
        await check_out(one)
    await one.wait_ready(SOON)
    assert await members(one, Queue.RUNNING) == {"a", "b"}
    assert await standing(one, "cloning") == [Queue.PENDING]
    assert "doomed" in (await hash_of(one, keys.record(given)))["quarantined"]
    assert [event["what"] for event in await events(one)][-2:] == ["quarantined"] * 2
    assert await queues_of(one).discover("debian", "ours", True, NOW)
    assert await queues_of(one).discover("debian", "foreign", False, NOW)
    assert await standing(one, "ours") == [Queue.RUNNING]
    assert await standing(one, "foreign") == [Queue.DISCOVERED]


async def test_a_process_that_comes_late_has_its_vm_back(join: Join, spare_redis: RedisServer) -> None:
    one, late, given = await given_by_one_that_dies(join, spare_redis)
    await one.wait_ready(SOON)
    await join(late)
    record = await hash_of(one, keys.record(given))
    assert record["checkout_id"] == "first"
    assert "quarantined" not in record
    assert await standing(one, given) == [Queue.RUNNING]


async def test_where_replicas_are_waited_for_nothing_is_put_out_of_reach(join: Join, spare_redis: RedisServer) -> None:
    one, _, _ = await given_by_one_that_dies(join, spare_redis, wait_replicas=1)
    await one.wait_ready(SOON)
    assert await members(one, Queue.READY) == {"a", "b"}


async def test_nobody_waits_for_a_process_that_ended_in_order_or_long_before(
    join: Join, spare_redis: RedisServer
) -> None:
    one, ended = await join(process("one")), await join(process("ended"))
    await ended.close()
    await one.call("ZADD", keys.PROCESSES, clock.seconds() - failover.DEAD - 5, "dead before")
    await make_ready(one, "vm")
    await forget_what_follows(one)
    restart(spare_redis)
    await one.wait_ready(SOON)
    assert await standing(one) == [Queue.READY], "somebody was waited for who did not come"


async def test_a_process_lives_on_in_redis_for_as_long_as_it_lives(join: Join, spare_redis: RedisServer) -> None:
    one = await join(process("one"))
    (name, first) = await one.call("ZRANGE", keys.PROCESSES, 0, -1, "WITHSCORES")
    assert name == "one"
    while float((await one.call("ZRANGE", keys.PROCESSES, 0, -1, "WITHSCORES"))[1]) <= float(first):
        await deferLater(clock, 0.1)


async def test_a_vm_that_another_client_has_is_left_to_it_and_that_is_told(
    join: Join, spare_redis: RedisServer, logged: list[LogEvent]
) -> None:
    late = process("late")
    one, other = await join(process("one", SHORT)), await join(late)
    await make_ready(one, "vm")
    await forget_what_follows(one)
    await check_out(other)
    spare_redis.kill()
    await other.close()
    spare_redis.start()
    await one.wait_ready(SOON)
    await one.call("HDEL", keys.record("vm"), "quarantined")  # as if somebody had given it away
    await join(late)
    assert "checkout_id" not in await hash_of(one, keys.record("vm"))
    assert any("to another since" in str(event.get("why")) for event in logged)
