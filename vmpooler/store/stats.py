"""Counts and figures over all pools."""

from collections.abc import Sequence

import attrs

from vmpooler.domain import times
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.connection import Connection
from vmpooler.store.scripts import load

COUNTED = (Queue.READY, Queue.PENDING, Queue.RUNNING, Queue.COMPLETED)


@attrs.frozen
class PoolCounts:
    """How many VMs of a pool stand where, and when the last became ready (text, empty if never)."""

    ready: int
    pending: int
    running: int
    completed: int
    last_boot: str


@attrs.frozen
class Counts:
    """All pools at one moment, in the order asked for; the day's clone and boot times in seconds."""

    pools: tuple[PoolCounts, ...]
    cloning: int
    clone_seconds: tuple[float, ...]
    boot_seconds: tuple[float, ...]


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


def _figures(texts: Sequence[str]) -> tuple[float, ...]:
    """The numbers among what is stored: an empty text, as the original can leave, is none."""
    return tuple(float(text) for text in texts if text.replace(".", "", 1).isdigit())
