"""A Redis that lost its last writes: a VM that was promised to a client is not given twice, and not lost."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import LogEvent

from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.store.contents import NOW, checkouts_of, events, hash_of, make_ready, members, queues_of, settings, standing
from vmpooler.domain.admission import FREE
from vmpooler.domain.change import Change
from vmpooler.domain.errors import StoreAway
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.settings import Pool, Redis
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Given, Wanted
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.tokens import Tokens
from vmpooler.store.commands.vm_updates import Changes
from vmpooler.store.failover import recovery
from vmpooler.store.failover.recovery import Failover
from vmpooler.store.redis.client import Connection
from vmpooler.store.stream import BLOCK_SECONDS, EventStream

clock: Any = reactor

POOLS = (Pool(name="debian", size=5),)

Join = Callable[..., Awaitable[Connection]]

SHORT = 3
"""Seconds of the wait for a process that does not arrive. Redis counts whole seconds, so it may be one less."""

SOON = recovery.MAX_WAIT + 10
"""Seconds in which a failover ends, even on a busy machine."""


@pytest_twisted.async_yield_fixture
async def join(spare_redis: RedisServer) -> AsyncIterator[Join]:
    """Returns a function that lets a process arrive at the Redis, and returns its connection."""
    made: list[Connection] = []
    streams: list[EventStream] = []

    async def come(process: Failover) -> Connection:
        connection = Connection(spare_redis.settings, reactor, size=2, quiet=True, failover=process)
        reader = connection.reader(BLOCK_SECONDS + 5)
        made.extend((connection, reader))
        connection.start()
        reader.start()
        await connection.wait_ready(SOON)
        await reader.wait_ready(SOON)
        streams.append(EventStream(reader, reactor))
        streams[-1].follow(process.saw)
        if isinstance(process, WitnessProcess):
            streams[-1].listen(process.on_event)
        streams[-1].start()
        return connection

    yield come
    for stream in streams:
        stream.stop()
    for connection in made:
        await connection.close()


class WitnessProcess(Failover):
    """A process on which tests can wait until it has received an event."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.seen: list[str] = []

    def on_event(self, event: Event) -> None:
        self.seen.append(event.what)

    async def until_seen(self, what: What) -> None:
        while what not in self.seen:
            await deferLater(clock, 0.01)


def process(who: str, longest: float = recovery.MAX_WAIT, **redis: Any) -> WitnessProcess:
    return WitnessProcess(attrs.evolve(settings(), pools=POOLS, redis=Redis(**redis)), who, clock, longest)


async def check_out(connection: Connection, vms: int = 1, token: str | None = None) -> list[str]:
    given: list[Given] = await checkouts_of(connection, vm_lifetime_auth=7).checkout(
        [Wanted("debian", vms, ("debian",))], "first", token, NOW
    )
    return [each.vm for each in given]


async def forget_what_follows(connection: Connection) -> None:
    """Save the data of Redis: at its next start it has lost every later write."""
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


async def test_all_other_confirmed_writes_are_done_again(join: Join, spare_redis: RedisServer) -> None:
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


async def test_the_later_of_two_checkouts_holds_where_redis_remembers_the_one_before(
    join: Join, spare_redis: RedisServer
) -> None:
    one, other = await join(process("one")), await join(process("other"))
    await one.call("HSET", keys.token("t-ann"), "user", "ann")
    await make_ready(one, "vm")
    await check_out(one, token="t-ann")
    await forget_what_follows(one)
    assert await checkouts_of(one).give_back("debian", "vm", "first", "its client hung up", NOW + 1)
    await checkouts_of(other).checkout([Wanted("debian", 1, ("debian",))], "later", None, NOW + 2)
    restart(spare_redis)
    await one.wait_ready(SOON)
    await other.wait_ready(SOON)
    known = await hash_of(one, keys.record("vm"))
    assert (await standing(one), known["checkout_id"]) == ([Queue.RUNNING], "later")
    assert "token:token" not in known
    assert await one.call("EXISTS", keys.HELD + "t-ann") == 0


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
    """Return the connection of a live process, a process that died after it gave a VM to a client, and that VM.

    Redis has lost the checkout. Another VM is ready, and a third is being cloned.
    """
    witness, doomed = process("one", SHORT, **settings), process("doomed", **settings)
    one, other = await join(witness), await join(doomed)
    for vm in ("a", "b"):
        await make_ready(one, vm)
    await queues_of(one).begin_clone("debian", "cloning", 5, NOW)
    await forget_what_follows(one)
    (given,) = await check_out(other)
    await witness.until_seen(What.CHECKOUT)
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
    await one.call("ZADD", keys.PROCESSES, clock.seconds() - recovery.DEAD_BEFORE - 5, "dead before")
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


async def test_a_vm_that_another_client_has_is_left_to_it_and_that_is_logged(
    join: Join, spare_redis: RedisServer, logged: list[LogEvent]
) -> None:
    witness, late = process("one", SHORT), process("late")
    one, other = await join(witness), await join(late)
    await make_ready(one, "vm")
    await forget_what_follows(one)
    await check_out(other)
    await witness.until_seen(What.CHECKOUT)
    spare_redis.kill()
    await other.close()
    spare_redis.start()
    await one.wait_ready(SOON)
    await one.call("HDEL", keys.record("vm"), "quarantined")  # as if the VM had been given to another client
    await join(late)
    assert "checkout_id" not in await hash_of(one, keys.record("vm"))
    assert any("to another since" in str(event.get("why")) for event in logged)


async def test_a_redis_that_lost_everything_has_what_living_processes_promised(
    join: Join, spare_redis: RedisServer
) -> None:
    one, other = await join(process("one")), await join(process("other"))
    await make_ready(one, "vm")
    await check_out(one)
    restart(spare_redis)
    await other.wait_ready(SOON)
    assert await standing(other) == [Queue.RUNNING]
    assert (await hash_of(other, keys.record("vm")))["checkout_id"] == "first"


async def test_a_flush_is_noticed_though_no_connection_was_lost(join: Join, spare_redis: RedisServer) -> None:
    one, other = await join(process("one")), await join(process("other"))
    await make_ready(one, "vm")
    await check_out(one)
    await one.call("FLUSHALL")
    await until_standing(other, Queue.RUNNING)
    assert await other.call("EXISTS", keys.BARRIER) == 0


async def until_standing(connection: Connection, queue: Queue, vm: str = "vm") -> None:
    """Return when a VM is in a queue. While Redis is unavailable, the VM counts as in none."""
    end = clock.seconds() + SOON
    while True:
        with suppress(StoreAway):
            if await standing(connection, vm) == [queue]:
                return
        assert clock.seconds() < end, f"{vm} does not come to {queue}"
        await deferLater(clock, 0.05)


async def test_a_redis_that_was_the_replica_of_another_for_a_moment_is_noticed(
    join: Join, spare_redis: RedisServer
) -> None:
    one = await join(process("one"))
    await make_ready(one, "vm")
    await check_out(one)
    another = RedisServer()
    another.start("--port", str(port := free_port()))
    try:
        await one.call("REPLICAOF", "127.0.0.1", port)
        while "master_link_status:up" not in await one.call("INFO", "replication"):
            await deferLater(clock, 0.05)
        await one.call("REPLICAOF", "NO", "ONE")
        await until_standing(one, Queue.RUNNING)
    finally:
        another.remove()


async def test_where_a_loss_is_seen_the_pools_must_be_compared_with_the_provider_anew(
    join: Join, spare_redis: RedisServer
) -> None:
    one = await join(process("one"))
    await one.call("SADD", keys.VERIFIED, "debian")
    await forget_what_follows(one)
    restart(spare_redis)
    await one.wait_ready(SOON)
    assert await one.call("EXISTS", keys.VERIFIED) == 0
    await one.call("SADD", keys.VERIFIED, "debian")
    await join(process("other"))
    assert await one.call("EXISTS", keys.VERIFIED) == 1, "nothing was lost meanwhile"


async def test_a_process_that_died_beside_a_redis_that_lost_nothing_is_no_reason_to_put_vms_away(
    join: Join, spare_redis: RedisServer
) -> None:
    witness, doomed = process("one", SHORT), process("doomed")
    one, other = await join(witness), await join(doomed)
    await make_ready(one, "vm")
    await witness.until_seen(What.READY)
    await one.call("ZADD", keys.PROCESSES, int(clock.seconds()), "doomed")
    await forget_what_follows(one)
    spare_redis.kill()
    await other.close()
    spare_redis.start()
    await one.wait_ready(SOON)
    assert await standing(one) == [Queue.READY]


async def test_where_no_process_lived_on_nothing_is_put_away(join: Join, spare_redis: RedisServer) -> None:
    doomed = await join(process("doomed"))
    await make_ready(doomed, "vm")
    await doomed.call("SADD", keys.VERIFIED, "debian")
    await forget_what_follows(doomed)
    await check_out(doomed)
    spare_redis.kill()
    await doomed.close()
    spare_redis.start()
    one = await join(process("one", SHORT))
    assert await standing(one) == [Queue.READY]
    assert await one.call("EXISTS", keys.VERIFIED) == 0, "it is given before its stamp was read"


async def test_a_first_start_and_one_with_a_redis_of_its_own_wait_for_nobody(
    join: Join, spare_redis: RedisServer
) -> None:
    one = await join(process("one"))
    assert await one.call("EXISTS", keys.BARRIER) == 0
    await one.call("ZADD", keys.PROCESSES, int(clock.seconds()), "dead")
    await forget_what_follows(one)
    spare_redis.kill()
    await one.close()
    spare_redis.start()
    began = clock.seconds()
    worker = Failover(settings(), "worker", clock)  # may arrive first
    connection = Connection(spare_redis.settings, reactor, size=1, quiet=True, failover=worker)
    connection.start()
    await deferLater(clock, 0.1)
    alone = Failover(settings(), "alone", clock, alone=True)
    await join(alone)
    await connection.wait_ready(SOON)
    assert clock.seconds() - began < 2
    await connection.close()


async def test_a_process_that_misses_only_itself_waits_for_nobody(join: Join, spare_redis: RedisServer) -> None:
    one = await join(process("one"))
    await make_ready(one, "vm")
    await forget_what_follows(one)
    await check_out(one)
    spare_redis.kill()
    spare_redis.start()
    began = clock.seconds()
    await one.wait_ready(SOON)
    assert clock.seconds() - began < 1
    assert await standing(one) == [Queue.RUNNING]


async def test_what_a_process_that_is_missing_may_have_given_is_put_away_in_every_pool_that_has_vms(
    join: Join, spare_redis: RedisServer
) -> None:
    witness, doomed = process("one", SHORT), process("doomed")
    one, other = await join(witness), await join(doomed)
    pools = [f"pool-{number}" for number in range(3 * recovery.POOLS_PER_SCRIPT)]
    for pool in pools:
        await one.call("SADD", keys.queue(Queue.READY, pool), f"vm-of-{pool}")
    await forget_what_follows(one)
    await make_ready(other, "last")
    await witness.until_seen(What.READY)
    spare_redis.kill()
    await other.close()
    spare_redis.start()
    await one.wait_ready(SOON)
    for pool in pools:
        assert await members(one, Queue.RUNNING, pool) == {f"vm-of-{pool}"}
    assert await one.call("EXISTS", keys.AWAITED, keys.BARRIER, keys.VOUCHED) == 0


async def test_what_meets_a_fault_stays_owed_and_the_rest_is_kept(
    join: Join, spare_redis: RedisServer, logged: list[LogEvent]
) -> None:
    one = await join(process("one", SHORT))
    for vm in ("a", "b"):
        await make_ready(one, vm)
    await forget_what_follows(one)
    await check_out(one, 2)
    spare_redis.kill()
    spare_redis.start()
    meddler = Connection(spare_redis.settings, reactor, size=1, quiet=True)
    meddler.start()
    await meddler.wait_ready(SOON)
    await meddler.call("DEL", keys.history("a"))
    await meddler.call("SET", keys.history("a"), "of another type")
    await one.wait_ready(SOON)
    assert await standing(one, "b") == [Queue.RUNNING]
    assert "checkout_id" not in await hash_of(one, keys.record("a"))
    assert await standing(one, "a") != [Queue.READY], "it may be given to another client"
    await meddler.call("DEL", keys.history("a"))
    end = clock.seconds() + SOON
    while "checkout_id" not in await hash_of(one, keys.record("a")):
        assert clock.seconds() < end, "it is not tried again"
        await deferLater(clock, 0.1)
    assert sum("cannot be restored yet" in str(event.get("log_format")) for event in logged) == 1
    await meddler.close()


@pytest.mark.parametrize("ahead", [600, 86400])
async def test_a_wait_whose_end_is_too_far_off_lasts_no_longer_than_any(
    join: Join, spare_redis: RedisServer, ahead: int
) -> None:
    one = await join(process("one", SHORT))
    now = int((await one.call("TIME"))[0])
    await one.call("SADD", keys.AWAITED, "dead")
    await one.call("SET", keys.BARRIER, now + ahead)
    await one.call("ZADD", keys.PROCESSES, now + ahead, "of a clock that was ahead")
    began = clock.seconds()
    await join(process("other", SHORT))
    assert clock.seconds() - began < SHORT + 2
    assert await one.call("ZRANGE", keys.PROCESSES, 0, -1) == ["one", "other"]


@pytest.fixture
def small_disk() -> Iterator[RedisServer]:
    """A Redis with an append-only file."""
    server = RedisServer("--appendonly", "yes", "--appendfsync", "everysec")
    server.start()
    yield server
    server.remove()


async def test_a_checkout_that_redis_could_not_write_down_was_promised_to_nobody(
    small_disk: RedisServer, logged: list[LogEvent]
) -> None:
    one = Connection(small_disk.settings, reactor, failover=process("one"), disk="the disk of /data")
    one.start()
    await one.wait_ready(SOON)
    await make_ready(one, "vm")
    small_disk.limit()
    with pytest.raises(StoreAway, match=r"not certain.*MISCONF") as full:
        await check_out(one)
    assert full.value.sent
    with pytest.raises(StoreAway, match="MISCONF"):
        await one.call("PING")
    assert await standing(one) == [Queue.RUNNING]
    restart(small_disk)
    await one.wait_ready(SOON)
    assert await standing(one) == [Queue.READY]
    messages = [str(event) for event in logged if "make room on" in str(event.get("log_format"))]
    assert len(messages) == 1
    assert "the disk of /data" in messages[0]
    await one.call("SADD", keys.VERIFIED, "debian")  # as a manager does after it has compared the pool
    assert await check_out(one) == ["vm"]
    await one.close()


async def test_a_redis_that_has_room_again_serves_and_that_is_logged(
    small_disk: RedisServer, logged: list[LogEvent]
) -> None:
    one = Connection(small_disk.settings, reactor, failover=process("one"))
    one.start()
    await one.wait_ready(SOON)
    for vm in ("a", "b"):
        await make_ready(one, vm)
    small_disk.limit()
    with pytest.raises(StoreAway):
        await check_out(one)
    small_disk.limit(None)
    end = clock.seconds() + SOON
    while not any("writes its data again" in str(event.get("log_format")) for event in logged):
        assert clock.seconds() < end, "it is not noticed"
        await deferLater(clock, 0.1)
    assert len(await check_out(one)) == 1
    await one.close()
