"""The sums of days, in the form that vmpooler.domain.summary defines.

Note [Sums are kept]

A past day does not change: its sum is computed once, and stored in Redis with the size of the hash that was summed. The
sum is valid while the hash still has that size. So a late addition, by a process with a different clock or time zone,
or the expiry of the hash is detected. Days that are not over are read completely each time. While such a day is
unchanged, its sum is not computed again; with 2,000 VMs, that is a quarter of the cost of a month's summary.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from vmpooler.deferreds import Slots
from vmpooler.domain import times
from vmpooler.domain.summary import Sum, summed
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import load

SETTLED = 900.0
"""Seconds after midnight at which the previous day counts as over: everything that began in it has been written."""

HASHES = {"boot": keys.boot_times, "clone": keys.clone_times, "tag": keys.tag_values}
"""The hash of a day that each route sums."""


class Summaries:
    """Computes sums of days without blocking the reactor for long."""

    def __init__(self, connection: Connection, settings: Settings, clock: IReactorTime) -> None:
        self._connection = connection
        self._keep = settings.general.daily_retention * times.DAY
        self._clock = clock
        self._one_at_a_time = Slots()
        self._latest: dict[str, tuple[Sequence[str], Sum]] = {}

    async def sums(self, days: Sequence[str], routes: Sequence[str], now: float) -> list[Mapping[str, Sum]]:
        """Return for each day the sum of each route. ``days`` must be in ascending order.

        This takes one round trip when the sums of all past days are stored. Other past days are read and their sums
        stored, one day at a time, for one client at a time.
        """
        settled = times.day(now - SETTLED)
        over = sum(day < settled for day in days)
        found = await self._look(days, routes, over)
        if any(0 in row for row in found):
            async with self._one_at_a_time:
                found = await self._look(days, routes, over)
                await self._fill(days, routes, found)
        return [await self._read(row, routes) for row in found]

    async def _look(self, days: Sequence[str], routes: Sequence[str], over: int) -> list[list[Any]]:
        """Return the reply of days.lua for each day and route."""
        hashes = [key for day in days for key in (keys.summary(day), *(HASHES[route](day) for route in routes))]
        found: list[list[Any]] = await self._connection.run(
            load("days"), hashes=hashes, first_whole=over + 1, routes=routes
        )
        return found

    async def _fill(self, days: Sequence[str], routes: Sequence[str], found: list[list[Any]]) -> None:
        """Compute and store the missing sums."""
        for day, row in zip(days, found, strict=True):
            if missing := [index for index, each in enumerate(row) if each == 0]:
                wanted = [routes[index] for index in missing]
                for index, text in zip(missing, await self._work_out(day, wanted), strict=True):
                    row[index] = text

    async def _work_out(self, day: str, routes: Sequence[str]) -> list[str]:
        """Compute the sums of a day, store them, and return them as JSON."""
        (row,) = await self._look([day], routes, 0)
        made = [json.dumps(summed(route, flat)) for route, flat in zip(routes, row, strict=True)]
        stamped = [f"{len(flat) // 2} {text}" for flat, text in zip(row, made, strict=True)]
        fields = [part for pair in zip(routes, stamped, strict=True) for part in pair]
        await self._connection.run(load("keep_sums"), summary=keys.summary(day), keep=self._keep, sums=fields)
        return made

    async def _read(self, row: Sequence[Any], routes: Sequence[str]) -> Mapping[str, Sum]:
        await deferLater(self._clock, 0)
        return {route: self._sum(route, found) for route, found in zip(routes, row, strict=True)}

    def _sum(self, route: str, found: Any) -> Sum:
        """Return the sum that corresponds to the reply of days.lua for one day and route."""
        if isinstance(found, str):
            kept: Sum = json.loads(found) if found else {}
            return kept
        of, known = self._latest.get(route, ((), {}))
        if found != of:
            known = summed(route, found)
            self._latest[route] = found, known
        return known
