"""The one place where everything is put together: ``twistd vmpooler``."""

import atexit
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import attrs
from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, gatherResults, maybeDeferred
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from vmpooler import __version__
from vmpooler.domain.errors import ConfigError, StartError, StoreAway, VmpoolerError
from vmpooler.domain.names import random_name
from vmpooler.embedded import EmbeddedRedis
from vmpooler.log import Lines, LogFile, tell
from vmpooler.manager.history import Told
from vmpooler.manager.manager import Manager
from vmpooler.metrics.figures import Figures
from vmpooler.metrics.graphite import Graphite
from vmpooler.options import Options, check, configuration
from vmpooler.port import Port, allow_files
from vmpooler.providers.configured import providers_of
from vmpooler.settings import Settings
from vmpooler.store.connection import Connection
from vmpooler.store.lease import Lease
from vmpooler.store.stream import BLOCK, EventStream, Listener
from vmpooler.web.app import Api
from vmpooler.web.health import health_site

__all__ = ["Options", "makeService"]

EMBEDDED = "embedded"

PATIENCE = 3.0
"""Seconds that clients wait during a start; then the API answers, though it may be that Redis is away."""

DRAIN = 10.0
"""Seconds that what is in flight may take to end after SIGTERM."""

MOMENT = 0.3
"""Seconds after which it is told what the end waits for."""

SPARE_FILES = 1000
"""Files that a process may open beside those of clients who listen to events."""

MARGIN = 0.5
"""Seconds that it may take to give up what did not end in time."""


def makeService(options: Options) -> IService:
    """The service that the command line asks for. Exits with one line on what to do when it cannot be made."""
    from twisted.internet import reactor  # the reactor is chosen by twistd's own options, before this

    if options["check-config"]:
        raise SystemExit(check(options))
    try:
        loaded, _ = configuration(options, os.environ, Path.cwd())
        return Vmpooler(loaded.settings, options["role"], reactor, _log_to(options, loaded.settings), loaded.warnings)
    except ConfigError as error:
        raise SystemExit("\n".join(f"vmpooler: {mistake}" for mistake in error.mistakes)) from None
    except StartError as error:
        raise SystemExit(f"vmpooler: {error}") from None


def _log_to(options: Options, settings: Settings) -> IO[str] | LogFile:
    """Standard output in the foreground, else the log file; twistd's own --logfile goes before. Raises StartError."""
    twistd: Mapping[str, Any] = options.parent or {}
    name = twistd.get("logfile") or ("-" if twistd.get("nodaemon") else settings.general.logfile)
    return sys.stdout if name == "-" else LogFile(name)


class _Refused(SystemExit, Exception):
    """Ends the process with its text and exit code 1. twistd cleans up after an Exception, and tells the parent of a
    daemon; Python prints no traceback of a SystemExit."""


class Vmpooler(Service):
    """Redis, API and manager of one process, started and stopped in the order that loses nothing."""

    log = Logger()

    def __init__(
        self, settings: Settings, role: str, reactor: Any, out: IO[str] | LogFile, warnings: tuple[str, ...] = ()
    ) -> None:
        self._settings, self._role, self._reactor = settings, role, reactor
        self._warnings = warnings
        self._observer = Lines(out, settings.general.log_format)
        self._embedded = _embedded_redis(settings, role, reactor)
        if self._embedded is not None:
            settings = attrs.evolve(settings, redis=attrs.evolve(settings.redis, socket=self._embedded.settings.socket))
        self._connection = Connection(settings.redis, reactor)
        self._blocking = self._connection.reader(BLOCK + 5)
        self._events = EventStream(self._blocking, reactor)
        self._port = Port(settings.general.listen, "--port or --listen", reactor)
        self._health = Port(settings.general.health_listen, "--health-listen", reactor)
        self._api: Api | None = None
        if role != "manager":
            self._api = Api(settings, self._connection, reactor, secrets.choice, role=role, state=self._state)
            self._events.listen(self._api.heard)
        self._manager: Manager | None = None
        self._graphite: Graphite | None = None
        if role != "api":
            self._manager = self._managed(settings)
        self._starting: Deferred[None] | None = None

    def _managed(self, settings: Settings) -> Manager:
        """The manager, whose events this process tells while it leads."""
        name = f"{socket.gethostname()}-{os.getpid()}-{random_name(secrets.choice, 6)}"
        lease = partial(Lease, self._connection, self._reactor, name, alone=self._embedded is not None)
        providers = partial(providers_of, settings, self._reactor)
        self._events.listen(self._as_leader(tell))
        sampled = self._metrics(settings)
        return Manager(settings, self._events, lease, providers, self._reactor, secrets.choice, sampled)

    def _state(self) -> Mapping[str, Any]:
        """What is to be said of the manager of this process, if it has one."""
        return {} if self._manager is None else self._manager.state()

    def _as_leader(self, listener: Listener) -> Listener:
        """A listener that is told what happens while this process leads: of several managers one tells it."""
        return lambda event: listener(event) if self._manager is not None and self._manager.leads else None

    def _metrics(self, settings: Settings) -> Told:
        """What is to be told the samples of the pools: where metrics go, if they go anywhere."""
        if settings.graphite is None:
            return lambda rows, when: None
        self._graphite = Graphite(settings.graphite, self._reactor)
        figures = Figures(settings.graphite.prefix, self._graphite)
        self._events.listen(self._as_leader(figures.heard))
        return figures.sampled

    def setServiceParent(self, parent: Any) -> None:
        """Be part of twistd's application, and write its log."""
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Take the ports, while that may need rights that are given up later. Nobody is answered yet."""
        super().privilegedStartService()
        try:
            if self._api is not None:
                allow_files(self._settings.general.event_clients + SPARE_FILES)
                self._port.take(self._api.site())
            elif self._settings.general.health_listen:
                self._health.take(health_site(self._connection, self._state, self._reactor))
        except StartError as error:
            raise _Refused(f"vmpooler: {error}") from None

    def startService(self) -> None:
        """Start in the background, as soon as the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        if self.running:
            self._starting = Deferred.fromCoroutine(self._start())
            self._starting.addErrback(self._failed)

    async def _start(self) -> None:
        redis = f"an embedded Redis in {self._settings.general.state_directory}"
        if self._embedded is None:
            redis = f"Redis at {self._connection.address}"
        told = {"version": __version__, "role": self._role, "pools": len(self._settings.pools), "redis": redis}
        self.log.info("[*] vmpooler {version}, role {role}: {pools} pools, {redis}", **told)
        for warning in self._warnings:
            self.log.warn("[!] configuration: {warning}", warning=warning)
        self._health.open()
        patience = self._reactor.callLater(PATIENCE, self._open)
        try:
            await self._start_parts()
        finally:
            if patience.active():
                patience.cancel()
        self._open()

    async def _start_parts(self) -> None:
        if self._embedded is not None:
            await self._embedded.start()
        self._connection.start()
        self._blocking.start()
        for connection in (self._connection, self._blocking):
            await self._reach_redis(connection)  # on both, so that no event is missed
        self._events.start()
        if self._graphite is not None:
            self._graphite.start()
        if self._manager is not None:
            await self._manager.start()

    async def _reach_redis(self, connection: Connection) -> None:
        """Return when Redis answers there. Raises StartError when it is too old."""
        while True:
            with suppress(StoreAway):
                return await connection.wait_ready(PATIENCE)

    def _open(self) -> None:
        """Let clients in, once, and tell where."""
        if not self._port.open():
            return
        pool = self._settings.pools[0]
        name = pool.alias[0] if pool.alias else pool.name
        self.log.info("[*] the API: {where}", where=self._port.url("/api/v1"))
        self.log.info("[*] get a VM: curl -X POST {where}", where=self._port.curl(f"/api/v1/vm/{name}"))

    def _failed(self, failure: Failure) -> None:
        """A start that failed ends the process, with exit code 1 and one line."""
        if failure.check(CancelledError):
            return
        if failure.check(VmpoolerError):
            self.log.critical("[!] cannot start: {why}", why=failure.getErrorMessage())
        else:
            self.log.failure("[!] cannot start", failure)
        atexit.register(_exit_with, 1)  # twistd itself always exits with 0
        self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """Take no more requests, finish what is in flight, leave Redis last."""
        super().stopService()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it has been heard
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C once more ends it at once, which loses nothing either
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        for port in (self._port, self._health):
            await self._step("closing the port", port.close)
        await self._drain()
        self._events.stop()
        if (graphite := self._graphite) is not None:
            await self._step("leaving Graphite", graphite.stop)
        await self._step("leaving the event stream", self._blocking.close)
        await self._step("leaving Redis", self._connection.close)
        if (embedded := self._embedded) is not None:
            await self._step("ending Redis", embedded.stop)
        self.log.info("[*] stopped")

    async def _drain(self) -> None:
        """Finish what is in flight, of clients and of VMs at the same time."""
        ends: dict[str, Deferred[Any]] = {}
        if (api := self._api) is not None:
            ends["the answers to clients"] = self._step("answering clients", lambda: api.drained(DRAIN))
        if (manager := self._manager) is not None:
            ends["work on VMs"] = self._step("ending the work on VMs", lambda: manager.stop(DRAIN))
        telling = self._reactor.callLater(MOMENT, self._tell_waits, ends)
        await gatherResults(ends.values())
        if telling.active():
            telling.cancel()

    def _tell_waits(self, ends: Mapping[str, Deferred[Any]]) -> None:
        waits = " and ".join(what for what, end in ends.items() if not end.called)
        self.log.info("[*] stopping: waits up to {most:g} s for {what}", most=DRAIN, what=waits)

    def _step(self, what: str, end: Callable[[], Any]) -> Deferred[Any]:
        """One step of the end. One that fails or takes too long is told, and the next is done all the same."""
        return maybeDeferred(end).addTimeout(DRAIN + MARGIN, self._reactor).addErrback(self._not_ended, what)

    def _not_ended(self, failure: Failure, what: str) -> None:
        if failure.check(TimeoutError):
            self.log.warn("[!] stopping: {what} took too long", what=what)
        else:
            self.log.failure("[!] stopping: {what} failed", failure, what=what)


def _embedded_redis(settings: Settings, role: str, reactor: Any) -> EmbeddedRedis | None:
    """The service's own Redis, if it is to have one, prepared. Raises StartError."""
    if settings.redis.server != EMBEDDED or settings.redis.socket:
        return None
    if role != "all":
        raise StartError(
            f"--role {role}: an embedded Redis serves one process only: set redis.server to one that all can reach"
        )
    embedded = EmbeddedRedis(Path(settings.general.state_directory), reactor)
    embedded.prepare()
    return embedded


def _exit_with(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
