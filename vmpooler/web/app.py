"""Assembles the HTTP API: its routes and their paths."""

import secrets
from collections.abc import Callable
from typing import Any

from twisted.web.resource import Resource

from vmpooler import __version__
from vmpooler.auth import Authenticator, authenticator_of
from vmpooler.domain.change import ChangeRules
from vmpooler.domain.events import Event
from vmpooler.domain.names import Choice
from vmpooler.metrics.charts import Charts
from vmpooler.settings import Settings
from vmpooler.store.commands.rate_limit import Rates
from vmpooler.store.commands.samples import Samples
from vmpooler.store.commands.summaries import Summaries
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.tokens import Tokens
from vmpooler.store.commands.vm_updates import Changes
from vmpooler.store.queries.event_log import EventHistory
from vmpooler.store.queries.overview import Overviews
from vmpooler.store.queries.vms import Vms
from vmpooler.store.redis.client import Connection
from vmpooler.web.checkouts import CheckoutService
from vmpooler.web.events.hub import Hub
from vmpooler.web.events.intervals import USUAL, Pace
from vmpooler.web.events.resource import Events
from vmpooler.web.host_lookup import Lookup, Resolve
from vmpooler.web.http.api import JsonApp
from vmpooler.web.http.rate_limit import RateLimit
from vmpooler.web.http.router import Router
from vmpooler.web.http.site import Site, room
from vmpooler.web.http.static_files import Files
from vmpooler.web.routes.details import CloserRoutes
from vmpooler.web.routes.health import HealthRoutes, State
from vmpooler.web.routes.history import HistoryRoutes
from vmpooler.web.routes.openapi import OpenApiRoutes
from vmpooler.web.routes.status import StatusRoutes
from vmpooler.web.routes.summary import SummaryRoutes
from vmpooler.web.routes.tasks import TaskRoutes
from vmpooler.web.routes.token import TokenRoutes
from vmpooler.web.routes.vm import VmRoutes
from vmpooler.web.routes.vm_update import ChangeRoutes


class Api:
    """The HTTP API over a connection to Redis.

    ``wall`` returns the time (epoch) by Redis's clock. ``choice`` picks a random character, for ids and tokens.
    ``resolve`` looks up the address of a host. ``authenticator`` checks users, instead of the one from the settings.
    StartError is raised when the one from the settings cannot be created. ``role`` is shown to people, and ``state``
    returns what /readyz reports of this process. ``heard`` must be called with every event. ``app`` takes the routes; a
    new one if None.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        reactor: Any,
        wall: Callable[[], float],
        choice: Choice = secrets.choice,
        resolve: Resolve | None = None,
        authenticator: Authenticator | None = None,
        role: str = "all",
        pace: Pace = USUAL,
        app: JsonApp | None = None,
        state: State = dict,
    ) -> None:
        self._reactor = reactor
        self._wall = wall
        self._settings = settings
        app = app or JsonApp()
        self._under_way = app.under_way
        self._desk = CheckoutService(settings, connection, self._under_way, reactor, wall, choice)
        lookup = Lookup(resolve or reactor.resolve, reactor)
        VmRoutes(settings, self._desk, Vms(connection), lookup, wall).mount(app)
        tasks = Tasks(connection, settings, choice, "api")
        TaskRoutes(self._desk, tasks, wall, choice).mount(app)
        ChangeRoutes(ChangeRules.of(settings), self._desk, Changes(connection, settings), wall).mount(app)
        known = Tokens(connection, [pool.name for pool in settings.pools])
        own = settings.auth is not None and settings.auth.owner_only
        TokenRoutes(authenticator or authenticator_of(settings.auth, reactor), known, own, wall, choice).mount(app)
        names = [pool.name for pool in settings.pools]
        charts = Charts(settings.graphs, names, reactor)
        StatusRoutes(settings.pools, connection, charts, reactor, wall).mount(app)
        HealthRoutes(connection, state).mount(app)
        summaries = Summaries(connection, settings, reactor)
        SummaryRoutes(summaries, reactor, wall).mount(app)
        OpenApiRoutes().mount(app)
        past, overviews = EventHistory(connection, settings.general.events_max), Overviews(connection)
        HistoryRoutes(names, Samples(connection), summaries, charts, overviews.leftovers, reactor, wall).mount(app)
        CloserRoutes(settings, connection, overviews, past, wall).mount(app)
        said = about(settings, role, wall())
        self._feed = Hub(settings.pools, overviews, past, reactor, wall, pace, said)
        events = Events(self._feed, settings.pools, settings.general.event_clients, reactor, pace)
        self._root = Router(app.resource(), events, Files(), self._under_way, settings.limits.requests)
        self._entrance: Resource = self._root
        if settings.limits.rate:
            rates, tokens = Rates(connection, settings.limits), settings.auth is not None
            self._entrance = RateLimit(self._root, rates, settings.limits, tokens, self._under_way, wall)

    def saw(self, newest: str) -> None:
        """Callback of the event stream's reader: store the id of the newest event."""
        self._desk.saw(newest)

    def on_event(self, event: Event) -> None:
        """Callback of the event stream: send an event to the subscribers."""
        self._feed.on_event(event)

    def site(self, most: int | None = None) -> Site:
        """Return the factory for a port's connections.

        It allows at most ``most`` connections; by default as many as ``room`` returns.
        """
        limits, listeners = self._settings.limits, self._settings.general.event_clients
        most = room(limits.connections, listeners) if most is None else most
        return Site(self._entrance, self._reactor, self._wall, limits, most)

    async def drained(self, seconds: float) -> bool:
        """Wait until no request is in progress and no VM is left to return.

        Returns False when that takes longer than ``seconds``. Call this after the port is closed: connections that are
        still open are closed after their next answer.
        """
        self._root.ending = True
        self._feed.close()
        idle = await self._under_way.idle(seconds, self._reactor)
        self._desk.close()
        return idle


def about(settings: Settings, role: str, now: float) -> dict[str, Any]:
    """Return the members of the state that describe the service, which starts ``now``."""
    general = settings.general
    known = {"site": general.site_name, "domain": general.domain or None, "version": __version__}
    return {**known, "role": role, "auth": settings.auth is not None, "started": now}
