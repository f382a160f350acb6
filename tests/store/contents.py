"""Helpers that read the contents of Redis, and that create VMs in a given state."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vmpooler.domain.model import Queue
from vmpooler.settings import General, Redis, Settings
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Checkouts, Wanted
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.redis.client import Connection
from vmpooler.store.stored import paired

NOW = 1_700_000_000.0
SIZE = 5
POOL = "debian"
DATA_TTL = 3600

READERS: Mapping[str, Sequence[str | int]] = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "list": ("LRANGE", 0, -1),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    "stream": ("XRANGE", "-", "+"),
}


def settings(task_limit: int = 10, **general: Any) -> Settings:
    return Settings(general=General(task_limit=task_limit, **general), redis=Redis(data_ttl=DATA_TTL / 3600))


def queues_of(store: Connection, **general: Any) -> Queues:
    return Queues(store, settings(**general))


def checkouts_of(store: Connection, **general: Any) -> Checkouts:
    return Checkouts(store, settings(**general))


async def all_keys(store: Connection) -> list[str]:
    return sorted(await store.call("KEYS", "*"))


async def contents(store: Connection) -> dict[str, Any]:
    """Return every key with its value; sets are sorted."""
    found = {}
    for key in await all_keys(store):
        kind = await store.call("TYPE", key)
        command, *rest = READERS[kind]
        value = await store.call(command, key, *rest)
        found[key] = sorted(value) if kind == "set" else value
    return found


async def members(store: Connection, queue: Queue, pool: str = POOL) -> set[str]:
    return set(await store.call("SMEMBERS", keys.queue(queue, pool)))


async def standing(store: Connection, vm: str = "vm", pool: str = POOL) -> list[Queue]:
    """Return the queues that contain a VM."""
    return [queue for queue in Queue if vm in await members(store, queue, pool)]


async def hash_of(store: Connection, key: str) -> dict[str, str]:
    flat = await store.call("HGETALL", key)
    return paired(flat)


async def events(store: Connection) -> list[dict[str, str]]:
    """Return the whole event stream, the oldest event first."""
    entries = await store.call("XRANGE", keys.EVENTS, "-", "+")
    return [paired(flat) for _, flat in entries]


async def history(store: Connection, vm: str = "vm") -> list[dict[str, str]]:
    return [json.loads(entry) for entry in await store.call("LRANGE", keys.history(vm), 0, -1)]


async def make_ready(store: Connection, *vms: str, pool: str = POOL, now: float = NOW) -> None:
    """Create ready VMs, in the state that they have after clone and boot."""
    queues = queues_of(store, task_limit=10**6)
    for vm in vms:
        assert await queues.begin_clone(pool, vm, 10**6, now) == "ok"
        assert await queues.end_clone(pool, vm, 10, now)
        assert await queues.promote(pool, vm, "10.0.0.1", 20, now)


async def make_running(store: Connection, *vms: str, pool: str = POOL, now: float = NOW) -> None:
    """Create VMs that are checked out. The pool must not have other ready VMs."""
    await make_ready(store, *vms, pool=pool, now=now)
    await checkouts_of(store).checkout([Wanted(pool, len(vms), (pool,))], "id", None, now)


async def make_completed(store: Connection, *vms: str, pool: str = POOL, now: float = NOW) -> None:
    """Create completed VMs, which wait for their destruction."""
    await make_ready(store, *vms, pool=pool, now=now)
    for vm in vms:
        assert await queues_of(store).complete(pool, vm, Queue.READY, "why", now)
