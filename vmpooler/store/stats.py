"""Counts and figures over all pools."""

from collections.abc import Sequence

from vmpooler.domain import times
from vmpooler.domain.model import Queue
from vmpooler.domain.reports import Counts, PoolCounts
from vmpooler.store import keys
from vmpooler.store.connection import Connection
from vmpooler.store.scripts import load

COUNTED = (Queue.READY, Queue.PENDING, Queue.RUNNING, Queue.COMPLETED)


async def counts(connection: Connection, pools: Sequence[str], now: float) -> Counts:
    """Count all pools in one round trip."""
    day = times.day(now)
    touched = [keys.queue(queue, pool) for pool in pools for queue in COUNTED]
    shared = (keys.LASTBOOT, keys.TASKS_CLONE, keys.clone_times(day), keys.boot_times(day))
    rows, cloning, clone_seconds, boot_seconds = await connection.run(load("counts"), (*touched, *shared), pools)
    return Counts(
        pools=tuple(PoolCounts(*row) for row in rows),
        cloning=int(cloning),
        clone_seconds=_figures(clone_seconds),
        boot_seconds=_figures(boot_seconds),
    )


async def flagged(connection: Connection) -> dict[str, str]:
    """The pools that the mass guard holds for, and why."""
    flat = await connection.call("HGETALL", keys.FLAGGED)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _figures(texts: Sequence[str]) -> tuple[float, ...]:
    """The numbers among what is stored: an empty text, as the original can leave, is none."""
    return tuple(float(text) for text in texts if text.replace(".", "", 1).isdigit())
