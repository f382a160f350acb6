"""How a process does, for what watches over processes."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.web.resource import IResource, Resource

from vmpooler.settings import Limits
from vmpooler.store import stats
from vmpooler.store.commands import Commands
from vmpooler.store.registry import leader_and_leftovers
from vmpooler.web.json_app import JsonApp
from vmpooler.web.left import left_of
from vmpooler.web.request import Request
from vmpooler.web.root import segments
from vmpooler.web.site import Site
from vmpooler.web.text import Json

State = Callable[[], Mapping[str, Any]]
"""What is to be said of this process: of its manager, where there is one, and of processes with other pools."""

MOST = 100
"""Connections at once to a process that serves nothing else."""


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
        """Whether requests can be served, and which pools the mass guard holds for."""
        flagged = await stats.flagged(self._connection)
        return {"ok": True, "flagged": flagged} if flagged else {"ok": True}

    async def ready(self, request: Request) -> Json:
        """Whether this process can do its part, which manager leads, and how that of this process stands; also, while
        there is something to say, which pools are drained or have moved, and which processes have other pools."""
        await self._connection.call("PING")  # refused by a Redis that cannot write its data
        lease, left = await leader_and_leftovers(self._connection)
        epoch, _, name = lease.partition(" ")
        leader = {"name": name, "epoch": int(epoch)} if epoch else None
        return {"ok": True, "leader": leader, **self._state(), **left_of(left)}


def health_site(connection: Commands, state: State, reactor: Any, wall: Callable[[], float]) -> Site:
    """What the port of a manager alone listens with."""
    app = JsonApp()
    HealthRoutes(connection, state).mount(app)
    return Site(_Paths(app.resource()), reactor, wall, Limits(), MOST)


class _Paths(Resource):
    """Hands every path to the routes, split."""

    isLeaf = True

    def __init__(self, routes: IResource) -> None:
        super().__init__()
        self._routes = routes

    def render(self, request: Request) -> Any:
        """Answer, later mostly."""
        request.prepath, request.postpath = [], [part.encode() for part in segments(request.path) or []]
        return self._routes.render(request)
