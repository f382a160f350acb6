"""Reports which pools the service's Redis has and a configuration lacks, before a start with that configuration."""

from pathlib import Path
from typing import Any

import attrs

from vmpooler.domain import estate
from vmpooler.domain.errors import StartError, StoreAway, VmpoolerError
from vmpooler.domain.model import Queue
from vmpooler.embedded import EmbeddedRedis
from vmpooler.settings import Redis, Settings
from vmpooler.store import keys
from vmpooler.store.commands.registry import Drained, Registry
from vmpooler.store.redis.client import Connection

EMBEDDED = "embedded"

REDIS_TIMEOUT = 1.0
"""Seconds after which an attempt to reach Redis times out."""

MAX_SCAN_STEPS = 1000
"""Maximum number of steps of the search through the keys of Redis."""


def redis_of(settings: Settings, reactor: Any) -> Redis:
    """Return the settings to reach the service's Redis, also an embedded one that another process runs.

    Raises StartError if no embedded Redis runs.
    """
    if settings.redis.server != EMBEDDED or settings.redis.socket:
        return settings.redis
    socket = EmbeddedRedis(Path(settings.general.state_directory), reactor).settings.socket
    if not Path(socket).exists():
        raise StartError(f"no embedded Redis runs in {settings.general.state_directory}: is the service started?")
    return attrs.evolve(settings.redis, socket=socket)


async def print_remains(reactor: Any, settings: Settings) -> None:
    """Print the pools in Redis that these settings lack or place elsewhere."""
    try:
        for sentence in await remains(settings, reactor):
            print(f"warning: Redis: {sentence}")
    except (StartError, StoreAway):
        pass  # a configuration is also checked before Redis exists
    except VmpoolerError as error:
        print(f"warning: Redis: which pools it has could not be seen: {error}")


async def remains(settings: Settings, reactor: Any) -> list[str]:
    """Return a sentence for each pool that has VMs and is not configured, and for each that has moved.

    Raises VmpoolerError where Redis cannot be reached or read.
    """
    connection = Connection(redis_of(settings, reactor), reactor, quiet=True)
    connection.start()
    try:
        await connection.wait_ready(REDIS_TIMEOUT)
        return await _sentences(Registry(connection), connection, settings)
    finally:
        await connection.close()


async def _sentences(registry: Registry, connection: Connection, settings: Settings) -> list[str]:
    memories = await registry.read()
    found = []
    for pool in settings.pools:
        old = memories.pop(pool.name, None)
        if old is not None and estate.may_have_moved(pool, old, settings):
            charge = estate.configured(pool, old, await registry.standing(pool.name), settings)
            found += [f"pool {pool.name}: {charge.note}"] if charge.note else []
    here = {pool.name for pool in settings.pools}
    for name in sorted((memories.keys() | await _found(registry)) - here):
        charge = estate.drained(name, memories.get(name), await registry.standing(name), settings)
        counts = {queue: await connection.call("SCARD", keys.queue(queue, name)) for queue in Queue}
        if any(counts.values()):
            found.append(f"pool {name}: {Drained(name, charge.note, counts).text}")
    return found


async def _found(registry: Registry) -> set[str]:
    """Return the pools that have VMs."""
    cursor, found = await registry.find("0")
    names = set(found)
    for _ in range(MAX_SCAN_STEPS):
        if cursor == "0":
            break
        cursor, found = await registry.find(cursor)
        names |= set(found)
    return names
