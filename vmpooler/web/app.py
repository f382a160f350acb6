"""Assembles the HTTP API: the one table of its routes, and what answers them."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.web.resource import Resource

from vmpooler import __version__
from vmpooler.auth import Authenticator, authenticator_of
from vmpooler.domain.change import ChangeRules
from vmpooler.domain.names import Choice
from vmpooler.metrics.charts import Charts
from vmpooler.settings import Limits, Settings
from vmpooler.store.commands.rate_limit import Rates
from vmpooler.store.commands.samples import Samples
from vmpooler.store.commands.summaries import Summaries
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.tokens import Tokens
from vmpooler.store.commands.vm_updates import Changes
from vmpooler.store.queries.event_log import EventHistory
from vmpooler.store.queries.overview import Overviews
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import RedisCommands
from vmpooler.store.stream import EventStream
from vmpooler.web.events.hub import USUAL, Hub, Pace
from vmpooler.web.host_lookup import Lookup, Resolve
from vmpooler.web.http.credentials import Admissions
from vmpooler.web.http.rate_limit import RateLimit
from vmpooler.web.http.router import Mount, RequestsInFlight, Route, Router, Row
from vmpooler.web.http.server import Site, room
from vmpooler.web.http.static_files import Files
from vmpooler.web.routes import openapi
from vmpooler.web.routes.details import DetailRoutes
from vmpooler.web.routes.events import EventRoutes
from vmpooler.web.routes.health import HealthRoutes, State
from vmpooler.web.routes.history import HistoryRoutes
from vmpooler.web.routes.status import StatusRoutes
from vmpooler.web.routes.summary import SummaryRoutes
from vmpooler.web.routes.tasks import TaskRoutes
from vmpooler.web.routes.token import TokenRoutes
from vmpooler.web.routes.vm import VmRoutes
from vmpooler.web.routes.vm_update import ChangeRoutes

ACCEPTED = 202

MAX_HEALTH_CONNECTIONS = 100
"""Maximum number of connections to a process that serves only health checks."""


class Api:
    """The HTTP API over a connection to Redis.

    ``wall`` returns the time (epoch) by Redis's clock. ``choice`` picks a random character, for ids and tokens.
    ``resolve`` looks up the address of a host. ``authenticator`` checks users, instead of the one from the settings.
    StartError is raised when the one from the settings cannot be created. ``role`` is shown to people, and ``state``
    returns what /readyz reports of this process. ``router`` makes the router of the routes.
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
        router: Callable[..., Router] = Router,
        state: State = dict,
    ) -> None:
        self._reactor = reactor
        self._wall = wall
        self._settings = settings
        self._in_flight = RequestsInFlight()
        admissions = Admissions(settings.auth)
        names = [pool.name for pool in settings.pools]
        charts = Charts(settings.graphs, names, reactor)
        past, overviews = EventHistory(connection, settings.general.events_max), Overviews(connection)
        summaries = Summaries(connection, settings, reactor)
        checker = authenticator or authenticator_of(settings.auth, reactor)
        own = settings.auth is not None and settings.auth.owner_only
        self.hub = Hub(settings.pools, overviews, past, reactor, wall, pace, about(settings, role, wall()))

        lookup = Lookup(resolve or reactor.resolve, reactor)
        self._vm = vm = VmRoutes(settings, connection, lookup, self._in_flight, reactor, wall, choice)
        update = ChangeRoutes(ChangeRules.of(settings), admissions, Changes(connection, settings), wall)
        tasks = TaskRoutes(admissions, Tasks(connection, settings, choice, "api"), wall, choice)
        token = TokenRoutes(checker, Tokens(connection, names), own, wall, choice)
        status = StatusRoutes(settings.pools, connection, charts, reactor, wall)
        summary = SummaryRoutes(summaries, reactor, wall)
        history = HistoryRoutes(names, Samples(connection), summaries, charts, overviews.leftovers, reactor, wall)
        details = DetailRoutes(settings, connection, overviews, past, wall)
        events = EventRoutes(self.hub, settings.pools, settings.general.event_clients)
        page = Files()
        self.routes: Sequence[Row] = (
            *health_routes(connection, state),
            Route("GET", "/vm", vm.names, fast=True),
            Route("POST", "/vm", vm.checkout_of_body, fast=True),
            Route("POST", "/vm/<wanted>", vm.checkout_of_path, fast=True),
            Route("GET", "/vm/<host>", vm.show, fast=True),
            Route("DELETE", "/vm/<host>", vm.complete, fast=True),
            Route("PUT", "/vm/<host>", update.change),
            Route("POST", "/vm/<host>/disk/<size>", tasks.disk, ACCEPTED),
            Route("POST", "/vm/<host>/snapshot", tasks.snapshot, ACCEPTED),
            Route("POST", "/vm/<host>/snapshot/<snapshot>", tasks.revert, ACCEPTED),
            Route("GET", "/token", token.names),
            Route("POST", "/token", token.create),
            Route("GET", "/token/<token>", token.show),
            Route("DELETE", "/token/<token>", token.delete),
            Route("GET", "/status", status.status, fast=True),
            Route("GET", "/poolstat", status.stock),
            Route("GET", "/totalrunning", status.total_running),
            Route("GET", "/summary", summary.all),
            Route("GET", "/summary/<route>", summary.one),
            Route("GET", "/summary/<route>/<key>", summary.one),
            Mount("/events", events.subscribe, counted=False),
            Route("GET", "/api", openapi.as_html, headers=openapi.HTML, bare=True),
            Route("GET", "/api/openapi.json", openapi.as_json, bare=True),
            Route("GET", "/api/page.css", openapi.style, headers=openapi.CSS, bare=True),
            Mount("/", page.home, counted=False, bare=True),
            Mount("/dashboard", page.answer, below=True, rate_limited=False, counted=False, bare=True),
            Mount("/dashboard/events", events.subscribe, counted=False, bare=True),
            Route("GET", "/dashboard/history", history.show, bare=True),
            Route("GET", "/dashboard/pools/<name>", details.pool, bare=True),
            Route("GET", "/dashboard/vms/<host>", details.vm, bare=True),
            Route("GET", "/dashboard/stats/vmpooler/pool", status.sizes, bare=True),
            Route("GET", "/dashboard/stats/vmpooler/running", status.running, bare=True),
        )
        limits = settings.limits
        self._router = router(self.routes, self._in_flight, limits.requests, status.forget)
        self._entrance: Resource = self._router
        if limits.rate:
            rates, tokens = Rates(connection, limits), settings.auth is not None
            self._entrance = RateLimit(self._router, rates, limits, tokens, self._in_flight, wall)

    def follow(self, stream: EventStream) -> None:
        """Get the events of a stream: they go to the subscribers, and a checkout uses the id of the newest event."""
        stream.follow(self._vm.saw)
        stream.listen(self.hub.on_event)

    def site(self, most: int | None = None) -> Site:
        """Return the factory for a port's connections.

        It allows at most ``most`` connections; by default as many as ``room`` returns.
        """
        limits, subscribers = self._settings.limits, self._settings.general.event_clients
        most = room(limits.connections, subscribers) if most is None else most
        return Site(self._entrance, self._reactor, self._wall, limits, most)

    async def drained(self, seconds: float) -> bool:
        """Wait until no request is in progress and no VM is left to return.

        Returns False when that takes longer than ``seconds``. Call this after the port is closed: connections that are
        still open are closed after their next answer.
        """
        self._router.ending = True
        self.hub.close()
        idle = await self._in_flight.idle(seconds, self._reactor)
        self._vm.close()
        return idle


def health_routes(connection: RedisCommands, state: State) -> Sequence[Route]:
    """Return the routes of health checks, which are exempt from the limits on requests."""
    health = HealthRoutes(connection, state)
    return (
        Route("GET", "/healthz", health.health, rate_limited=False, counted=False),
        Route("GET", "/readyz", health.ready, rate_limited=False, counted=False),
    )


def health_site(connection: RedisCommands, state: State, reactor: Any, wall: Callable[[], float]) -> Site:
    """Return the factory for connections to the port of a process that only runs a manager."""
    routes = [attrs.evolve(route, bare=True) for route in health_routes(connection, state)]
    router = Router(routes, RequestsInFlight(), MAX_HEALTH_CONNECTIONS)
    return Site(router, reactor, wall, Limits(), MAX_HEALTH_CONNECTIONS)


def about(settings: Settings, role: str, now: float) -> dict[str, Any]:
    """Return the members of the state that describe the service, which starts ``now``."""
    general = settings.general
    known = {"site": general.site_name, "domain": general.domain or None, "version": __version__}
    return {**known, "role": role, "auth": settings.auth is not None, "started": now}
