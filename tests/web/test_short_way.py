"""Hot routes bypass klein, and return the same responses as through klein.

See Note [The short way] in vmpooler/web/http/router.py.
"""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from twisted.web.resource import Resource

from tests.web.client import Answer, connected
from tests.web.conftest import POOLS, WITH_AUTH, WITH_DOMAIN, Serve, Served
from vmpooler.web.http.router import Router, Row

POOL = POOLS[0].name


class Marked(Resource):
    """A marker resource that replaces klein."""

    isLeaf = True

    def render(self, request: object) -> bytes:
        return b"klein's"


def marked(table: Sequence[Row], *rest: Any) -> Router:
    return Router(table, *rest, by_klein=lambda routes: Marked())


HOT = [
    ("POST", f"/vm/{POOL}", b"", 200),
    ("POST", "/api/v1/vm", b'{"debian": 1}', 200),
    ("GET", "/vm", b"", 200),
    ("GET", "/vm/vm1", b"", 200),
    ("GET", "/api/v1/status", b"", 200),
    ("DELETE", "/vm/vm1", b"", 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), HOT)
async def test_what_is_asked_most_never_comes_to_klein(
    serve: Serve, method: str, path: str, body: bytes, status: int
) -> None:
    served = await serve(router=marked)
    await served.have(POOL, "vm1")
    answer = await served.ask(method, path, body)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")


async def test_all_else_does(serve: Serve) -> None:
    served = await serve(router=marked)
    for method, path in [("GET", "/healthz"), ("PUT", "/vm/a"), ("GET", "/vm/a/b"), ("POST", "/status"), ("GET", "/x")]:
        assert (await served.ask(method, path)).text == "klein's"


ASKED = [
    *[("GET", path, b"") for path in ("/vm", "/vm/", "/vm/vm1", "/vm/vm1.example.com", "/vm/none", "/vm/%C3%A4")],
    *[("GET", "/status?view=queue", b""), ("GET", "/status?view=", b""), ("GET", "/vm/a%2Fb", b"")],
    *[("POST", f"/vm/{name}", b"") for name in ("none", "ubuntu-22.04", "debian+none", "+", "%2B", "%ff")],
    *[("POST", "/vm", body) for body in (b"", b"{}", b'{"debian": 0}', b'{"debian": 99}', b'{"x": []}', b"null", b"x")],
    *[("DELETE", path, b"") for path in ("/vm/none", "/vm/vm1", "/vm")],
    *[("POST", "/vm/debian", b"x" * 70_000)],
]


def timeless(answer: Answer) -> tuple[int, dict[str, str], str]:
    """Return the parts of a response that do not depend on the time it was sent."""
    headers = {name: "" if name in ("date", "content-length") else value for name, value in answer.headers.items()}
    return answer.status, headers, re.sub(r'"uptime": [\d.]+', "", answer.text)


@pytest.mark.parametrize("settings", [WITH_DOMAIN, WITH_AUTH], ids=["open", "with tokens"])
async def test_both_ways_lead_to_the_same_answer(serve: Serve, settings: object) -> None:
    ways = [await serve(settings, hot=hot) for hot in (True, False)]
    await ways[0].have(POOL, "vm1")
    await ways[0].store.call("HSET", "vmpooler__vm__vm1", "ip", "192.0.2.1")
    for method, path, body in ASKED:
        for headers in ({}, {"X-AUTH-TOKEN": "unknown"}):
            short, klein = [await served.ask(method, path, body, headers) for served in ways]
            assert timeless(short) == timeless(klein), (method, path, body[:20], headers)
            assert int(short.headers["content-length"]) == len(short.text.encode())


async def test_a_connection_lives_as_long_by_both_ways(serve: Serve) -> None:
    for hot in (True, False):
        served = await serve(hot=hot)
        assert await lives(served, b"GET /vm HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not await lives(served, b"GET /vm HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert not await lives(served, b"GET /vm HTTP/1.0\r\n\r\n")


async def lives(served: Served, request: bytes) -> bool:
    """Return whether a connection can be used again after a request."""
    client = await connected(served.port)
    client.say(request)
    assert (await client.read_answer()).status == 200
    client.say(b"GET /vm HTTP/1.1\r\nHost: a\r\n\r\n")
    again = await client.answer
    client.hang_up()
    await client.ended
    return again is not None
