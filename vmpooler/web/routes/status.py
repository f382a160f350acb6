"""GET /status, and other counts of pools.

Note [Exact within a second]

Machines request ``/status`` all the time, and for 500 pools the counting and encoding takes milliseconds. So the pools
are counted once for all requests within FRESH seconds, and encoded once for each view. Changes by other processes and
programs are visible when that time is over. Changes by a request to this process are visible at once. When Redis is
unavailable, the request fails: at once if that is known, else when that time is over.
"""

from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from vmpooler.deferreds import SingleFlight
from vmpooler.domain.counts import Counts
from vmpooler.domain.graphite import Points
from vmpooler.domain.history import RANGES
from vmpooler.domain.model import Queue
from vmpooler.metrics.charts import Charts
from vmpooler.settings import Pool
from vmpooler.store.commands.registry import Leftovers
from vmpooler.store.queries import stats
from vmpooler.store.redis.client import Connection
from vmpooler.web.http import json
from vmpooler.web.http.json import Json
from vmpooler.web.http.server import Request
from vmpooler.web.views import status as status_view
from vmpooler.web.views.pool import left_of

FRESH = 0.25
"""Seconds that the counts of all pools are cached."""


LEFT = frozenset({"draining", "moved"})
"""Members that the status has only when they are not empty: pools that are not configured, or have moved."""

WHOLE = status_view.MEMBERS | LEFT


@attrs.frozen(eq=False)
class PoolsCounted:
    """The counts of all pools, when the process had run for ``uptime`` seconds.

    ``written`` contains the encoded replies, by the members that were requested.
    """

    uptime: float
    counts: Counts
    left: Leftovers
    written: dict[frozenset[str], bytes] = attrs.Factory(dict)


class StatusRoutes:
    """``/status`` and similar routes, for people and clients."""

    def __init__(
        self,
        pools: Sequence[Pool],
        connection: Connection,
        charts: Charts,
        clock: IReactorTime,
        wall: Callable[[], float],
    ) -> None:
        self._pools = pools
        self._connection = connection
        self._charts = charts
        self._clock = clock
        self._wall = wall
        self._started = clock.seconds()
        self._counted = SingleFlight(self._count, FRESH, clock)

    def forget(self) -> None:
        """Drop the cached counts: a request to this process may have changed them."""
        self._counted.forget()

    async def status(self, request: Request) -> bytes:
        """Return counts and figures of all pools; ``?view=a,b`` selects members."""
        self._connection.require()
        counted = await self._counted.get()
        view = request.query("view")
        members = WHOLE if view is None else WHOLE & set(view.split(","))
        if members not in counted.written:
            wanted = status_view.MEMBERS & members
            report = status_view.status(self._pools, counted.counts, counted.uptime, wanted)
            shown = {name: each for name, each in left_of(counted.left).items() if name in members}
            counted.written[members] = json.of(dict(sorted((report | shown).items())))
        return counted.written[members]

    async def stock(self, request: Request) -> Json:
        """Return what the pools of ``?pool=a,b`` have ready; these are names or aliases."""
        asked = set((request.query("pool") or "").split(","))
        pools = [pool for pool in self._pools if asked & {pool.name, *pool.alias}]
        return status_view.stock(pools, await self._sizes(Queue.READY, pools))

    async def total_running(self, request: Request) -> Json:
        """Return how many VMs are checked out, including those of drained pools."""
        self._connection.require()
        counted = await self._counted.get()
        configured = {pool.name for pool in self._pools}
        here = sum(each.running for each in counted.counts.pools)
        others = (each.counts[Queue.RUNNING] for each in counted.left.drained if each.pool not in configured)
        return {"running": here + sum(others)}

    async def sizes(self, request: Request) -> Json:
        """For the dashboard: return how full each pool is."""
        history = await self._past(request, "ready")
        return status_view.sizes(self._pools, await self._sizes(Queue.READY, self._pools), history)

    async def running(self, request: Request) -> Json:
        """For the dashboard: return how many VMs of each family of pools are running."""
        history = await self._past(request, "running")
        return status_view.running(self._pools, await self._sizes(Queue.RUNNING, self._pools), history or {})

    async def _count(self) -> PoolsCounted:
        uptime = self._clock.seconds() - self._started
        names = [pool.name for pool in self._pools]
        counts, left = await stats.counts_and_leftovers(self._connection, names, self._wall())
        return PoolsCounted(uptime, counts, left)

    async def _past(self, request: Request, what: str) -> Mapping[str, Points] | None:
        """Return Graphite's data of the last hour; None when the request does not ask for it."""
        if request.query("history") is None:
            return None
        return (await self._charts.read("1h", RANGES["1h"].samples))[what]

    async def _sizes(self, queue: Queue, pools: Sequence[Pool]) -> list[int]:
        return await stats.sizes(self._connection, queue, [pool.name for pool in pools])
