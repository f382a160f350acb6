"""The sums of days, as vmpooler.domain.summary has them.

Note [Sums are kept]

A day that is over does not change: its sum is worked out once, and kept in Redis beside the size of the hash that it
is of. It counts as long as that size is still the same; so whatever is added late, by a process whose clock or zone
differs, or is forgotten by its age, is seen. Days that are not over are read whole each time; while they stay as they
were, they are not summed up again, which of 2,000 VMs is a quarter of a summary of a month.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from vmpooler.domain import times
from vmpooler.domain.summary import Sum, summed
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.connection import Connection
from vmpooler.store.scripts import load

SETTLED = 900.0
"""Seconds after midnight from which the day before is over: what was begun in it has been written by then."""

HASHES = {"boot": keys.boot_times, "clone": keys.clone_times, "tag": keys.tag_values}
"""The hash of a day that each route sums up."""


class Summaries:
    """Sums up days, without keeping the reactor from other work for long."""

    def __init__(self, connection: Connection, settings: Settings, clock: IReactorTime) -> None:
        self._connection = connection
        self._keep = settings.general.daily_retention * times.DAY
        self._clock = clock
        self._one_at_a_time = DeferredLock()
        self._latest: dict[str, tuple[Sequence[str], Sum]] = {}

    async def sums(self, days: Sequence[str], routes: Sequence[str], now: float) -> list[Mapping[str, Sum]]:
        """For each of the days, which are in order, the sum of each route. One round trip when all that is over is
        kept; a day whose sum is not is read and kept, one at a time, and by one client at a time."""
        settled = times.day(now - SETTLED)
        over = sum(day < settled for day in days)
        found = await self._look(days, routes, over)
        if any(0 in row for row in found):
            async with self._one_at_a_time:
                found = await self._look(days, routes, over)
                await self._fill(days, routes, found)
        return [await self._read(row, routes) for row in found]

    async def _look(self, days: Sequence[str], routes: Sequence[str], over: int) -> list[list[Any]]:
        """What days.lua says of each day and route."""
        touched = [key for day in days for key in (keys.summary(day), *(HASHES[route](day) for route in routes))]
        found: list[list[Any]] = await self._connection.run(load("days"), touched, (over + 1, *routes))
        return found

    async def _fill(self, days: Sequence[str], routes: Sequence[str], found: list[list[Any]]) -> None:
        """Work out the sums that are missing, and keep them."""
        for day, row in zip(days, found, strict=True):
            if missing := [index for index, each in enumerate(row) if each == 0]:
                wanted = [routes[index] for index in missing]
                for index, text in zip(missing, await self._work_out(day, wanted), strict=True):
                    row[index] = text

    async def _work_out(self, day: str, routes: Sequence[str]) -> list[str]:
        """The sums of a day as JSON, kept."""
        (row,) = await self._look([day], routes, 0)
        made = [json.dumps(summed(route, flat)) for route, flat in zip(routes, row, strict=True)]
        stamped = [f"{len(flat) // 2} {text}" for flat, text in zip(row, made, strict=True)]
        fields = [part for pair in zip(routes, stamped, strict=True) for part in pair]
        await self._connection.run(load("keep_sums"), (keys.summary(day),), (self._keep, *fields))
        return made

    async def _read(self, row: Sequence[Any], routes: Sequence[str]) -> Mapping[str, Sum]:
        await deferLater(self._clock, 0)
        return {route: self._sum(route, found) for route, found in zip(routes, row, strict=True)}

    def _sum(self, route: str, found: Any) -> Sum:
        """The sum of what days.lua says of a day and a route."""
        if isinstance(found, str):
            kept: Sum = json.loads(found) if found else {}
            return kept
        of, known = self._latest.get(route, ((), {}))
        if found != of:
            known = summed(route, found)
            self._latest[route] = found, known
        return known
