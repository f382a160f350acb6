"""GET /healthz and GET /readyz."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet import reactor

from tests.redis_server import RedisServer
from tests.web.client import Answer, said
from tests.web.conftest import Serve
from vmpooler.store.failover.lease import Lease
from vmpooler.store.redis.client import Connection
from vmpooler.web.app import health_site

STATE = {"manager": "standing by", "providers": {"dummy": "ok"}}


async def test_the_health_is_good_and_names_pools_that_wait_for_an_operator(serve: Serve) -> None:
    served = await serve()
    assert (await served.ask("GET", "/healthz")).json == {"ok": True}
    await served.store.call("HSET", "vmpooler__x__flagged", "debian-12-x86_64", "all of it is unknown")
    answer = await served.ask("GET", "/healthz")
    assert (answer.status, answer.json) == (200, {"ok": True, "flagged": {"debian-12-x86_64": "all of it is unknown"}})


async def test_an_api_is_ready_when_redis_is_and_says_whether_a_manager_leads(serve: Serve) -> None:
    served = await serve()
    answer = await served.ask("GET", "/readyz")
    assert (answer.status, answer.json) == (200, {"ok": True, "leader": None})
    lease = Lease(served.store, reactor, "host-1-abc")
    assert await lease.take()
    assert (await served.ask("GET", "/readyz")).json == {"ok": True, "leader": {"name": "host-1-abc", "epoch": 1}}
    assert (await served.ask("HEAD", "/api/v1/readyz")).status == 200
    assert (await served.ask("POST", "/readyz")).status == 404


@asynccontextmanager
async def asking(connection: Connection) -> AsyncIterator[Callable[[str], Awaitable[Answer]]]:
    """Serve the port of a process that is only a manager; yields a function that sends a GET to it."""
    listener: Any = reactor
    port = listener.listenTCP(0, health_site(connection, lambda: STATE, reactor, float), interface="127.0.0.1")
    try:
        yield lambda path: said(port.getHost().port, f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
    finally:
        await port.stopListening()


async def test_a_manager_alone_answers_these_two_and_nothing_else(store: Connection) -> None:
    async with asking(store) as ask:
        assert (await ask("/healthz")).json == {"ok": True}
        assert (await ask("/readyz")).json == {"ok": True, "leader": None, **STATE}
        for path in ("/", "/status", "/dashboard/"):
            answer = await ask(path)
            assert (answer.status, answer.json) == (404, {"ok": False})


async def test_nothing_is_well_or_ready_while_redis_is_away(spare_redis: RedisServer) -> None:
    connection = Connection(spare_redis.settings, reactor)
    connection.start()
    await connection.wait_ready(10)
    spare_redis.kill()
    async with asking(connection) as ask:
        for path in ("/healthz", "/readyz"):
            answer = await ask(path)
            assert answer.status == 503
            assert answer.json["message"].startswith("Redis is away")
    await connection.close()


async def test_nothing_is_ready_while_redis_cannot_write_what_can_be_read() -> None:
    redis = RedisServer("--appendonly", "yes", "--appendfsync", "everysec")
    redis.start()
    connection = Connection(redis.settings, reactor)
    connection.start()
    await connection.wait_ready(10)
    redis.limit()
    await connection.call("SET", "written", "by nobody")
    try:
        async with asking(connection) as ask:
            answer = await ask("/readyz")
            assert answer.status == 503
            assert "MISCONF" in answer.json["message"]
    finally:
        await connection.close()
        redis.remove()
