"""GET /healthz and GET /readyz, for systems that monitor processes."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.web.resource import IResource, Resource

from vmpooler.settings import Limits
from vmpooler.store.commands.registry import leader_and_leftovers
from vmpooler.store.queries import stats
from vmpooler.store.redis.commands import Commands
from vmpooler.web.http.api import JsonApp
from vmpooler.web.http.json import Json
from vmpooler.web.http.request import Request
from vmpooler.web.http.router import segments
from vmpooler.web.http.site import Site
from vmpooler.web.views.leftovers import left_of

State = Callable[[], Mapping[str, Any]]
"""Returns what /readyz reports of this process: its manager, if it has one, and processes with other pools."""

MAX_CONNECTIONS = 100
"""Maximum number of connections to a process that serves only health checks."""


class HealthRoutes:
    """``/healthz`` and ``/readyz``."""

    def __init__(self, connection: Commands, state: State) -> None:
        self._connection = connection
        self._state = state

    def mount(self, app: JsonApp) -> None:
        """Add these routes to an application."""
        app.route("GET", "/healthz", self.health)
        app.route("GET", "/readyz", self.ready)

    async def health(self, request: Request) -> Json:
        """Return whether requests can be served, and for which pools the mass guard is active."""
        flagged = await stats.flagged(self._connection)
        return {"ok": True, "flagged": flagged} if flagged else {"ok": True}

    async def ready(self, request: Request) -> Json:
        """Return whether this process is ready, which manager leads, and the state of this process's manager.

        The reply also contains, when they exist, pools that are drained or have moved, and processes with other pools.
        """
        await self._connection.call("PING")  # a Redis that cannot save its data refuses PING
        lease, left = await leader_and_leftovers(self._connection)
        epoch, _, name = lease.partition(" ")
        leader = {"name": name, "epoch": int(epoch)} if epoch else None
        return {"ok": True, "leader": leader, **self._state(), **left_of(left)}


def health_site(connection: Commands, state: State, reactor: Any, wall: Callable[[], float]) -> Site:
    """Return the factory for connections to the port of a process that only runs a manager."""
    app = JsonApp()
    HealthRoutes(connection, state).mount(app)
    return Site(_Paths(app.resource()), reactor, wall, Limits(), MAX_CONNECTIONS)


class _Paths(Resource):
    """Splits every path, and passes it to the routes."""

    isLeaf = True

    def __init__(self, routes: IResource) -> None:
        super().__init__()
        self._routes = routes

    def render(self, request: Request) -> Any:
        """Answer the request, in most cases later."""
        request.prepath, request.postpath = [], [part.encode() for part in segments(request.path) or []]
        return self._routes.render(request)
