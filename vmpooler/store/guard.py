"""What an operator decides about VMs that the mass guard protects."""

from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.connection import Connection


async def unknown(connection: Connection, pool: str) -> list[str]:
    """The VMs that stand in a pool's folder and in none of its queues."""
    return sorted(await connection.call("SMEMBERS", keys.queue(Queue.DISCOVERED, pool)))


async def confirm(connection: Connection, pool: str) -> list[str]:
    """Give them up: the guard no longer counts them, so that those which this service made are destroyed."""
    names = await unknown(connection, pool)
    if names:
        await connection.call("SADD", keys.confirmed(pool), *names)
    return names


async def flagged(connection: Connection) -> dict[str, str]:
    """The pools that the guard holds for, and why."""
    flat = await connection.call("HGETALL", keys.FLAGGED)
    return dict(flat) if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
