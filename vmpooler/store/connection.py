"""The connection to Redis: a command is carried out now, or refused at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.domain.errors import StartError, StoreAway, VmpoolerError
from vmpooler.settings import Redis
from vmpooler.store.scripts import Script
from vmpooler.store.wire import ServerError, Value, Wires

OLDEST = (6, 2)
"""The oldest version of Redis that has all that the scripts use."""

CONNECT_TIMEOUT = 5.0
"""Seconds that one attempt to connect may take."""

PASSING = re.compile(
    r"(?:^|: -)(?:BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN) .*", re.DOTALL
)
"""Errors of a Redis that cannot serve now but may soon. It raises them before a script's first write; version 6.2
puts them behind the place in the script. Nothing was changed."""

PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

log = Logger()


class StoreFault(VmpoolerError):
    """Redis refuses a command or a script for what it is: a defect here, or of the data."""


class Connection:
    """Redis over a few wires, which come back by themselves when lost.

    Each command takes the least busy wire, so two commands have an order only when the first is awaited.
    ``reply_timeout``: seconds after which a Redis that does not answer is away. ``quiet``: log nothing.
    """

    def __init__(
        self, settings: Redis, reactor: Any, *, size: int = 2, reply_timeout: float = 5.0, quiet: bool = False
    ) -> None:
        self.address = settings.socket or f"{settings.server}:{settings.port}"
        self.last_error = ""
        self._settings = settings
        self._reactor = reactor
        self._endpoint = _endpoint(settings, reactor)
        self._quiet = quiet
        self._closed = False
        self._wires = Wires(settings, size, reply_timeout, reactor, self._told)

    def start(self) -> None:
        """Begin to connect, and go on until closed."""
        self._wires.connect(self._endpoint)

    async def close(self) -> None:
        """Hang up for good; what is under way fails with StoreAway."""
        self._closed = True
        self.last_error = "the connection is closed"
        await self._wires.close()

    def reader(self, reply_timeout: float) -> Connection:
        """A connection of one wire for commands that block, not started; its ``reply_timeout`` exceeds their own."""
        return Connection(self._settings, self._reactor, size=1, reply_timeout=reply_timeout, quiet=True)

    async def wait_ready(self, timeout: float) -> None:
        """Return when Redis answers. Raises StoreAway when it does not within ``timeout`` seconds, StartError when it
        is too old."""
        until = self._reactor.seconds() + timeout
        while True:
            try:
                info = await self.call("INFO", "server")
            except StoreAway as error:
                if self._reactor.seconds() >= until:
                    raise StoreAway(f"Redis at {self.address}: {error}; see redis: in the configuration") from None
            except StoreFault as error:
                raise StartError(f"Redis at {self.address} does not tell its version: {error}") from None
            else:
                return require_version(info, self.address)
            await deferLater(self._reactor, 0.02)

    async def call(self, *command: Value) -> Any:
        """The reply to one command. Raises StoreAway or StoreFault."""
        try:
            return await self._send(*command)
        except ServerError as error:
            raise _meaning(str(error), str(command[0])) from None

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Value]) -> Any:
        """What the script returns. Raises StoreAway or StoreFault."""
        given = (len(keys), *keys, *args)
        try:
            try:
                return await self._send("EVALSHA", script.sha, *given)
            except ServerError as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
                return await self._send("EVAL", script.source, *given)
        except ServerError as error:
            raise _meaning(str(error), script.name) from None

    async def _send(self, *command: Value) -> Any:
        wires = self._wires.ready()
        if not wires:
            raise StoreAway(f"Redis is away: {self.last_error or 'not connected yet'}")
        return await min(wires, key=lambda wire: wire.load).execute_command(*command)

    def _told(self, why: str) -> None:
        if self._closed or why == self.last_error:
            return
        self.last_error = why
        if self._quiet:
            return
        if why:
            log.warn("Redis at {address} is away: {why}", address=self.address, why=why)
        else:
            log.info("Redis at {address} answers again", address=self.address)


def require_version(info: str, address: str) -> None:
    """Raise StartError when the reply to INFO is not from a Redis that can be worked with."""
    found = re.search(r"^redis_version:((\d+)\.(\d+)\S*)", info, re.MULTILINE)
    if found is None:
        raise StartError(f"Redis at {address} does not tell its version: at least 6.2 is needed")
    if (int(found[2]), int(found[3])) < OLDEST:
        raise StartError(f"Redis at {address} is version {found[1]}: at least 6.2 is needed, upgrade it")


def _meaning(error: str, what: str) -> VmpoolerError:
    if passing := PASSING.search(error):
        return StoreAway(f"Redis is away: {passing[0].removeprefix(': -')}")
    return StoreFault(f"{what}: {error}")


def _endpoint(settings: Redis, reactor: Any) -> IStreamClientEndpoint:
    """Where the settings point to. Raises StartError when the certificates cannot be read."""
    if settings.socket:
        return UNIXClientEndpoint(reactor, settings.socket, CONNECT_TIMEOUT)
    tcp = HostnameEndpoint(reactor, settings.server, settings.port, timeout=CONNECT_TIMEOUT)
    if not settings.tls:
        return tcp
    trust = _certificates(settings.tls_ca_file) if settings.tls_ca_file else platformTrust()
    return wrapClientTLS(optionsForClientTLS(settings.server, trust), tcp)


def _certificates(path: str) -> Any:
    try:
        certificates = [Certificate.loadPEM(block) for block in PEM.findall(Path(path).read_bytes())]
    except Exception as error:
        raise StartError(f"redis.tls_ca_file: cannot read {path}: {error}") from None
    if not certificates:
        raise StartError(f"redis.tls_ca_file: no certificate in {path}")
    return trustRootFromCertificates(certificates)
