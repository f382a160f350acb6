"""How the service does."""

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime

from vmpooler.domain import reports
from vmpooler.settings import Pool
from vmpooler.store import stats
from vmpooler.store.connection import Connection
from vmpooler.web.json_app import JsonApp
from vmpooler.web.request import Request
from vmpooler.web.text import Json


class StatusRoutes:
    """``/status`` for people and clients, ``/healthz`` for what watches over processes."""

    def __init__(self, pools: Sequence[Pool], connection: Connection, clock: IReactorTime) -> None:
        self._pools = pools
        self._connection = connection
        self._clock = clock
        self._started = clock.seconds()

    def mount(self, app: JsonApp) -> None:
        """Add these routes to an application."""
        app.route("GET", "/status", self.status)
        app.route("GET", "/healthz", self.health)

    async def status(self, request: Request) -> Json:
        """Counts and figures of all pools; ``?view=a,b`` names the members wanted."""
        now = self._clock.seconds()
        counts = await stats.counts(self._connection, [pool.name for pool in self._pools], now)
        view = request.args.get(b"view")
        views = None if view is None else view[-1].decode("utf-8", "replace").split(",")
        return reports.status(self._pools, counts, now - self._started, views)

    async def health(self, request: Request) -> Json:
        """Whether requests can be served, and which pools the mass guard holds for."""
        flagged = await stats.flagged(self._connection)
        return {"ok": True, "flagged": flagged} if flagged else {"ok": True}
