"""The processes of the service, as ``vmpooler/service.py`` puts them together: managers and APIs."""

from __future__ import annotations

from functools import cache
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import DNSLookupError

from tests.simulation.book import Book
from tests.simulation.hypervisor import Front, Hypervisor
from tests.simulation.process import Line, Process
from tests.simulation.stage import Stage
from vmpooler.manager.manager import Manager
from vmpooler.store.stream import EventStream
from vmpooler.web.app import Api
from vmpooler.web.json_app import Handler, JsonApp


class ManagerProcess(Process):
    """A process of role ``manager``."""

    def __init__(self, stage: Stage, book: Book, name: str, line: type[Line], hypervisor: Hypervisor) -> None:
        super().__init__(stage, book, name, line)
        events = EventStream(self.connection, self.clock)
        providers = {"dummy": Front(self, hypervisor)}
        manager = Manager(stage.settings, self.connection, events, providers, self.clock, stage.choice)
        events.start()
        Deferred.fromCoroutine(manager.start())


class ApiProcess(Process):
    """A process of role ``api``. Nobody listens to events there, so it reads none."""

    def __init__(self, stage: Stage, book: Book, name: str, line: type[Line]) -> None:
        super().__init__(stage, book, name, line)
        api = Api(
            stage.settings, self.connection, self.clock, stage.choice, resolve=_unknown, role="api", app=routes(name)
        )
        self.site = api.site(1000)


class LateRoutes(JsonApp):
    """An application whose handlers can be replaced: that there is a route costs more than all that a schedule does
    with it."""

    def __init__(self) -> None:
        super().__init__()
        self._handlers: dict[str, Handler] = {}

    def route(self, method: str, path: str, handler: Handler, status: int = 200, *, hot: bool = False) -> None:
        """The same, but the latest handler answers."""
        name = f"{method} {path}"
        if name not in self._handlers:
            super().route(method, path, lambda *args, **parts: self._handlers[name](*args, **parts), status, hot=hot)
        self._handlers[name] = handler

    def document(self, *_: Any) -> None:
        """Nobody reads here."""


@cache
def routes(name: str) -> LateRoutes:
    """The routes of a process of that name, whichever runs now."""
    return LateRoutes()


def _unknown(host: str) -> Deferred[str]:
    return fail(DNSLookupError(host))
