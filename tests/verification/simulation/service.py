"""The processes of the service, composed as ``vmpooler/process/service.py`` does it: managers and APIs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import DNSLookupError
from twisted.web.resource import IResource

from tests.verification.simulation.book import Book
from tests.verification.simulation.hypervisor import Front, Hypervisor
from tests.verification.simulation.process import SimulatedConnection, SimulatedProcess
from tests.verification.simulation.simulation import Simulation
from vmpooler.manager.manager import Manager
from vmpooler.store.failover.lease import Lease
from vmpooler.web.app import Api
from vmpooler.web.http.json import Json
from vmpooler.web.http.router import Handler, Route, Router, Row, klein_routes
from vmpooler.web.http.server import Request

HOLDS = 12.0
"""Seconds that a lease holds: longer than in production, because its renewals would be most of the steps."""

ATTEMPT_INTERVAL = 4.0
"""Seconds between two attempts of a standby manager to take the lease."""

DRAIN = 10.0
"""Seconds that operations in flight may take to end."""


class ManagerProcess(SimulatedProcess):
    """A process of role ``manager``."""

    def __init__(
        self, simulation: Simulation, book: Book, name: str, line: type[SimulatedConnection], hypervisor: Hypervisor
    ) -> None:
        super().__init__(simulation, book, name, line)
        events = self.events()
        unique = f"{name}-{len(simulation.trace)}"
        lease = partial(Lease, self.connection, self.clock, unique, holds=HOLDS)
        self._manager = Manager(
            simulation.settings,
            events,
            lease,
            lambda may_order: {name: Front(self, hypervisor, may_order) for name in simulation.settings.providers},
            self.clock,
            self.wall,
            simulation.choice,
            attempt_interval=ATTEMPT_INTERVAL,
        )
        if self.failover is not None:
            self.failover.when_lost(self._manager.wake_all)
        events.start()
        Deferred.fromCoroutine(self._manager.start())

    def leave(self, left: Callable[[], None]) -> None:
        """End in good order; ``left`` is called when that is done."""
        Deferred.fromCoroutine(self._leave()).addCallback(lambda _: left())

    async def _leave(self) -> None:
        await self._manager.stop(DRAIN)
        await self.connection.leave()


class ApiProcess(SimulatedProcess):
    """A process of role ``api``. Where losses are detected, it reads events for that; otherwise it does not read
    events."""

    def __init__(self, simulation: Simulation, book: Book, name: str, line: type[SimulatedConnection]) -> None:
        super().__init__(simulation, book, name, line)
        clocks = self.clock, self.wall
        unlike: dict[str, Any] = {"resolve": _unknown, "role": "api", "router": routes(name).router}
        api = Api(simulation.settings, self.connection, *clocks, simulation.choice, **unlike)
        self.site = api.site(1000)
        if self.failover is not None:
            self.events().start()


class LateRoutes:
    """Makes the resource of klein for processes with the same routes, and registers the routes once: that costs more
    than all requests that a schedule makes. The handlers are those of the last process."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._resource: IResource | None = None

    def router(self, table: Sequence[Row], *rest: Any) -> Router:
        """Return the router of a new process."""
        return Router(table, *rest, by_klein=self._by_klein)

    def _by_klein(self, routes: Sequence[Route]) -> IResource:
        self._handlers |= {route.name: route.handler for route in routes}
        if self._resource is None:
            late = [attrs.evolve(route, handler=partial(self._handle, route.name)) for route in routes]
            self._resource = klein_routes(late)
        return self._resource

    async def _handle(self, name: str, request: Request, **parts: str) -> Json | bytes:
        return await self._handlers[name](request, **parts)


@cache
def routes(name: str) -> LateRoutes:
    """Return the routes for processes of that name. Each new process of the name reuses them."""
    return LateRoutes()


def _unknown(host: str) -> Deferred[str]:
    return fail(DNSLookupError(host))
