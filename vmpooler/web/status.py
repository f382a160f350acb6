"""How the service does."""

from collections.abc import Mapping, Sequence

from twisted.internet.interfaces import IReactorTime

from vmpooler.domain import reports
from vmpooler.domain.graphite import Points
from vmpooler.domain.history import RANGES
from vmpooler.domain.model import Queue
from vmpooler.metrics.charts import Charts
from vmpooler.settings import Pool
from vmpooler.store import stats
from vmpooler.store.connection import Connection
from vmpooler.web.json_app import JsonApp
from vmpooler.web.request import Request
from vmpooler.web.text import Json


class StatusRoutes:
    """``/status`` and its like, for people and clients."""

    def __init__(self, pools: Sequence[Pool], connection: Connection, charts: Charts, clock: IReactorTime) -> None:
        self._pools = pools
        self._connection = connection
        self._charts = charts
        self._clock = clock
        self._started = clock.seconds()

    def mount(self, app: JsonApp) -> None:
        """Add these routes to an application."""
        app.route("GET", "/status", self.status)
        app.route("GET", "/poolstat", self.stock)
        app.route("GET", "/totalrunning", self.total_running)
        app.route("GET", "/dashboard/stats/vmpooler/pool", self.sizes)
        app.route("GET", "/dashboard/stats/vmpooler/running", self.running)

    async def status(self, request: Request) -> Json:
        """Counts and figures of all pools; ``?view=a,b`` names the members wanted."""
        now = self._clock.seconds()
        counts = await stats.counts(self._connection, [pool.name for pool in self._pools], now)
        view = request.query("view")
        return reports.status(self._pools, counts, now - self._started, None if view is None else view.split(","))

    async def stock(self, request: Request) -> Json:
        """What the pools of ``?pool=a,b`` have, names or aliases."""
        asked = set((request.query("pool") or "").split(","))
        pools = [pool for pool in self._pools if asked & {pool.name, *pool.alias}]
        return reports.stock(pools, await self._sizes(Queue.READY, pools))

    async def total_running(self, request: Request) -> Json:
        """How many VMs are checked out."""
        return {"running": sum(await self._sizes(Queue.RUNNING, self._pools))}

    async def sizes(self, request: Request) -> Json:
        """For the dashboard: how full each pool is."""
        history = await self._past(request, "ready")
        return reports.sizes(self._pools, await self._sizes(Queue.READY, self._pools), history)

    async def running(self, request: Request) -> Json:
        """For the dashboard: how many VMs run of each family of pools."""
        history = await self._past(request, "running")
        return reports.running(self._pools, await self._sizes(Queue.RUNNING, self._pools), history or {})

    async def _past(self, request: Request, what: str) -> Mapping[str, Points] | None:
        """The last hour that Graphite knows; None when it is not asked for."""
        if request.query("history") is None:
            return None
        return (await self._charts.read("1h", RANGES["1h"].samples))[what]

    async def _sizes(self, queue: Queue, pools: Sequence[Pool]) -> list[int]:
        return await stats.sizes(self._connection, queue, [pool.name for pool in pools])
