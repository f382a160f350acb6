"""Assembles all parts of the service for ``twistd vmpooler``."""

import atexit
import gc
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import attrs
from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from vmpooler import __version__
from vmpooler.domain.errors import ConfigError, StartError, StoreAway, VmpoolerError
from vmpooler.domain.names import random_name
from vmpooler.embedded import EmbeddedRedis
from vmpooler.log import Lines, LogFile
from vmpooler.process.listening import Port, allow_files
from vmpooler.process.manager_service import Managing
from vmpooler.process.options import UP, Options, check, configuration
from vmpooler.process.remains import print_remains
from vmpooler.process.reuseport import Claiming, Sharing
from vmpooler.process.shutdown import DRAIN, End, Ending
from vmpooler.process.workers import Workers
from vmpooler.settings import Settings
from vmpooler.store.failover.peers import Peers
from vmpooler.store.failover.recovery import Failover
from vmpooler.store.redis.client import Connection, RedisTime
from vmpooler.store.stream import BLOCK_SECONDS, EventStream
from vmpooler.web.app import Api, health_site

__all__ = ["Options", "makeService"]

EMBEDDED = "embedded"

START_TIMEOUT = 3.0
"""Seconds that clients wait during a start. After that the API answers, even if Redis is unavailable."""

SPARE_FILES = 1000
"""Files that a process may open in addition to the connections of clients."""


def makeService(options: Options) -> IService:
    """Create the service that the command line asks for.

    If that is not possible, exit with one line for each mistake, which names the remedy.
    """
    from twisted.internet import reactor  # twistd's own options have chosen the reactor before this

    if options["check-config"]:
        _check_configuration(options)
    try:
        count_steadily(reactor)
        loaded, _ = configuration(options, os.environ, Path.cwd())
        return Vmpooler(loaded.settings, options, reactor, loaded.warnings)
    except ConfigError as error:
        raise SystemExit("\n".join(f"vmpooler: {mistake}" for mistake in error.mistakes)) from None
    except StartError as error:
        raise SystemExit(f"vmpooler: {error}") from None


def _check_configuration(options: Options) -> NoReturn:
    """Print what is wrong with the configuration, or ok; then which pools its Redis has that it lacks. Then exit."""
    if code := check(options):
        raise SystemExit(code)
    react(print_remains, (configuration(options, os.environ, Path.cwd())[0].settings,))


def count_steadily(reactor: Any) -> None:
    """Make the reactor's timers, and all intervals, use a clock that is never set.

    Twisted uses the host's clock: when that is set back by an hour, every timer is an hour late. If the system has
    CLOCK_BOOTTIME, the clock also counts while the host sleeps. Call this before any timer is created.
    """
    sleepless = getattr(time, "CLOCK_BOOTTIME", None)
    reactor.seconds = time.monotonic if sleepless is None else partial(time.clock_gettime, sleepless)


def _log_name(options: Options, settings: Settings) -> str:
    """Return the log file, or ``-`` for standard output, which is the default in the foreground.

    twistd's own --logfile takes precedence.
    """
    twistd: Mapping[str, Any] = options.parent or {}
    return twistd.get("logfile") or ("-" if twistd.get("nodaemon") else settings.general.logfile)


class _Refused(SystemExit, Exception):
    """Ends the process with its text and exit code 1.

    As it is an Exception, twistd cleans up and reports to the parent of a daemon. As it is a SystemExit, Python prints
    no traceback.
    """


class Vmpooler(Service):
    """Redis, API and manager of one process, started and stopped in the order that loses nothing."""

    log = Logger()

    def __init__(self, settings: Settings, options: Options, reactor: Any, warnings: tuple[str, ...] = ()) -> None:
        self._settings, self._role, self._reactor = settings, options["role"], reactor
        self._worker: str | None = options["worker"]
        self._warnings = warnings
        log_file = _log_name(options, settings)
        self._observer = Lines(sys.stdout if log_file == "-" else LogFile(log_file), settings.general.log_format)
        self._embedded = _embedded_redis(settings, self._role, reactor)
        if self._embedded is not None:
            settings = attrs.evolve(settings, redis=attrs.evolve(settings.redis, socket=self._embedded.settings.socket))
        self._wall = wall = RedisTime(reactor)
        who = _process(self._role)
        failover = Failover(settings, who, reactor, alone=self._embedded is not None)
        disk = f"the disk of {settings.general.state_directory}" if self._embedded is not None else "its disk"
        self._connection = Connection(settings.redis, reactor, failover=failover, time=wall, disk=disk)
        self._peers = Peers(self._connection, settings.pools, who, reactor)
        self._blocking = self._connection.reader(BLOCK_SECONDS + 5)
        self._events = EventStream(self._blocking, reactor)
        self._events.follow(failover.saw)
        self._workers: Workers | None = None
        if options.workers:
            self._workers = Workers(options, settings.general.listen, log_file, reactor, self._open)
        self._port = Port(settings.general.listen, "--port or --listen", _listening(options, reactor))
        self._health = Port(settings.general.health_listen, "--health-listen", reactor)
        self._managing: Managing | None = None
        if self._role != "api":
            alone = self._embedded is not None
            self._managing = Managing(settings, self._connection, self._events, alone, reactor, wall)
            failover.when_lost(self._managing.wake_all)
        self._api: Api | None = None
        if self._role != "manager" and self._workers is None:
            self._api = Api(
                settings, self._connection, reactor, wall, secrets.choice, role=self._role, state=self._state
            )
            self._api.follow(self._events)
        self._starting: Deferred[None] | None = None

    def setServiceParent(self, parent: Any) -> None:
        """Join twistd's application, and write its log."""
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind the ports, while the process still has rights that it gives up later.

        No client is answered yet.
        """
        super().privilegedStartService()
        try:
            if self._role != "manager":
                clients = self._settings.general.event_clients + self._settings.limits.connections
                allow_files(clients + SPARE_FILES)
                self._port.take(self._api.site() if self._api is not None else Factory())
            if self._managing is not None and self._api is None and self._settings.general.health_listen:
                self._health.take(health_site(self._connection, self._state, self._reactor, self._wall))
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
        self._health.open()
        if self._worker is None:
            self._introduce()
        if self._workers is not None:
            self._workers.start(self._port.number, self._embedded.settings.socket if self._embedded else "")
            await self._start_parts()
            return
        patience = self._reactor.callLater(START_TIMEOUT, self._open)
        try:
            await self._start_parts()
        finally:
            if patience.active():
                patience.cancel()
        self._open()

    def _state(self) -> Mapping[str, Any]:
        """Return the state of the manager and of the other processes, for status and health requests."""
        managing = self._managing.state() if self._managing is not None else {}
        return {**managing, **self._peers.state()}

    def _introduce(self) -> None:
        redis = f"an embedded Redis in {self._settings.general.state_directory}"
        if self._embedded is None:
            redis = f"Redis at {self._connection.address}"
        facts = {"version": __version__, "role": self._role, "pools": len(self._settings.pools), "redis": redis}
        self.log.info("[*] vmpooler {version}, role {role}: {pools} pools, {redis}", **facts)
        for warning in self._warnings:
            self.log.warn("[!] configuration: {warning}", warning=warning)

    async def _start_parts(self) -> None:
        if self._embedded is not None:
            await self._embedded.start()
        self._connection.start()
        self._blocking.start()
        for connection in (self._connection, self._blocking):
            await self._reach_redis(connection)  # on both connections, so that no event is missed
        self._events.start()
        self._peers.start()
        if self._managing is not None:
            await self._managing.start()
        gc.freeze()  # these objects stay: to scan them again would block all requests for up to 0.1 s

    async def _reach_redis(self, connection: Connection) -> None:
        """Return when Redis answers on this connection. Raises StartError when Redis is too old."""
        while True:
            with suppress(StoreAway):
                return await connection.wait_ready(START_TIMEOUT)

    def _open(self) -> None:
        """Accept clients, once, and log the address."""
        if not self._port.open():
            return
        if self._worker is not None:
            self.log.info("[*] worker {number} answers, process {pid}", number=self._worker, pid=os.getpid())
            os.write(UP, b".")
            return
        pool = self._settings.pools[0]
        name = pool.alias[0] if pool.alias else pool.name
        self.log.info("[*] the API: {where}", where=self._port.url("/api/v1"))
        self.log.info("[*] get a VM: curl -X POST {where}", where=self._port.curl(f"/api/v1/vm/{name}"))

    def _failed(self, failure: Failure) -> None:
        """End the process after a failed start, with exit code 1 and one log line."""
        if failure.check(CancelledError):
            return
        if failure.check(VmpoolerError):
            self.log.critical("[!] cannot start: {why}", why=failure.getErrorMessage())
        else:
            self.log.failure("[!] cannot start", failure)
        atexit.register(_exit_with, 1)  # twistd itself always exits with 0
        self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """Accept no more requests, finish work in flight, and disconnect from Redis last."""
        super().stopService()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the stop has already started
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends it at once, which loses nothing either
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        ending = Ending(self._reactor)
        for port in (self._port, self._health):
            await ending.step("closing the port", port.close)
        await ending.all(self._in_flight())
        self._events.stop()
        if self._managing is not None:
            await ending.step("leaving Graphite", self._managing.leave)
        await ending.step("leaving the other processes", self._peers.leave)
        await ending.step("leaving the event stream", self._blocking.close)
        await ending.step("leaving Redis", self._connection.close)
        if self._embedded is not None:
            await ending.step("ending Redis", self._embedded.stop)
        if self._worker is None:
            self.log.info("[*] stopped")

    def _in_flight(self) -> dict[str, tuple[str, End]]:
        """Return what to finish, for clients and for VMs.

        The keys name what the shutdown waits for; the values are the name of the step and how to end it.
        """
        parts: dict[str, tuple[str, End]] = {}
        if self._api is not None:
            parts["the answers to clients"] = "answering clients", partial(self._api.drained, DRAIN)
        if self._workers is not None:
            parts["the workers"] = "ending the workers", partial(self._workers.stop, DRAIN)
        if self._managing is not None:
            parts["work on VMs"] = "ending the work on VMs", partial(self._managing.stop, DRAIN)
        return parts


def _listening(options: Options, reactor: Any) -> Any:
    """Return what creates the port: a port that processes share if the options ask for it."""
    if options.workers:
        return Claiming(reactor)
    return Sharing(reactor) if options["share-port"] else reactor


def _embedded_redis(settings: Settings, role: str, reactor: Any) -> EmbeddedRedis | None:
    """Create and prepare the embedded Redis if the settings ask for one. Raises StartError."""
    if settings.redis.server != EMBEDDED or settings.redis.socket:
        return None
    if role != "all":
        raise StartError(
            f"--role {role}: an embedded Redis serves one process only: set redis.server to one that all can reach"
        )
    embedded = EmbeddedRedis(Path(settings.general.state_directory), reactor)
    embedded.prepare()
    return embedded


def _process(role: str) -> str:
    """Return a name for this process that no other process has or had."""
    return f"{role}-{socket.gethostname()}-{os.getpid()}-{random_name(secrets.choice, 6)}"


def _exit_with(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
