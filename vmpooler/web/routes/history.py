"""``GET /dashboard/history``: the data of the dashboard's charts."""

import gzip
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from vmpooler.deferreds import Slots
from vmpooler.domain import graphite, history, summary, times
from vmpooler.domain.errors import UnknownPools
from vmpooler.domain.history import Range
from vmpooler.metrics.charts import Charts
from vmpooler.store.commands.registry import Leftovers
from vmpooler.store.commands.samples import Samples
from vmpooler.store.commands.summaries import Summaries
from vmpooler.web.http import json
from vmpooler.web.http.server import Request
from vmpooler.web.http.static_files import takes_gzip
from vmpooler.web.views.summary import week

SAMPLE_DELAY = 2.0
"""Seconds after the end of a minute until which its sample may not have been written."""

WEEK = 7

WITH_WEEK = "7d"

TOGETHER = 8
"""Pools whose samples are processed in one turn of the reactor."""


class HistoryRoutes:
    """The route of the history.

    An answer is created once for all requests within a minute. ``leftovers`` reads which pools are drained: these have
    a history too.
    """

    def __init__(
        self,
        pools: Sequence[str],
        samples: Samples,
        summaries: Summaries,
        charts: Charts,
        leftovers: Callable[[], Awaitable[Leftovers]],
        clock: IReactorTime,
        wall: Callable[[], float],
    ) -> None:
        self._pools = pools
        self._leftovers = leftovers
        self._samples = samples
        self._summaries = summaries
        self._charts = charts
        self._clock = clock
        self._wall = wall
        self._one_at_a_time = Slots()
        self._minute = 0
        self._answers: dict[tuple[str, str | None], bytes] = {}

    async def show(self, request: Request) -> bytes:
        """Return the samples of ``?range=``, of all pools or of ``?pool=``. Raises Invalid or UnknownPools."""
        name, pool = request.query("range") or "1h", request.query("pool")
        wanted = history.range_of(name)
        drained = [each.pool for each in (await self._leftovers()).drained]
        pools = [*self._pools, *(each for each in drained if each not in self._pools)]
        if pool is not None and pool not in pools:
            raise UnknownPools(pool)
        async with self._one_at_a_time:
            answer = await self._answer(name, wanted, pools, pool)
        request.setHeader("Vary", "Accept-Encoding")
        request.setHeader("Cache-Control", "no-cache")
        if not takes_gzip(request):
            return gzip.decompress(answer)
        request.setHeader("Content-Encoding", "gzip")
        return answer

    async def _answer(self, name: str, wanted: Range, pools: Sequence[str], pool: str | None) -> bytes:
        now = self._wall()
        minute = int((now - SAMPLE_DELAY) // history.MINUTES.seconds)
        if minute != self._minute:
            self._minute = minute
            self._answers.clear()
        if (name, pool) not in self._answers:
            reply = await self._read(wanted, [pool] if pool else pools, wanted.fine if pool else wanted.group)
            await self._fill(reply, name, pool)
            if name == WITH_WEEK:
                reply["week"] = await self._week(now)
            self._answers[name, pool] = gzip.compress(json.compact(reply), 5, mtime=0)
        return self._answers[name, pool]

    async def _read(self, wanted: Range, pools: Sequence[str], group: int) -> dict[str, Any]:
        """Read the samples.

        Steps begin at multiples of their length, so that a step covers the same time in each answer.
        """
        step = wanted.grain.seconds * group
        count = wanted.samples // group
        end = ceil(self._minute * history.MINUTES.seconds / step)
        found: dict[str, Any] = {}
        for first in range(0, len(pools), TOGETHER):
            some = pools[first : first + TOGETHER]
            kept = await self._samples.read(wanted.grain, (end - count) * group, wanted.samples, some)
            found |= {pool: history.series(samples, group) for pool, samples in kept.items()}
            await deferLater(self._clock, 0)
        return {"from": (end - count) * step, "step": step, "count": count, "pools": found}

    async def _fill(self, reply: dict[str, Any], name: str, pool: str | None) -> None:
        """Fill in missing samples from Graphite, if any are missing."""
        found = reply["pools"]
        if not any(None in columns["ready"] for columns in found.values()):
            return
        known = await self._charts.read(name, reply["count"], pool)
        for number, (each, columns) in enumerate(found.items()):
            for what, series in known.items():
                if each in series:
                    columns[what] = graphite.filled(columns[what], series[each], reply["from"], reply["step"])
            if number % TOGETHER == 0:
                await deferLater(self._clock, 0)

    async def _week(self, now: float) -> list[Any]:
        """Return the figures of the last ``WEEK`` days, of all pools together."""
        dates = summary.days(times.day(now - (WEEK - 1) * times.DAY), None, times.day(now))
        days = await self._summaries.sums(dates, ["clone", "boot"], now)
        return week(dates, [day["clone"] for day in days], [day["boot"] for day in days])
