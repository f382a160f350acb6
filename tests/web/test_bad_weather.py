"""No VM is lost when a client disconnects, when Redis is unavailable, or when the service stops."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogEvent

from tests.redis_server import RedisServer
from tests.web.client import connected, until
from tests.web.conftest import PLAIN, Serve, Served
from tests.web.test_vm import now
from vmpooler.store.commands.checkouts import PAGE_SIZE, Checkouts, TakenVm, Wanted
from vmpooler.store.redis.client import Connection
from vmpooler.store.stream import BEFORE_ALL, newest
from vmpooler.web.http.router import RequestsInFlight
from vmpooler.web.unclaimed import LATE_ARRIVAL, MAX_RETRY_DELAY, UnclaimedVms

BOTH_WAYS = True

POOL = "debian-12-x86_64"
CHECKOUT = f"POST /vm/{POOL} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


@pytest_twisted.async_yield_fixture
async def served(serve: Serve, spare_redis: RedisServer) -> AsyncIterator[Served]:
    """An API on a Redis of its own, with a reply timeout of half a second. One VM has already been checked out."""
    connection = Connection(spare_redis.settings, reactor, reply_timeout=0.5, quiet=True)
    connection.start()
    await connection.wait_ready(10)
    served = await serve(PLAIN, connection)
    await served.have(POOL, "first")
    assert (await served.ask("POST", f"/vm/{POOL}")).status == 200
    yield served
    await served.api.drained(0)
    await connection.close()


async def fell_back(served: Served, vm: str) -> bool:
    try:
        return vm in await served.queue("ready", POOL) and ("returned", vm) in await served.events()
    except Exception:
        return False


async def test_a_client_that_hangs_up_before_its_answer_keeps_no_vm(served: Served, spare_redis: RedisServer) -> None:
    await served.have(POOL, "vm1")
    spare_redis.freeze()
    client = await connected(served.port)
    client.say(CHECKOUT)
    await deferLater(reactor, 0.1)
    client.hang_up()
    await client.ended
    spare_redis.thaw()
    await until(lambda: fell_back(served, "vm1"))
    assert (await served.events())[-2:] == [("checkout", "vm1"), ("returned", "vm1")]
    assert await served.queue("running", POOL) == {"first"}
    record = await served.record("vm1")
    assert not {"checkout", "checkout_id", "token:token"} & set(record)
    assert record["template"] == POOL
    assert (await served.ask("POST", f"/vm/{POOL}")).json[POOL]["hostname"] == "vm1"


async def test_an_answer_that_redis_could_not_deliver_costs_no_vm(served: Served, spare_redis: RedisServer) -> None:
    await served.have(POOL, "vm1", "vm2")
    spare_redis.freeze()
    answer = await served.ask("POST", f"/vm/{POOL}+{POOL}")
    assert answer.status == 503
    assert answer.json["ok"] is False
    assert "Redis" in answer.json["message"]
    spare_redis.thaw()
    await until(lambda: fell_back(served, "vm1"))
    await until(lambda: fell_back(served, "vm2"))
    events = sorted(event for event in await served.events() if event[1] != "first")
    assert events == [(what, vm) for what in ("checkout", "returned") for vm in ("vm1", "vm2")]
    assert await served.api.drained(2)


async def test_what_a_checkout_took_is_found_however_much_has_happened_since(served: Served) -> None:
    await served.have(POOL, "vm1")
    start = await newest(served.store)
    await served.ask("POST", f"/vm/{POOL}")
    checkout_id = (await served.record("vm1"))["checkout_id"]
    noise = "for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'what', 'noise') end"
    await served.store.call("EVAL", noise, 1, "vmpooler__x__events", PAGE_SIZE + 1)
    await served.have(POOL, "vm2")
    await served.ask("POST", f"/vm/{POOL}")
    later_id = (await served.record("vm2"))["checkout_id"]
    taken = await Checkouts(served.store, PLAIN).taken_by({checkout_id, later_id, "another"}, start)
    assert taken == [TakenVm(POOL, "vm1", checkout_id), TakenVm(POOL, "vm2", later_id)]


async def test_a_checkout_that_took_nothing_is_looked_for_no_longer_than_it_may_come(store: Connection) -> None:
    clock, under_way = Clock(), RequestsInFlight()
    UnclaimedVms(Checkouts(store, PLAIN), clock, now, under_way).later("some-id", BEFORE_ALL, "lost")
    assert not await under_way.idle(0.01, reactor)
    for _ in range(int(LATE_ARRIVAL) * 2 + 3):
        clock.advance(0.5)
        await store.call("PING")
        await deferLater(reactor, 0.01)
    assert await under_way.idle(0.01, reactor)


async def test_when_redis_is_away_the_answer_is_503_at_once(served: Served, spare_redis: RedisServer) -> None:
    spare_redis.kill()
    await until(lambda: gone(served))
    start = now()
    for method, path in [("POST", f"/vm/{POOL}"), ("GET", "/vm/first"), ("DELETE", "/vm/first"), ("GET", "/status")]:
        answer = await served.ask(method, path)
        assert answer.status == 503
        assert answer.json["ok"] is False
        assert answer.json["message"]
    assert (await served.ask("GET", "/healthz")).status == 503
    assert (await served.ask("GET", "/vm")).status == 200
    assert now() - start < 4
    spare_redis.start()
    await until(lambda: answers(served))


async def test_a_known_status_is_not_returned_for_long_without_redis(served: Served, spare_redis: RedisServer) -> None:
    assert (await served.ask("GET", "/status")).status == 200
    spare_redis.kill()

    async def refused() -> bool:
        return (await served.ask("GET", "/status")).status == 503

    await until(refused)


async def gone(served: Served) -> bool:
    return not await answers(served)


async def answers(served: Served) -> bool:
    return (await served.ask("GET", "/healthz")).status == 200


async def test_an_end_waits_for_what_is_under_way(served: Served, spare_redis: RedisServer) -> None:
    await served.have(POOL, "vm1")
    spare_redis.freeze()
    client = await connected(served.port)
    client.say(CHECKOUT)
    await deferLater(reactor, 0.1)
    assert not await served.api.drained(0.05)
    drained: Deferred[Any] = Deferred.fromCoroutine(served.api.drained(5))
    spare_redis.thaw()
    assert (await client.read_answer()).json[POOL]["hostname"] == "vm1"
    assert await drained
    client.say(b"GET /vm HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await client.read_answer()).headers["connection"] == "close"
    await client.ended


async def test_an_end_waits_for_a_client_that_has_gone_too(served: Served, spare_redis: RedisServer) -> None:
    await served.have(POOL, "vm1")
    spare_redis.freeze()
    client = await connected(served.port)
    client.say(CHECKOUT)
    await deferLater(reactor, 0.1)
    client.hang_up()
    await client.ended
    drained: Deferred[Any] = Deferred.fromCoroutine(served.api.drained(5))
    spare_redis.thaw()
    assert await drained
    assert await fell_back(served, "vm1")


async def test_what_redis_refuses_stays_owed(store: Connection, logged_errors: list[LogEvent]) -> None:
    """Of two checkouts, the VM of one cannot be returned for some time."""
    clock, under_way, desk = Clock(), RequestsInFlight(), Checkouts(store, PLAIN)
    other = "ubuntu-22.04"
    for pool, vm in ((POOL, "vm1"), (other, "vm2")):
        await store.call("SADD", f"vmpooler__ready__{pool}", vm)
        assert await desk.checkout([Wanted(pool, 1, (pool,))], f"of-{vm}", None, now())
    await store.call("SET", f"vmpooler__ready__{POOL}", "no set")
    returns = UnclaimedVms(desk, clock, now, under_way)
    for vm in ("vm1", "vm2"):
        returns.later(f"of-{vm}", BEFORE_ALL, "lost")

    async def search() -> None:
        clock.advance(MAX_RETRY_DELAY)
        await store.call("PING")
        await deferLater(reactor, 0.02)

    for _ in range(5):
        await search()
    assert await store.call("SMEMBERS", f"vmpooler__ready__{other}") == ["vm2"], "it does not wait for the other"
    assert not await under_way.idle(0.01, reactor)
    assert len(logged_errors) == 1
    logged_errors.clear()
    await store.call("DEL", f"vmpooler__ready__{POOL}")
    await search()
    assert await store.call("SMEMBERS", f"vmpooler__ready__{POOL}") == ["vm1"]
    assert await under_way.idle(0.01, reactor)


async def test_in_a_redis_that_lost_its_last_events_all_are_looked_through(served: Served) -> None:
    await served.have(POOL, "vm1")
    await served.ask("POST", f"/vm/{POOL}")
    checkout_id = (await served.record("vm1"))["checkout_id"]
    seconds, _, place = (await newest(served.store)).partition("-")
    taken = await Checkouts(served.store, PLAIN).taken_by({checkout_id}, f"{int(seconds) + 9}-{place}")
    assert taken == [TakenVm(POOL, "vm1", checkout_id)]
