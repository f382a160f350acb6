"""Counts and durations over all pools."""

import json
import re
from collections.abc import Sequence

from vmpooler.domain import summary, times
from vmpooler.domain.counts import Counts, PoolCounts
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.commands.registry import NOTES, Leftovers, leftovers_of
from vmpooler.store.redis.scripts import RedisCommands, load
from vmpooler.store.stored import paired

WHOLE = re.compile(r"\d{1,15}", re.ASCII)

COUNTED = (Queue.READY, Queue.PENDING, Queue.RUNNING, Queue.COMPLETED)


async def counts(connection: RedisCommands, pools: Sequence[str], now: float) -> Counts:
    """Return the counts of all pools, and the durations of today's clones and boots, in one round trip."""
    return (await counts_and_leftovers(connection, pools, now))[0]


async def counts_and_leftovers(connection: RedisCommands, pools: Sequence[str], now: float) -> tuple[Counts, Leftovers]:
    """Return the counts of all pools, and the leftovers of pools that are drained or have moved, in one round trip."""
    day = times.day(now)
    reply = await connection.run(
        load("counts"),
        lastboot=keys.LASTBOOT,
        tasks_clone=keys.TASKS_CLONE,
        clone_times=keys.clone_times(day),
        boot_times=keys.boot_times(day),
        **NOTES,
        queues=[keys.queue(queue, pool) for pool in pools for queue in COUNTED],
        queue_names=json.dumps(list(Queue)),
        pools=pools,
    )
    rows, cloning, clone_seconds, boot_seconds, *left = reply
    counted = Counts(
        pools=tuple(PoolCounts(*row) for row in rows),
        cloning=int(cloning) if WHOLE.fullmatch(cloning) else 0,
        clone_seconds=_figures(clone_seconds),
        boot_seconds=_figures(boot_seconds),
    )
    return counted, leftovers_of(left)


async def sizes(connection: RedisCommands, queue: Queue, pools: Sequence[str]) -> list[int]:
    """Return the number of VMs of each pool in a queue, in one round trip."""
    found: list[int] = await connection.run(load("sizes"), queues=[keys.queue(queue, pool) for pool in pools])
    return found


async def flagged(connection: RedisCommands) -> dict[str, str]:
    """Return the pools in which the mass guard protects unknown VMs, with the reason."""
    flat = await connection.call("HGETALL", keys.FLAGGED)
    return paired(flat)


def _figures(texts: Sequence[str]) -> tuple[float, ...]:
    return tuple(time for text in texts if (time := summary.seconds(text)) is not None)
