"""What subscribers to events receive."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.redis_server import RedisServer
from tests.web.client import said
from tests.web.conftest import PLAIN, POOLS
from tests.web.listening import EventClient, subscribe
from vmpooler.domain.events import What
from vmpooler.settings import Auth, General, Limits, Settings
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection
from vmpooler.store.stream import EventStream
from vmpooler.web.app import Api
from vmpooler.web.events.hub import USUAL, Pace
from vmpooler.web.events.log import frame

HURRIED = Pace(whole=0.4, beat=0.3, stall=1.5)

DEBIAN, UBUNTU, SPARE = (pool.name for pool in POOLS)


@attrs.define
class EventsServer:
    """An API whose process reads the event stream, and its subscribers."""

    api: Api
    port: int
    store: Connection
    clients: list[EventClient]

    async def client(self, path: str = "/dashboard/events", last: str = "", version: str = "1.0") -> EventClient:
        """Connect a subscriber; it stays connected until the test ends."""
        self.clients.append(await subscribe(self.port, path, last, version))
        return self.clients[-1]

    async def happens(self, vm: str, pool: str = DEBIAN, what: What = What.READY, **more: str) -> str:
        """Write an event as the scripts do, and return its id."""
        fields = {"what": what, "pool": pool, "vm": vm, "when": "1700000000.5", "by": "manager", **more}
        flat = [part for pair in fields.items() for part in pair]
        return str(await self.store.call("XADD", keys.EVENTS, "MAXLEN", "=", 5000, "*", *flat))

    async def happen(self, first: int, count: int) -> None:
        """Write ``count`` events, for the VMs vm<first>, vm<first + 1> and so on."""
        script = "for i = 0, ARGV[2] - 1 do redis.call('XADD', KEYS[1], '*', 'what', 'ready', 'pool', ARGV[3], 'vm', "
        script += "'vm' .. (ARGV[1] + i), 'when', '1700000000', 'by', 'manager') end"
        await self.store.call("EVAL", script, 1, keys.EVENTS, first, count, DEBIAN)

    async def put(self, queue: str, pool: str, *vms: str) -> None:
        """Add VMs to a queue."""
        await self.store.call("SADD", f"vmpooler__{queue}__{pool}", *vms)


Build = Callable[..., Awaitable[EventsServer]]


@pytest_twisted.async_yield_fixture
async def build(store: Connection) -> AsyncIterator[Build]:
    """Builds APIs with event streams, several on one Redis if needed. All are stopped after the test."""
    made: list[tuple[EventsServer, Any, EventStream, Connection]] = []

    async def one(settings: Settings = PLAIN, connection: Connection = store, pace: Pace = USUAL) -> EventsServer:
        reading = connection.reader(30)
        reading.start()
        await reading.wait_ready(10)
        stream = EventStream(reading, reactor)
        api = Api(settings, connection, reactor, reactor.seconds, pace=pace)
        api.follow(stream)
        stream.start()
        listening: Any = reactor
        port = listening.listenTCP(0, api.site(), interface="127.0.0.1")
        server = EventsServer(api, port.getHost().port, connection, [])
        made.append((server, port, stream, reading))
        return server

    yield one
    for server, port, stream, reading in made:
        for each in server.clients:
            await each.hang_up()
        await port.stopListening()
        stream.stop()
        await reading.close()
        await deferLater(reactor, 0.05)


async def test_first_comes_the_whole_state(build: Build) -> None:
    server = await build(Settings(pools=POOLS, general=General(site_name="Lab 7"), auth=Auth(provider="dummy")))
    await server.put("ready", DEBIAN, "a", "b")
    await server.put("running", DEBIAN, "c")
    await server.put("pending", UBUNTU, "d", "e")
    await server.store.call("HSET", keys.CLONING, "d", UBUNTU)
    await server.store.call("HSET", keys.FLAGGED, DEBIAN, "9 of 9 unknown")
    trouble = '{"tries": 3, "until": 1700000060, "why": "no such template"}'
    await server.store.call("HSET", keys.trouble(UBUNTU), ":clone", trouble)
    await server.store.call("HSET", keys.LASTBOOT, DEBIAN, "2023-11-14 22:13:20 +0000")
    id = await server.happens("a", seconds="12.5")
    client = await server.client()
    await client.until(lambda it: it.frames)
    assert "\r\nContent-Type: text/event-stream; charset=utf-8\r\n" in client.head
    (first,) = client.frames
    assert (first.kind, first.id) == ("state", id)
    state = first.data
    assert (state["gap"], state["site"], state["role"], state["auth"]) == (False, "Lab 7", "all", True)
    debian, ubuntu, spare = state["pools"]
    assert debian == {
        "name": DEBIAN,
        "alias": ["debian", "linux"],
        "platform": "debian",
        "size": 2,
        "ready": 2,
        "pending": 0,
        "cloning": 0,
        "running": 1,
        "completed": 0,
        "empty": False,
        "flagged": "9 of 9 unknown",
        "failing": [],
        "last_boot": 1700000000.0,
    }
    assert (ubuntu["pending"], ubuntu["cloning"], ubuntu["empty"]) == (2, 1, True)
    assert ubuntu["failing"] == [{"subject": "clone", "tries": 3, "until": 1700000060, "why": "no such template"}]
    assert (spare["empty"], spare["last_boot"]) == (False, None)
    assert state["today"] == {"cloned": 0, "clone_average": None, "boot_average": None}
    (recent,) = state["recent"]
    assert recent == {
        "id": id,
        "what": "ready",
        "pool": DEBIAN,
        "vm": "a",
        "when": 1700000000.5,
        "by": "manager",
        "why": "",
        "text": "'a' moved from 'pending' to 'ready' queue, 12.5 seconds after its clone was ordered",
        "more": {"seconds": "12.5"},
    }


async def test_an_event_is_sent_at_once_and_then_the_counts_of_its_pool_alone(build: Build) -> None:
    server = await build()
    client = await server.client("/api/v1/events")
    await client.until(lambda it: it.frames)
    began = reactor.seconds()
    await server.put("ready", DEBIAN, "a")
    id = await server.happens("a")
    await client.until(lambda it: len(it.frames) == 3)
    assert reactor.seconds() - began < 5
    event, counts = client.frames[1:]
    assert (event.kind, event.id, event.data["vm"]) == ("event", id, "a")
    assert (counts.kind, counts.id) == ("counts", id)
    assert [(row["name"], row["ready"]) for row in counts.data["pools"]] == [(DEBIAN, 1)]


async def test_counts_are_sent_at_most_four_times_a_second_however_much_happens(build: Build) -> None:
    server = await build()
    client = await server.client()
    await client.until(lambda it: it.frames)
    began = reactor.seconds()
    for number in range(300):
        await server.put("ready", DEBIAN, f"vm{number}")
        await server.happens(f"vm{number}")
        await deferLater(reactor, 0.003)
    seconds = reactor.seconds() - began
    await client.until(lambda it: it.of("counts") and it.of("counts")[-1]["pools"][0]["ready"] == 300)
    assert client.vms() == [f"vm{number}" for number in range(300)]
    assert 2 <= len(client.of("counts")) <= 4 * seconds + 2


async def test_what_another_program_changes_without_an_event_is_seen_within_seconds(build: Build) -> None:
    server = await build(pace=HURRIED)
    client = await server.client()
    await client.until(lambda it: it.frames)
    await server.put("ready", UBUNTU, "a")
    await client.until(lambda it: it.of("counts"))
    assert [row["name"] for row in client.of("counts")[0]["pools"]] == [UBUNTU]


async def test_a_filter_leaves_what_it_names(build: Build) -> None:
    server = await build()
    ubuntu = await server.client("/api/v1/events?pool=ubuntu-22.04")
    linux = await server.client("/api/v1/events?pool=linux")
    one = await server.client("/api/v1/events?vm=b.example.com")
    for client in (ubuntu, linux, one):
        await client.until(lambda it: it.frames)
    await server.put("ready", DEBIAN, "a", "b")
    await server.happens("a")
    await server.happens("b")
    await server.put("ready", UBUNTU, "c")
    await server.happens("c", UBUNTU)
    for client in (ubuntu, linux):
        await client.until(lambda it: {row["ready"] for counts in it.of("counts") for row in counts["pools"]} >= {1})
    assert [len(client.of("state")[0]["pools"]) for client in (ubuntu, linux, one)] == [1, 2, 3]
    assert (ubuntu.vms(), linux.vms(), one.vms()) == (["c"], ["a", "b", "c"], ["b"])
    assert {row["name"] for counts in ubuntu.of("counts") for row in counts["pools"]} == {UBUNTU}


async def test_a_pool_that_there_is_not_is_refused(build: Build) -> None:
    server = await build()
    answer = await said(server.port, b"GET /api/v1/events?pool=nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (answer.status, answer.json) == (404, {"ok": False})


async def test_more_clients_than_may_are_refused_until_one_leaves(build: Build) -> None:
    server = await build(Settings(pools=POOLS, general=General(event_clients=2), limits=Limits(requests=1)))
    first, second = await server.client(), await server.client()
    await second.until(lambda it: it.frames)
    ask = b"GET /dashboard/events HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await said(server.port, ask)
    assert answer.status == 503
    assert "config.event_clients" in answer.json["message"]
    assert int(answer.headers["retry-after"]) > 0
    assert (await said(server.port, b"GET /vm HTTP/1.1\r\nHost: x\r\n\r\n")).status == 200, "these count apart"
    await first.hang_up()
    server.clients.remove(first)
    third = await server.client()
    await third.until(lambda it: it.frames)


async def test_the_end_may_come_while_the_pools_are_being_read(build: Build, spare_redis: RedisServer) -> None:
    connection = Connection(spare_redis.settings, reactor)
    connection.start()
    await connection.wait_ready(10)
    server = await build(connection=connection)
    spare_redis.freeze()
    client = await server.client()
    await client.until(lambda it: it.head)
    await server.api.drained(0.1)
    await client.ended
    spare_redis.thaw()
    server.clients.clear()
    await connection.close()


async def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(build: Build) -> None:
    server, other = await build(), await build()
    await server.happen(0, 3)
    first = await server.client()
    await first.until(lambda it: it.frames)
    await server.happens("vm3")
    await first.until(lambda it: it.vms() == ["vm3"])
    last = first.last
    await first.hang_up()
    server.clients.remove(first)
    await server.happen(4, 2)
    for where, path, known in ((server, "", last), (other, "", last), (other, f"?last={last}", "")):
        client = await where.client(f"/dashboard/events{path}", known)
        await client.until(lambda it: it.of("state"))
        assert client.vms() == ["vm4", "vm5"]
        assert client.of("state")[0]["gap"] is False
        assert client.frames[-1].kind == "state"


async def test_a_long_absence_is_made_up_for_from_redis(build: Build) -> None:
    server = await build()
    id = await server.happens("vm-1")
    await server.happen(0, 4500)
    client = await server.client(last=id)
    await client.until(lambda it: it.of("state"))
    await server.happen(4500, 1)
    await client.until(lambda it: len(it.vms()) > 4500)
    assert client.vms() == [f"vm{number}" for number in range(4501)]
    assert client.of("state")[0]["gap"] is False


@pytest.mark.parametrize("last", ["1-1", "nonsense", "99999999999999-0"])
async def test_a_client_that_missed_events_that_are_gone_gets_the_state(build: Build, last: str) -> None:
    server = await build()
    await server.happen(0, 3)
    client = await server.client(last=last)
    await client.until(lambda it: it.frames)
    assert [frame.kind for frame in client.frames] == ["state"]
    assert client.of("state")[0]["gap"] is True
    await server.happens("next")
    await client.until(lambda it: it.vms() == ["next"])


async def test_no_client_misses_an_event_or_gets_it_twice_while_it_comes_and_goes(build: Build) -> None:
    """Events keep coming; the client reconnects every few events, to each of two processes in turn."""
    servers = [await build(), await build()]
    received: list[str] = []
    first = await servers[0].client()
    await first.until(lambda it: it.frames)
    last, number = first.last, 0
    for turn in range(25):
        client = await servers[turn % 2].client(last=last)
        for _ in range(8):
            await servers[0].happen(number, 5)
            number += 5
            await deferLater(reactor, 0.002 * (turn % 5))
        await client.hang_up()
        servers[turn % 2].clients.remove(client)
        received += client.vms()
        last = client.last if client.frames else last
    client = await servers[0].client(last=last)
    await client.until(lambda it: it.of("state"))
    assert received + client.vms() == [f"vm{number}" for number in range(number)]
    assert [state["gap"] for state in client.of("state")] == [False]


async def test_a_client_that_reads_slowly_gets_the_state_and_that_it_missed_some(build: Build) -> None:
    server = await build()
    client = await server.client()
    await client.until(lambda it: it.frames)
    client.pause()
    feed = server.api.hub
    behind = feed.end
    for first in range(0, 30_000, 1000):
        await server.happen(first, 1000)
        await deferLater(reactor, 0.02)
    await client.until(lambda it: feed.end >= behind + 30_000, 30)  # on a busy machine the stream is read late
    client.resume()
    await client.until(lambda it: len(it.of("state")) > 1, 20)
    await server.happens("next")
    await client.until(lambda it: "next" in it.vms())
    assert [state["gap"] for state in client.of("state")][:2] == [False, True]
    assert len(client.vms()) < 30_000


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_what_the_system_takes_in_parts_comes_whole_and_in_order(build: Build, version: str) -> None:
    server = await build()
    client = await server.client(version=version)
    await client.until(lambda it: it.frames)
    (subscriber,) = server.api.hub.subscribers
    handle = client.transport.getHandle()
    for number in range(200):  # in one reactor turn: the socket has room again before the listener is resumed
        subscriber.write(frame("1-1", "event", {"vm": str(number), "more": "x" * 20_000}))
        with suppress(BlockingIOError):
            client.dataReceived(handle.recv(15_000))
    await client.until(lambda it: len(it.vms()) == 200)
    assert client.vms() == [str(number) for number in range(200)]


async def test_a_client_that_reads_nothing_is_hung_up_on_and_comments_come_to_the_others(build: Build) -> None:
    server = await build(pace=HURRIED)
    deaf, quiet = await server.client(), await server.client()
    for client in (deaf, quiet):
        await client.until(lambda it: it.frames)
    deaf.pause()
    for first in range(0, 30_000, 1000):
        await server.happen(first, 1000)
        await deferLater(reactor, 0.02)
    await quiet.until(lambda it: len(server.api.hub.subscribers) == 1)
    await quiet.until(lambda it: it.comments > 2)
    deaf.resume()
    await deaf.ended


async def test_while_redis_is_away_clients_stay_and_then_get_all_events(build: Build, spare_redis: RedisServer) -> None:
    store = Connection(spare_redis.settings, reactor, quiet=True)
    store.start()
    await store.wait_ready(10)
    server = await build(connection=store, pace=HURRIED)
    client = await server.client()
    await client.until(lambda it: it.frames)
    spare_redis.kill()
    before = client.comments
    await client.until(lambda it: it.comments >= before + 3)
    late = await server.client()
    await late.until(lambda it: it.comments)
    for each in (client, late):
        await each.until(lambda it: it.of("away"))
        assert each.of("away") == [{"message": "Redis is away"}]
    assert ([frame.kind for frame in client.frames], len(late.frames)) == (["state", "away"], 1)
    spare_redis.start()
    for each in (client, late):
        await each.until(lambda it: it.of("state"))
    await client.until(lambda it: len(it.of("state")) == 2)
    await server.put("ready", DEBIAN, "a")
    await server.happens("a")
    for each in (client, late):
        await each.until(lambda it: it.vms() == ["a"])
    for each in (client, late):
        await each.hang_up()
    server.clients.clear()
    await store.close()


async def test_an_end_of_the_service_does_not_wait_for_those_who_listen(build: Build) -> None:
    server = await build()
    client = await server.client()
    await client.until(lambda it: it.frames)
    began = reactor.seconds()
    assert await server.api.drained(10)
    await client.ended
    assert reactor.seconds() - began < 5
    answer = await said(server.port, b"GET /dashboard/events HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.status == 503


async def test_no_token_is_sent(build: Build) -> None:
    server = await build(Settings(pools=POOLS, auth=Auth(provider="dummy")))
    secret = "abcdefghijklmnopqrstuvwxyz012345"
    await server.store.call("HSET", keys.token(secret), "user", "ann")
    client = await server.client()
    await client.until(lambda it: it.frames)
    await server.put("ready", DEBIAN, "a")
    ask = f"POST /vm/{DEBIAN} HTTP/1.1\r\nHost: x\r\nX-AUTH-TOKEN: {secret}\r\nContent-Length: 0\r\n\r\n"
    assert (await said(server.port, ask.encode())).status == 200
    await client.until(lambda it: it.of("event"))
    assert client.of("event")[0]["by"] == "ann"
    assert secret not in str(client.frames)
