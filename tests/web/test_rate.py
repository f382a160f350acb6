"""Rate limiting: a client over the limit gets 429 with Retry-After, and is served again after that time."""

from collections import Counter
from typing import Any

import attrs
import pytest
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock, deferLater

from tests.redis_server import RedisServer
from tests.store.contents import contents
from tests.web.client import Answer
from tests.web.conftest import POOLS, nowhere
from tests.web.peer import HOME, Peer, request
from vmpooler.settings import Auth, Limits, Settings
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection
from vmpooler.web.app import Api
from vmpooler.web.http.client_address import ClientAddresses, place

RATE, WINDOW = 5, 60.0
START = 1_700_000_000.0
LIMITS = Limits(rate=RATE, rate_time=WINDOW)
GET = b"GET"


@attrs.frozen
class RateLimited:
    """Processes that serve the API on one Redis, with one clock for all of them."""

    sites: list[Any]
    store: Connection
    clock: Clock

    async def ask(
        self, path: str = "/totalrunning", *headers: str, address: IAddress = HOME, method: str = "GET", site: int = 0
    ) -> Answer:
        peer = Peer(self.sites[site], address)
        peer.say(request(path.encode(), *(header.encode() for header in headers), method=method.encode()))
        waiter: Any = reactor
        until = waiter.seconds() + 10
        while not peer.statuses:
            assert waiter.seconds() < until, "no answer"
            await deferLater(waiter, 0.002)
        answer = peer.answer
        peer.hang_up()
        return answer

    async def statuses(self, count: int, path: str = "/totalrunning", *headers: str, **more: Any) -> list[int]:
        return [(await self.ask(path, *headers, **more)).status for _ in range(count)]


def service(store: Connection, limits: Limits = LIMITS, auth: bool = True, processes: int = 1) -> RateLimited:
    clock = Clock()
    clock.advance(START)
    settings = Settings(pools=POOLS, limits=limits, auth=Auth(provider="dummy") if auth else None)
    sites = [Api(settings, store, clock, clock.seconds, resolve=nowhere).site() for _ in range(processes)]
    return RateLimited(sites, store, clock)


async def test_a_client_that_asks_too_often_reads_in_json_when_to_retry_and_nothing_changes(store: Connection) -> None:
    asked = service(store)
    await store.call("SADD", f"vmpooler__ready__{POOLS[0].name}", "vm1")
    await asked.statuses(RATE)
    before = await contents(store)
    answer = await asked.ask(f"/vm/{POOLS[0].name}", method="POST")
    assert answer.status == 429
    assert answer.json.keys() == {"ok", "message"}
    assert answer.json["ok"] is False
    wait = int(answer.headers["retry-after"])
    assert 0 < wait <= WINDOW / RATE
    assert await contents(store) == before
    asked.clock.advance(wait)
    assert (await asked.ask(f"/vm/{POOLS[0].name}", method="POST")).status == 200


async def test_a_client_that_never_pauses_still_gets_its_share(store: Connection) -> None:
    asked = service(store)
    counted: Counter[int] = Counter()
    for _ in range(int(3 * WINDOW)):
        counted.update(await asked.statuses(1))
        asked.clock.advance(1)
    assert counted == {200: RATE + 3 * RATE - 1, 429: 3 * WINDOW - (RATE + 3 * RATE - 1)}


async def test_after_a_pause_a_client_has_all_of_its_share_again(store: Connection) -> None:
    asked = service(store)
    for _ in range(3):
        assert await asked.statuses(RATE + 2) == [200] * RATE + [429] * 2
        asked.clock.advance(WINDOW)
    pace = keys.pace("address", "192.0.2.1")
    assert 0 < await store.call("PTTL", pace) <= WINDOW * 1000, "what is known of a client expires"


async def test_a_clock_that_was_ahead_keeps_nobody_out(store: Connection) -> None:
    asked, ahead = service(store), service(store)
    ahead.clock.advance(1e6)
    await ahead.statuses(RATE)
    assert await asked.statuses(RATE + 1) == [200] * RATE + [429]
    assert 0 < await store.call("PTTL", keys.pace("address", "192.0.2.1")) <= WINDOW * 1000, "in Redis's own time"


async def test_the_limit_holds_for_all_processes_together(store: Connection) -> None:
    asked = service(store, processes=3)
    answers = [await asked.ask(site=number % 3) for number in range(RATE + 3)]
    assert [answer.status for answer in answers] == [200] * RATE + [429] * 3


async def test_each_token_that_is_known_has_a_share_of_its_own(store: Connection) -> None:
    asked = service(store)
    for token in ("anns", "bobs"):
        await store.call("HSET", keys.token(token), "user", "x")
    for token in ("anns", "bobs"):
        found = await asked.statuses(RATE + 1, "/totalrunning", f"X-AUTH-TOKEN: {token}")
        assert found == [200] * RATE + [429]
    assert await asked.statuses(RATE + 1) == [200] * RATE + [429]


async def test_who_makes_up_tokens_is_counted_by_address_and_fills_no_memory(store: Connection) -> None:
    asked = service(store)
    answers = [await asked.ask("/totalrunning", f"X-AUTH-TOKEN: made-up-{number}") for number in range(20)]
    assert [answer.status for answer in answers] == [200] * RATE + [429] * (20 - RATE)
    assert [key async for key in every(store, "vmpooler__x__pace__*")] == [keys.pace("address", "192.0.2.1")]


async def test_where_nobody_logs_in_a_token_makes_no_difference(store: Connection) -> None:
    asked = service(store, auth=False)
    await store.call("HSET", keys.token("old"), "user", "x")
    assert await asked.statuses(RATE + 1, "/totalrunning", "X-AUTH-TOKEN: old") == [200] * RATE + [429]
    assert (await asked.ask()).status == 429


async def every(store: Connection, pattern: str) -> Any:
    for key in await store.call("KEYS", pattern):
        yield key


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/healthz/", "/dashboard/", "/dashboard/app.js"])
async def test_what_watches_over_the_service_and_the_pages_files_are_free(store: Connection, path: str) -> None:
    asked = service(store)
    await asked.statuses(RATE)
    assert 429 not in await asked.statuses(3, path)
    assert (await asked.ask("/dashboard/stats/vmpooler/pool")).status == 429
    assert (await asked.ask("/api/v1/events")).status == 429


async def test_without_a_limit_nothing_is_asked_and_nothing_kept(store: Connection) -> None:
    asked = service(store, Limits())
    assert await asked.statuses(50, "/vm") == [200] * 50
    assert await store.call("KEYS", "*") == []


async def test_while_redis_is_away_the_limit_refuses_no_client(spare_redis: RedisServer) -> None:
    lost = Connection(spare_redis.settings, reactor, quiet=True)
    asked = service(lost)
    assert await asked.statuses(RATE + 2, "/vm") == [200] * (RATE + 2)
    assert await asked.statuses(1, "/status") == [503]


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "origin"),
    [
        ((), "192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        (("10.0.0.0/8",), "192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        (("192.0.2.1",), "192.0.2.1", ["198.51.100.7"], "198.51.100.7"),
        (("192.0.2.1",), "192.0.2.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (("192.0.2.1",), "192.0.2.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        (("192.0.2.1", "10.0.0.0/8"), "192.0.2.1", ["203.0.113.9, 198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        (("192.0.2.1",), "192.0.2.1", [], "192.0.2.1"),
        (("192.0.2.1",), "192.0.2.1", ["unknown"], "192.0.2.1"),
        (("192.0.2.1",), "192.0.2.1", ["198.51.100.7, \xff, "], "192.0.2.1"),
        (("192.0.2.1",), "192.0.2.1", ["198.51.100.7:8080"], "198.51.100.7"),
        (("2001:db8::/32",), "2001:db8::1", ["[2001:dead::7]:80"], "2001:dead::/64"),
        (("192.0.2.1",), "::ffff:192.0.2.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        (("unix",), "", ["198.51.100.7"], "198.51.100.7"),
        (("192.0.2.1",), "", ["198.51.100.7"], "unix"),
    ],
)
async def test_only_a_proxy_that_is_trusted_is_asked_who_asks(
    store: Connection, trusted: tuple[str, ...], peer: str, forwarded: list[str], origin: str
) -> None:
    kind = IPv6Address if ":" in peer else IPv4Address
    address = kind("TCP", peer, 40000) if peer else UNIXAddress(None)
    asked = service(store, attrs.evolve(LIMITS, trusted_proxies=trusted))
    assert (await asked.ask("/vm", *(f"X-Forwarded-For: {each}" for each in forwarded), address=address)).status == 200
    assert await store.call("KEYS", "*") == [keys.pace("address", origin)]


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_a_client_is_its_address_or_of_ipv6_the_part_that_it_cannot_choose(host: str, found: str) -> None:
    assert place(host) == found


def test_no_proxy_is_trusted_where_none_is_named() -> None:
    assert not ClientAddresses(()).trusts("127.0.0.1")
    assert not ClientAddresses(()).trusts("unix")
