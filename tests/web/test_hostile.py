"""Hostile input changes nothing and leaks nothing, and other clients are still served."""

import os
from base64 import b64encode

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent

from tests.store.contents import contents
from tests.web.client import connected
from tests.web.conftest import POOLS, WITH_AUTH, Serve, Served
from tests.web.peer import Peer, SlowResource, quiet_api, request
from vmpooler.settings import Limits
from vmpooler.web.http.server import Site

POOL = POOLS[0].name
SECRET = "s3cret"
TOKEN = f"X-AUTH-TOKEN: {SECRET}".encode()
IDLE = Limits().request_time


def sent(body: bytes) -> bytes:
    return request(b"/vm", b"Content-Length: %d" % len(body), body=body)


def put(body: bytes, *headers: bytes) -> bytes:
    return request(b"/vm/vm1", b"Content-Length: %d" % len(body), *headers, method=b"PUT", body=body)


def chunked(*parts: bytes) -> bytes:
    return request(b"/vm/none", b"Transfer-Encoding: chunked", body=b"".join(parts))


def basic(pair: bytes) -> bytes:
    return b"Authorization: Basic " + b64encode(pair)


GET, HEAD, DELETE = b"GET", b"HEAD", b"DELETE"
NINES = b"9" * 5000
HOSTILE: dict[str, tuple[bytes, set[int]]] = {
    "a TLS hello": (bytes.fromhex("16030100c8010000c40303") + os.urandom(200) + b"\r\n", {400}),
    "noise": (os.urandom(100_000) + b"\r\n", {400, 414}),
    "HTTP/0.9": (b"GET /vm\r\n", {400}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "a target of a megabyte": (request(b"/vm?" + b"a=b&" * 250_000, method=GET), {414}),
    "a token of a megabyte": (request(b"/vm/" + POOL.encode(), b"X-AUTH-TOKEN: " + b"x" * 1_000_000), {431}),
    "600 headers": (request(b"/vm/" + POOL.encode(), *(b"X-%d: y" % n for n in range(600))), {431}),
    "16 KiB of headers": (request(b"/vm/" + POOL.encode(), *[b"X: " + b"y" * 900] * 19), {431}),
    "10,000 pools in a path": (request(b"/vm/" + b"+".join([POOL.encode()] * 10_000)), {414}),
    "8,000 names in a path": (request(b"/vm/" + b"a+" * 8000), {404}),
    "a header after a bad one": (request(b"/vm/" + POOL.encode(), b"X-Y : a", b"X-Z: b"), {400}),
    "a NUL in a token": (request(b"/vm/" + POOL.encode(), b"X-AUTH-TOKEN: a\0b"), {400}),
    "a lone CR in a token": (request(b"/vm/" + POOL.encode(), b"X-AUTH-TOKEN: a\rX-Y: b"), {400}),
    "a token of no text": (request(b"/vm/" + POOL.encode(), b"X-AUTH-TOKEN: \xff\xfe"), {401}),
    "two tokens": (request(b"/vm/" + POOL.encode(), TOKEN, b"X-AUTH-TOKEN: other"), {401}),
    "two lengths": (request(b"/vm", b"Content-Length: 2", b"Content-Length: 20", body=b"{}"), {400}),
    "a length and chunks": (request(b"/vm", b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"{}"), {400}),
    "a length of 5,000 digits": (request(b"/vm", b"Content-Length: " + NINES), {400}),
    "such a length, and more": (request(b"/vm", b"Content-Length: " + NINES, b"X: y"), {400}),
    "a negative length": (request(b"/vm", b"Content-Length: -1"), {400}),
    "a chunk of no length": (chunked(b"-1\r\n"), {400}),
    "a chunk larger than it says": (chunked(b"2\r\nabcdef\r\n0\r\n\r\n"), {400}),
    "20,000 chunks": (chunked(b"1\r\nx\r\n" * 20_000, b"0\r\n\r\n"), {404}),
    "an upgrade": (request(b"/none", b"Connection: Upgrade", b"Upgrade: websocket", method=GET), {404}),
    "a line break in a path": (request(b"/vm/%0d%0aX-Evil:%201", method=GET), {404}),
    "dots in a path": (request(b"/api/%2e%2e/%2e%2e/etc/passwd", method=GET), {404}),
    "a token in a path that cannot be": (request(b"/token/" + SECRET.encode() + b"%00", method=HEAD), {404}),
    "a disk of no digits": (request(b"/vm/vm1/disk/%D9%A8", TOKEN), {404}),
    "a disk of many": (request(b"/vm/vm1/disk/" + NINES, TOKEN), {404}),
    "a count of 5,000 digits": (sent(b'{"%s": %s}' % (POOL.encode(), NINES)), {400}),
    "a count of 5,000 digits as text": (sent(b'{"%s": "%s"}' % (POOL.encode(), NINES)), {503}),
    "a count beyond numbers": (sent(b'{"%s": 1e400}' % POOL.encode()), {503}),
    "a nested body": (sent(b'{"a":' * 10_000), {400}),
    "a lifetime of a nested list": (put(b'{"lifetime": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", TOKEN), {400}),
    "a lifetime of half a character": (put(b'{"lifetime": "\\ud800"}', TOKEN), {400}),
    "tags of half a character": (put(b'{"tags": {"\\udfff": "x", "y": "\\ud800"}}'), {400}),
    "4,000 tags": (put(b'{"tags": {%s}}' % b", ".join(b'"%d": ""' % n for n in range(4000))), {400}),
    "a password of no text": (request(b"/token", basic(b"\xff:\xfe")), {401}),
    "a user with a line break": (request(b"/token", basic(f"jo\n[+] all is well:{SECRET}".encode())), {401}),
    "a user of 10,000 letters": (request(b"/token", basic(b"j" * 10_000 + b":" + SECRET.encode())), {401}),
    "a date of other digits": (request(b"/summary?from=%D9%A2%D9%A0%D9%A2%D9%A4-01-01", method=GET), {400}),
    "two thousand years": (request(b"/summary?from=0001-01-01&to=9999-12-31", method=GET), {400}),
    "a VM of 15,000 letters": (request(b"/vm/" + b"a" * 15_000, method=GET), {404}),
    "a token of 15,000 letters": (request(b"/token/" + b"a" * 15_000, method=GET), {404}),
    "a change of such a VM": (request(b"/vm/" + b"a" * 15_000, b"Content-Length: 2", method=b"PUT", body=b"{}"), {404}),
    "a DELETE of no text": (request(b"/vm/%ff", TOKEN, method=DELETE), {404}),
}


async def busy(serve: Serve) -> Served:
    """Return a service with a token, a ready VM, and a VM that was checked out with the token."""
    served = await serve(WITH_AUTH)
    await served.have(POOL, "vm1")
    await served.store.call("HSET", f"vmpooler__token__{SECRET}", "user", "jo", "created", "2024-01-01 00:00:00 +0000")
    assert (await served.ask("POST", f"/vm/{POOL}", headers={"X-AUTH-TOKEN": SECRET})).status == 200
    await served.have(POOL, "vm2")
    return served


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_hostile_changes_nothing_and_leaks_nothing(
    serve: Serve, name: str, logged: list[LogEvent]
) -> None:
    data, expected = HOSTILE[name]
    served = await busy(serve)
    await served.store.call("HDEL", f"vmpooler__token__{SECRET}", "last")
    before = await contents(served.store)
    client = await connected(served.port, head_only=data.startswith(HEAD))
    client.say(data)
    answer = await client.answer
    assert answer is not None, "the client gets no answer"
    assert answer.status in expected
    assert data.startswith(HEAD) or answer.json["ok"] is False
    client.hang_up()
    await client.ended
    after = await contents(served.store)
    after[f"vmpooler__token__{SECRET}"] = before[f"vmpooler__token__{SECRET}"]  # its last use may be recorded
    assert after == before
    assert (await served.ask("GET", "/vm")).status == 200
    assert not [text for event in logged if SECRET in (text := formatEvent(event))]


def test_who_sends_a_byte_now_and_then_is_cut_off_without_a_word_in_the_log(logged: list[LogEvent]) -> None:
    clock = Clock()
    peer = Peer(quiet_api(clock).site())
    peer.say(b"POST /vm HTTP/1.1\r\nX: ")
    for _ in range(int(IDLE) - 1):
        clock.advance(1)
        peer.say(b"y")
    assert not peer.cut_off
    clock.advance(1)
    assert peer.cut_off
    assert not [event for event in logged if event["log_namespace"].startswith("vmpooler")]


def test_each_request_on_a_connection_has_its_own_time() -> None:
    clock = Clock()
    peer = Peer(quiet_api(clock).site())
    for _ in range(3):
        clock.advance(IDLE - 1)
        peer.transport.clear()
        peer.say(request(b"/vm", method=GET))
        assert peer.statuses == [200]
    assert not peer.cut_off


def test_of_too_many_connections_the_oldest_that_wait_for_their_clients_are_closed() -> None:
    clock = Clock()
    site = quiet_api(clock).site(most=3)
    slow, *others = [Peer(site) for _ in range(3)]
    slow.say(b"POST /vm HTTP/1.1\r\n")
    more, newest = Peer(site), Peer(site)
    assert [peer.cut_off for peer in (slow, *others, more, newest)] == [True, True, False, False, False]
    newest.say(request(b"/vm", method=GET))
    assert newest.statuses == [200]


def test_who_waits_for_an_answer_is_not_cut_off_for_others_nor_for_the_time_it_takes() -> None:
    clock = Clock()
    site = Site(SlowResource(), clock, clock.seconds, Limits(), most=2)
    served, idle = Peer(site), Peer(site)
    served.say(request(b"/vm", method=GET))
    latest = Peer(site)
    clock.advance(IDLE * 3)
    assert [peer.cut_off for peer in (served, idle, latest)] == [False, True, True]
