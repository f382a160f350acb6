"""The number of Redis round trips of each route is bounded for any number of pools and VMs. Prints a table."""

from typing import Any

import attrs
import pytest

from tests.web.conftest import Serve, Served
from vmpooler.settings import Auth, Pool, Settings
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import Script

MOST = 2
"""Maximum number of commands that a route sends; each is one round trip."""

POOLS = tuple(Pool(name=f"pool-{number}", alias=("any",), size=10) for number in range(60))
MANY = Settings(pools=POOLS, auth=Auth(provider="dummy", cache_seconds=0))
LOGIN = {"Authorization": "Basic am86c2VjcmV0"}  # jo:secret
TOKEN = {"X-AUTH-TOKEN": "known"}

ROUTES: list[tuple[str, str, str, dict[str, str]]] = [
    ("GET", "/vm", "", {}),
    ("POST", "/vm", '{"any": 3, "pool-1": 1}', TOKEN),
    ("POST", "/vm/any+any+pool-2", "", TOKEN),
    ("GET", "/vm/{vm}", "", {}),
    ("PUT", "/vm/{vm}", '{"lifetime": 4, "tags": {"a": "b"}}', TOKEN),
    ("POST", "/vm/{vm}/disk/8", "", TOKEN),
    ("POST", "/vm/{vm}/snapshot", "", TOKEN),
    ("POST", "/vm/{vm}/snapshot/before", "", TOKEN),
    ("GET", "/token", "", LOGIN),
    ("POST", "/token", "", LOGIN),
    ("GET", "/token/known", "", {}),
    ("GET", "/status", "", {}),
    ("GET", "/poolstat?pool=any", "", {}),
    ("GET", "/totalrunning", "", {}),
    ("GET", "/healthz", "", {}),
    ("GET", "/readyz", "", {}),
    ("GET", "/dashboard/stats/vmpooler/pool", "", {}),
    ("GET", "/dashboard/stats/vmpooler/running", "", {}),
    ("DELETE", "/vm/{vm}", "", TOKEN),
    ("DELETE", "/token/known", "", LOGIN),
]


class CountingConnection:
    """A connection that counts the commands it sends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.sent = 0

    def require(self) -> None:
        self._connection.require()

    async def call(self, *command: Any) -> Any:
        self.sent += 1
        return await self._connection.call(*command)

    async def run(self, script: Script, /, **values: Any) -> Any:
        self.sent += 1
        return await self._connection.run(script, **values)


async def populated(served: Served, vms: int) -> str:
    """Add ``vms`` ready and ``vms`` running VMs to every pool, check one VM out with a token, and return its name."""
    for pool in POOLS:
        for queue in ("ready", "running"):
            names = [f"{pool.name}-{queue}-{number}" for number in range(vms)]
            await served.have(pool.name, *names) if queue == "ready" else None
            await served.store.call("SADD", f"vmpooler__{queue}__{pool.name}", *names)
    await served.store.call("HSET", "vmpooler__token__known", "user", "jo")
    await served.ask("POST", "/vm/pool-0", headers=TOKEN)
    (vm,) = await served.store.call("HKEYS", "vmpooler__active__pool-0")
    await served.store.call("HSET", f"vmpooler__vm__{vm}", "snapshot:before", "then", "ip", "192.0.2.1")
    return str(vm)


@pytest.mark.limit(60)
async def test_no_route_needs_more_than_two_round_trips_whatever_there_is(serve: Serve, store: Connection) -> None:
    counting = CountingConnection(store)
    served = await serve(MANY, connection=counting)
    vm = await populated(attrs.evolve(served, store=store), 10)
    print(f"\n{'route':45} commands")
    for method, path, body, headers in ROUTES:
        before = counting.sent
        answer = await served.ask(method, path.format(vm=vm), body.encode(), headers)
        sent = counting.sent - before
        print(f"{method + ' ' + path:45} {sent}")
        assert answer.status in (200, 202), (method, path, answer.text)
        assert sent <= MOST, (method, path)
