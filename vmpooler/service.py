"""The one place where everything is put together: ``twistd vmpooler``."""

import atexit
import os
import random
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import attrs
from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from vmpooler import __version__
from vmpooler.config import endpoint
from vmpooler.domain.errors import ConfigError, StartError, StoreAway, VmpoolerError
from vmpooler.embedded import EmbeddedRedis
from vmpooler.log import Lines, LogFile, tell
from vmpooler.manager.manager import Manager
from vmpooler.options import Options, check, configuration
from vmpooler.providers.base import Provider
from vmpooler.providers.dummy import DummyProvider
from vmpooler.settings import Dummy, Settings
from vmpooler.store.connection import Connection
from vmpooler.store.stream import BLOCK, EventStream
from vmpooler.web.app import Api

__all__ = ["Options", "makeService"]

EMBEDDED = "embedded"

PATIENCE = 3.0
"""Seconds that a start waits for Redis before the API answers without it."""

DRAIN = 10.0
"""Seconds that what is in flight may take to end after SIGTERM."""


def makeService(options: Options) -> IService:
    """The service that the command line asks for. Exits with one line on what to do when it cannot be made."""
    from twisted.internet import reactor  # the reactor is chosen by twistd's own options, before this

    if options["check-config"]:
        raise SystemExit(check(options))
    try:
        loaded, _ = configuration(options, os.environ, Path.cwd())
        return Vmpooler(loaded.settings, options["role"], reactor, _log_to(options, loaded.settings), loaded.warnings)
    except ConfigError as error:
        raise SystemExit(f"{error}\nvmpooler: this configuration cannot be used") from None
    except StartError as error:
        raise SystemExit(f"vmpooler: {error}") from None


def _log_to(options: Options, settings: Settings) -> IO[str] | LogFile:
    """Standard output in the foreground, else the log file; twistd's own --logfile goes before."""
    twistd: Mapping[str, Any] = options.parent or {}
    name = twistd.get("logfile") or ("-" if twistd.get("nodaemon") else settings.general.logfile)
    return sys.stdout if name == "-" else LogFile(name)


class Vmpooler(Service):
    """Redis, API and manager of one process, started and stopped in the order that loses nothing."""

    log = Logger()

    def __init__(
        self, settings: Settings, role: str, reactor: Any, out: IO[str] | LogFile, warnings: tuple[str, ...] = ()
    ) -> None:
        self._settings, self._role, self._reactor = settings, role, reactor
        self._warnings = warnings
        self._observer = Lines(out, settings.general.log_format)
        self._embedded: EmbeddedRedis | None = None
        if settings.redis.server == EMBEDDED and not settings.redis.socket:
            self._embedded = EmbeddedRedis(Path(settings.general.state_directory), reactor)
        providers = {} if role == "api" else providers_of(settings, reactor)
        if self._embedded is not None:
            self._embedded.prepare()
            settings = attrs.evolve(settings, redis=attrs.evolve(settings.redis, socket=self._embedded.settings.socket))
        self._connection = Connection(settings.redis, reactor)
        self._blocking = self._connection.reader(BLOCK + 5)
        self._events = EventStream(self._blocking, reactor)
        self._api = None if role == "manager" else Api(settings, self._connection, reactor, secrets.choice)
        self._manager: Manager | None = None
        if role != "api":
            self._events.listen(tell)
            self._manager = Manager(settings, self._connection, self._events, providers, reactor, secrets.choice)
        self._port: Any = None
        self._starting: Deferred[None] | None = None

    def setServiceParent(self, parent: Any) -> None:
        """Be part of twistd's application, and write its log."""
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Take the port, while that may need rights that are given up later. Nobody is answered yet."""
        super().privilegedStartService()
        if self._api is None:
            return
        where = endpoint(self._settings.general.listen)
        serverFromString(self._reactor, where).listen(self._api.site()).addCallbacks(self._took, self._not_taken)

    def _took(self, port: Any) -> None:
        self._port = port
        port.stopReading()

    def _not_taken(self, failure: Failure) -> None:
        failure.trap(CannotListenError)
        cause = getattr(failure.value, "socketError", None)
        why, listen = getattr(cause, "strerror", None) or cause, self._settings.general.listen
        raise SystemExit(f"vmpooler: cannot listen on {listen}: {why}; choose another with --port or --listen")

    def startService(self) -> None:
        """Start in the background."""
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._failed)

    async def _start(self) -> None:
        for warning in self._warnings:
            self.log.warn("[!] configuration: {warning}", warning=warning)
        if self._embedded is not None:
            await self._embedded.start()
        self._connection.start()
        self._blocking.start()
        await self._reach_redis()
        self._events.start()
        for text in greeting(self._settings, self._role):
            self.log.info("{text}", text=text)
        if self._manager is not None:
            await self._manager.start()

    async def _reach_redis(self) -> None:
        """Wait for Redis; clients are answered from then on, or after a moment without it."""
        patience = self._reactor.callLater(PATIENCE, self._open)
        try:
            while not await self._answers():
                self.log.warn("[!] waits for Redis at {address}", address=self._connection.address)
        finally:
            if patience.active():
                patience.cancel()
        self._open()

    async def _answers(self) -> bool:
        try:
            await self._connection.wait_ready(PATIENCE)
        except StoreAway:
            return False
        return True

    def _open(self) -> None:
        if self._port is not None:
            self._port.startReading()

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
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        until = self._reactor.seconds() + DRAIN
        if self._port is not None:
            await self._step(self._port.stopListening)
        if (api := self._api) is not None:
            await self._step(lambda: api.drained(DRAIN))
        if (manager := self._manager) is not None:
            await self._step(lambda: manager.stop(max(0.0, until - self._reactor.seconds())))
        self._events.stop()
        await self._step(self._blocking.close)
        await self._step(self._connection.close)
        if self._embedded is not None:
            await self._step(self._embedded.stop)
        self.log.info("[*] stopped")

    async def _step(self, end: Callable[[], Any]) -> None:
        """One step of the end. One that fails is told, and the next is done all the same."""
        try:
            ending = end()
            if ending is not None:
                await ending
        except Exception:
            self.log.failure("[!] trouble while stopping")


def providers_of(settings: Settings, reactor: Any) -> dict[str, Provider]:
    """The providers that the pools use. Raises StartError for one that this version lacks."""
    made: dict[str, Provider] = {}
    for name in dict.fromkeys(pool.provider for pool in settings.pools):
        section = settings.providers[name]
        if not isinstance(section, Dummy):
            raise StartError(f"providers.{name}: this version cannot serve vSphere yet; pools of class dummy work")
        made[name] = DummyProvider(section, reactor, random.Random(), reactor)  # noqa: S311 - chance, not secrecy
    return made


def greeting(settings: Settings, role: str) -> list[str]:
    """What someone who has just started the service wants to know."""
    redis, listen = settings.redis, settings.general.listen
    where = settings.general.state_directory if redis.server == EMBEDDED else redis.socket or redis.server
    kind = "an embedded Redis in " if redis.server == EMBEDDED else "Redis at "
    lines = [f"[*] vmpooler {__version__}, role {role}: {len(settings.pools)} pools, {kind}{where}"]
    if role != "manager":
        url = url_of(listen)
        pool = settings.pools[0]
        name = pool.alias[0] if pool.alias else pool.name
        lines += [f"[*] the API: {url}/api/v1", f"[*] get a VM: curl -X POST {url}/api/v1/vm/{name}"]
    return lines


def url_of(listen: str) -> str:
    """Where a client on this machine reaches the API; an endpoint that is no plain port is shown as it is."""
    kind, _, rest = endpoint(listen).partition(":")
    if kind not in ("tcp", "tcp6"):
        return listen
    port, _, interface = rest.partition(":interface=")
    host = interface.replace("\\", "") or "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _exit_with(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
