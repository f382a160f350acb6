"""Operator decisions about VMs that the mass guard protects."""

from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection


async def unknown(connection: Connection, pool: str) -> list[str]:
    """Return the VMs that are in a pool's folder and in none of its other queues: the discovered ones."""
    return sorted(await connection.call("SMEMBERS", keys.queue(Queue.DISCOVERED, pool)))


async def confirm(connection: Connection, pool: str) -> list[str]:
    """Release the pool's discovered VMs from the guard, and return them.

    The guard no longer counts them, so those that this service made are destroyed.
    """
    names = await unknown(connection, pool)
    if names:
        await connection.call("SADD", keys.confirmed(pool), *names)
    return names
