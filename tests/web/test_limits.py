"""Limits on what clients may use of a process.

Each limit is a setting. A limit stops applying when the client that reached it is gone.
"""

from typing import Any

import attrs
import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from tests.redis_server import RedisServer
from tests.web.client import connected, until
from tests.web.conftest import PLAIN, Serve
from tests.web.peer import HOME, Peer, SlowResource, quiet_api, request
from vmpooler.settings import Limits, Settings
from vmpooler.store.redis.client import Connection
from vmpooler.web.http.server import REFUSAL_SECONDS, Site

GET = b"GET"
OTHER = IPv4Address("TCP", "192.0.2.2", 40000)


def limited(**limits: Any) -> Settings:
    return attrs.evolve(PLAIN, limits=Limits(**limits))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(b"/vm", *[b"X: y"] * 21, method=GET), 431),
        (request(b"/vm", b"X: " + b"y" * 1000, method=GET), 431),
        (request(b"/" + b"y" * 1100, method=GET), 414),
        (request(b"/vm", b"Content-Length: 1025"), 413),
        (request(b"/vm", *[b"X: y"] * 10, b"Content-Length: 1024", method=GET, body=b" " * 1024), 200),
    ],
)
def test_how_large_a_request_may_be_is_as_the_operator_says(data: bytes, status: int) -> None:
    settings = limited(headers=20, header_bytes=1024, body_bytes=1024)
    peer = Peer(quiet_api(Clock(), settings).site())
    peer.say(data)
    assert peer.answer.status == status
    assert status == 200 or peer.answer.json.keys() == {"ok", "message"}


def test_a_client_that_was_refused_may_send_on_for_a_moment_so_that_it_sees_the_answer() -> None:
    clock = Clock()
    peer = Peer(quiet_api(clock).site())
    peer.say(b"GET /" + b"x" * 20_000)
    for _ in range(3):
        peer.say(b" HTTP/1.1\r\n\r\nGET /vm HTTP/1.1\r\n\r\n")
    assert peer.statuses == [414], "nothing of the rest is taken for a request"
    assert not peer.cut_off
    clock.advance(REFUSAL_SECONDS)
    assert peer.cut_off


def test_one_that_sends_on_for_ever_is_cut_off_at_once() -> None:
    peer = Peer(quiet_api(Clock()).site())
    peer.say(b"GET /" + b"x" * 20_000)
    for _ in range(17):
        peer.say(b"x" * (1 << 20))
    assert peer.cut_off


def test_a_client_that_does_not_take_its_answer_is_cut_off() -> None:
    clock, limits = Clock(), Limits(request_time=10)
    peer = Peer(quiet_api(clock, attrs.evolve(PLAIN, limits=limits)).site())
    peer.say(request(b"/vm", method=GET))
    clock.advance(10)
    assert peer.cut_off
    assert not peer.transport.disconnected, "what was answered may still go out"
    clock.advance(10)
    assert peer.transport.disconnected


def addresses(count: int) -> list[IAddress]:
    return [IPv6Address("TCP", f"2001:db8::{number:x}", 40000) for number in range(count)]


@pytest.mark.parametrize("many", [[HOME] * 3, addresses(3)], ids=["one address", "one /64"])
def test_of_too_many_connections_of_an_address_the_oldest_that_wait_are_closed(many: list[IAddress]) -> None:
    site = Site(SlowResource(), Clock(), float, Limits(connections_per_address=2))
    working, waiting = Peer(site, many[0]), Peer(site, many[1])
    working.say(request(b"/vm", method=GET))
    others = [Peer(site, OTHER), Peer(site, IPv6Address("TCP", "2001:db8:0:1::1", 40000))]
    latest = Peer(site, many[2])
    assert [peer.cut_off for peer in (working, waiting, *others, latest)] == [False, True, False, False, False]
    working.hang_up()
    again = Peer(site, many[0])
    assert not latest.cut_off
    assert not again.cut_off


@pytest.mark.parametrize(
    ("limits", "address"),
    [
        (Limits(), HOME),
        (Limits(connections_per_address=2, trusted_proxies=("192.0.2.0/24",)), HOME),
        (Limits(connections_per_address=2, trusted_proxies=("unix",)), UNIXAddress(None)),
    ],
    ids=["by default", "a proxy", "a proxy on this machine"],
)
def test_thousands_of_connections_of_one_address_are_nothing_special(limits: Limits, address: IAddress) -> None:
    site = Site(Resource(), Clock(), float, limits)
    assert not [peer for peer in [Peer(site, address) for _ in range(3000)] if peer.cut_off]


async def test_of_too_many_requests_in_flight_the_latest_must_come_back_later(
    serve: Serve, spare_redis: RedisServer
) -> None:
    from twisted.internet import reactor

    slow = Connection(spare_redis.settings, reactor, reply_timeout=20)
    slow.start()
    await slow.wait_ready(10)
    served = await serve(limited(requests=2), slow)
    spare_redis.freeze()
    first, second = [await connected(served.port) for _ in range(2)]
    for client in (first, second):
        client.say(request(b"/status", method=GET))
    asked = served.ask

    async def refused() -> bool:
        return (await asked("GET", "/vm")).status == 503

    await until(refused)
    answer = await asked("POST", "/vm/debian")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "limits.requests" in answer.json["message"]
    assert (await asked("GET", "/dashboard/")).status == 200
    health = await connected(served.port)
    health.say(request(b"/healthz", method=GET))
    second.hang_up()

    async def let_in() -> bool:
        return (await asked("GET", "/vm")).status == 200

    await until(let_in)
    spare_redis.thaw()
    assert [(await client.read_answer()).status for client in (first, health)] == [200, 200]
    for client in (first, health):
        client.hang_up()
        await client.ended
    assert (await asked("GET", "/status")).status == 200
    await slow.close()
