"""Reads the state of the pools for the live overview."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from vmpooler.domain import summary, times
from vmpooler.domain.counts import Failing, Standing, Today
from vmpooler.domain.model import Queue
from vmpooler.domain.summary import Figures
from vmpooler.store import keys
from vmpooler.store.commands.registry import Leftovers, leftovers
from vmpooler.store.queries.pool_state import Trouble
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import load
from vmpooler.store.stored import number, paired, read

QUEUES = (Queue.READY, Queue.PENDING, Queue.RUNNING, Queue.COMPLETED)

FIGURES_EVERY = 2.0
"""Shortest interval between two reads of all clone and boot times of a day, in seconds; a day may have thousands."""


@attrs.frozen
class Overview:
    """The state of pools at one moment, by name.

    ``managed``: when (epoch) a manager last took a sample; None for never.
    """

    pools: Mapping[str, Standing]
    today: Today
    managed: float | None


class Overviews:
    """Reads the state of pools, in one round trip while the figures of the day do not change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._today = Today()
        self._of: tuple[Any, ...] = ()
        self._read_at = 0.0

    async def read(self, pools: Sequence[str], now: float) -> Overview:
        """Return the state of these pools. Raises StoreAway."""
        day = times.day(now)
        reply = await self._connection.run(
            load("overview"),
            cloning=keys.CLONING,
            flagged=keys.FLAGGED,
            lastboot=keys.LASTBOOT,
            sampled=keys.SAMPLED,
            clone_times=keys.clone_times(day),
            boot_times=keys.boot_times(day),
            places=[
                key for pool in pools for key in (*(keys.queue(queue, pool) for queue in QUEUES), keys.trouble(pool))
            ],
            pools=pools,
        )
        rows, cloning, sampled, *sizes = reply
        under_way = Counter(cloning)
        found = {pool: _standing(row, under_way[pool]) for pool, row in zip(pools, rows, strict=True)}
        managed = number(sampled.partition(" ")[0])
        return Overview(found, await self._figures(day, (day, *sizes), now), managed)

    async def leftovers(self) -> Leftovers:
        """Return the pools that are not configured and have VMs, and the pools that have moved. Raises StoreAway."""
        return await leftovers(self._connection)

    async def _figures(self, day: str, of: tuple[Any, ...], now: float) -> Today:
        """Return the figures of the day. While new values keep arriving, the means may be up to FIGURES_EVERY old."""
        fresh = day == self._today_of and 0 <= now - self._read_at < FIGURES_EVERY
        if of != self._of and not fresh:
            clones, boots = [await self._mean(key(day)) for key in (keys.clone_times, keys.boot_times)]
            self._of, self._read_at = of, now
            self._today = Today(clone_average=clones, boot_average=boots)
        return attrs.evolve(self._today, cloned=of[1])

    @property
    def _today_of(self) -> str:
        return self._of[0] if self._of else ""

    async def _mean(self, key: str) -> float | None:
        texts = await self._connection.call("HVALS", key)
        return Figures.of([time for text in texts if (time := summary.seconds(text)) is not None]).mean


def _standing(row: Sequence[Any], cloning: int) -> Standing:
    ready, pending, running, completed, troubles, flagged, last_boot = row
    pairs = paired(troubles).items()
    known = ((subject, read(text, Trouble)) for subject, text in pairs)
    failing = tuple(Failing(subject, each.tries, each.until, each.why) for subject, each in known if each is not None)
    return Standing(ready, pending, running, completed, cloning, failing, flagged, last_boot)
