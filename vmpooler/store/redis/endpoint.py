"""Where Redis is: the endpoint in the settings (Unix socket, TCP or TLS), or the primary that sentinels report.

Note [Whom to believe]

All sentinels are queried each time that a wire connects, and also once a second. The answer with the newest
configuration (the highest epoch) is used, because a sentinel that was disconnected from the others still reports an old
primary. Polling once a second is sufficient: a sentinel's messages (``+switch-master``) arrive at the same time as the
new answer, and are lost together with their connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.internet.task import LoopingCall, deferLater
from zope.interface import implementer

from vmpooler.domain.errors import StartError, StoreAway
from vmpooler.settings import SENTINEL_PORT, Redis, address_of
from vmpooler.store.redis.protocol import ServerError, Wires, message_of
from vmpooler.store.stored import paired

CONNECT_TIMEOUT = 5.0
"""Timeout of one connection attempt, in seconds."""

PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

QUERY_INTERVAL = 1.0
"""Seconds between two queries."""

QUERY_TIMEOUT = 1.0
"""Timeout of a sentinel's answer, in seconds; also the longest wait for all sentinels at the start."""

CHECK_INTERVAL = 0.01
"""Seconds between two checks at the start whether all sentinels can be queried: one alone may report an old primary."""

CONNECTING = "not connected yet"

Address = tuple[str, int]


def endpoint_of(settings: Redis, reactor: Any) -> IStreamClientEndpoint:
    """Return the endpoint that the settings describe. Raises StartError when the certificates cannot be read."""
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


@implementer(IStreamClientEndpoint)
class Sentinels:
    """An endpoint that connects to the primary that the configured sentinels report, after ``start``.

    ``moved`` is called with a reason when the primary changes. Raises StartError when the certificates cannot be read.
    """

    def __init__(self, settings: Redis, reactor: Any, moved: Callable[[str], None]) -> None:
        self._settings = settings
        self._reactor = reactor
        self._moved = moved
        self._primary: Address | None = None
        self._began = 0.0
        self._asking = LoopingCall(lambda: Deferred.fromCoroutine(self._look()))
        self._asking.clock = reactor
        self._sentinels = [_Sentinel(settings, address, reactor) for address in settings.sentinels]

    def start(self) -> None:
        """Connect to the sentinels and start to query them."""
        self._began = self._reactor.seconds()
        for sentinel in self._sentinels:
            sentinel.wires.connect(sentinel.endpoint)
        self._asking.start(QUERY_INTERVAL, now=False)

    async def close(self) -> None:
        """Stop the queries and close the connections to the sentinels."""
        if self._asking.running:
            self._asking.stop()
        await gatherResults([sentinel.wires.close() for sentinel in self._sentinels])

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect to the primary. Fails with StoreAway when no sentinel reports one."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: Any) -> Any:
        while self._reactor.seconds() < self._began + QUERY_TIMEOUT and any(
            sentinel.trouble == CONNECTING for sentinel in self._sentinels
        ):
            await deferLater(self._reactor, CHECK_INTERVAL)
        where = await self._located()
        settings = attrs.evolve(self._settings, server=where[0], port=where[1])
        wire: Any = await endpoint_of(settings, self._reactor).connect(factory)
        if where != self._primary:
            wire.cut("the primary has changed meanwhile")
        return wire

    async def _look(self) -> None:
        with suppress(StoreAway):
            await self._located()

    async def _located(self) -> Address:
        """Return the address of the primary. Raises StoreAway when no sentinel reports one."""
        name = self._settings.sentinel_master
        asked = [Deferred.fromCoroutine(sentinel.answer(name)) for sentinel in self._sentinels]
        answers = [answer for each in asked if (answer := await each)]
        if not answers:
            why = "; ".join(f"{sentinel.address}: {sentinel.trouble}" for sentinel in self._sentinels)
            raise StoreAway(f"no sentinel returns the address of {name} ({why})")
        _, where = max(answers)
        before, self._primary = self._primary, where
        if before not in (None, where):
            self._moved(f"the primary is now {where[0]}:{where[1]}")
        return where


class _Sentinel:
    """One sentinel, over its own wire. ``trouble`` is the reason why it has no answer."""

    def __init__(self, settings: Redis, address: str, reactor: Any) -> None:
        host, port = address_of(address, SENTINEL_PORT)
        own = Redis(
            server=host,
            port=port,
            username=settings.sentinel_username,
            password=settings.sentinel_password,
            tls=settings.tls,
            tls_ca_file=settings.tls_ca_file,
        )
        self.address = f"{host}:{port}"
        self.trouble = CONNECTING
        self.endpoint = endpoint_of(own, reactor)
        self.wires = Wires(own, 1, QUERY_TIMEOUT, reactor, self._on_state)

    async def answer(self, name: str) -> tuple[int, Address] | None:
        """Return the epoch of its configuration, and the address of the primary; None when it does not report them."""
        wires = self.wires.ready()
        if not wires:
            return None
        # GET-MASTER-ADDR-BY-NAME returns a new primary immediately, MASTER only after the other replicas follow it.
        asked = [wires[0].execute_command("SENTINEL", what, name) for what in ("GET-MASTER-ADDR-BY-NAME", "MASTER")]
        try:
            (host, port), known = await gatherResults(asked, consumeErrors=True)
            return int(paired(known)["config-epoch"]), (host, int(port))
        except FirstError as error:
            if not error.subFailure.check(ServerError, StoreAway):
                error.subFailure.raiseException()  # cancelled: the wire that asks is closed
            self.trouble = message_of(error.subFailure.value)
        except (TypeError, ValueError, KeyError):
            self.trouble = "its answer is invalid"
        return None

    def _on_state(self, why: str) -> None:
        self.trouble = why
