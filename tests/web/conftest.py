"""An API on a real port, over a real Redis.

The tests of a module that sets ``BOTH_WAYS = True`` run twice: once with hot routes on the short way, once with all
routes through klein. See Note [The short way] in vmpooler/web/http/router.py.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, succeed

from tests.web.client import Answer, said
from vmpooler.auth import Authenticator
from vmpooler.settings import Auth, General, Pool, Settings
from vmpooler.store.redis.client import Connection
from vmpooler.store.stored import paired
from vmpooler.web.app import Api
from vmpooler.web.http.router import Route, Router, Row

POOLS = (
    Pool(name="debian-12-x86_64", alias=("debian", "linux"), size=2),
    Pool(name="ubuntu-22.04", alias=("linux",), size=2),
    Pool(name="spare-pool", size=0),
)

PLAIN = Settings(pools=POOLS)
WITH_DOMAIN = Settings(pools=POOLS, general=General(domain="example.com"))
WITH_AUTH = Settings(pools=POOLS, auth=Auth(provider="dummy"))
OWNER_ONLY = Settings(pools=POOLS, auth=Auth(provider="dummy", owner_only=True))


@attrs.frozen
class Served:
    """An API on a port, and the Redis that it uses."""

    api: Api
    port: int
    store: Connection

    async def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request as clients do, and return the response.

        It has no Content-Type, and a Content-Length only when it has a body.
        """
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        return await self.say("\r\n".join([*lines, "", ""]).encode() + body, head_only=method == "HEAD")

    async def say(self, data: bytes, head_only: bool = False) -> Answer:
        """Send these bytes, and return the response."""
        return await said(self.port, data, head_only)

    async def have(self, pool: str, *vms: str) -> None:
        """Make VMs ready, with the records that the manager of Ruby vmpooler leaves."""
        await self.store.call("SADD", f"vmpooler__ready__{pool}", *vms)
        for vm in vms:
            await self.store.call("HSET", f"vmpooler__vm__{vm}", "template", pool, "check", "2024-01-01 00:00:00 +0000")

    async def queue(self, queue: str, pool: str) -> set[str]:
        """Return the VMs in a queue."""
        return set(await self.store.call("SMEMBERS", f"vmpooler__{queue}__{pool}"))

    async def record(self, vm: str) -> dict[str, str]:
        """Return the fields of a VM's record."""
        flat: Sequence[str] = await self.store.call("HGETALL", f"vmpooler__vm__{vm}")
        return paired(flat)

    async def events(self) -> list[tuple[str, str]]:
        """Return the kind and the VM of each event."""
        entries = await self.store.call("XRANGE", "vmpooler__x__events", "-", "+")
        fields = [paired(flat) for _, flat in entries]
        return [(each["what"], each["vm"]) for each in fields]


Serve = Callable[..., Awaitable[Served]]


def nowhere(host: str) -> Deferred[str]:
    """Resolve one known host; for any other host, never finish."""
    return succeed("192.0.2.7") if host == "known-host" else Deferred()


def slow(table: Sequence[Row], *rest: Any) -> Router:
    """Return a router without the short way."""
    return Router([attrs.evolve(row, fast=False) if isinstance(row, Route) else row for row in table], *rest)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of modules with ``BOTH_WAYS`` twice."""
    if "hot" in metafunc.fixturenames and getattr(metafunc.module, "BOTH_WAYS", False):
        metafunc.parametrize("hot", [True, False], ids=["short", "klein"])


@pytest.fixture
def hot() -> bool:
    """Whether hot routes may use the short way."""
    return True


@pytest_twisted.async_yield_fixture
async def serve(store: Connection, hot: bool) -> AsyncIterator[Serve]:
    """Serves an API with given settings on the shared Redis, or on another connection, until the test ends."""
    from twisted.internet import reactor

    listener: Any = reactor
    ports: list[Any] = []

    async def start(
        settings: Settings = PLAIN,
        connection: Connection = store,
        authenticator: Authenticator | None = None,
        hot: bool = hot,
        router: Callable[..., Router] | None = None,
    ) -> Served:
        wall, made = reactor.seconds, router or (Router if hot else slow)
        api = Api(settings, connection, reactor, wall, resolve=nowhere, authenticator=authenticator, router=made)
        port = listener.listenTCP(0, api.site(), interface="127.0.0.1")
        ports.append(port)
        return Served(api, port.getHost().port, connection)

    yield start
    for port in ports:
        await port.stopListening()
