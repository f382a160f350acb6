"""Redis Sentinel: an endpoint that leads to whoever is the primary.

Note [Whom to believe]

All sentinels are asked, each time that a wire is to be made and once a second besides, and the one with the newest
configuration (the highest epoch) is believed: one that was cut off from the others still tells of an old primary. To
be asked once a second is all that they need to do: a sentinel's messages (``+switch-master``) come at the same time
as the new answer, and get lost with the connection they come on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import LoopingCall, deferLater
from zope.interface import implementer

from vmpooler.domain.errors import StoreAway
from vmpooler.settings import SENTINEL_PORT, Redis, address_of
from vmpooler.store.endpoint import endpoint_of
from vmpooler.store.wire import ServerError, Wires, told

AGAIN = 1.0
"""Seconds between two questions."""

PATIENCE = 1.0
"""Seconds that a sentinel may take to answer."""

MOMENT = 0.01
"""Seconds between two looks whether all sentinels can be asked, at the start: one alone may tell of an old primary."""

CONNECTING = "not connected yet"

Address = tuple[str, int]


@implementer(IStreamClientEndpoint)
class Sentinels:
    """Leads to the primary that the sentinels of the settings name, from ``start`` on. ``moved`` is told when it is
    another than before. Raises StartError when the certificates cannot be read."""

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
        """Begin to ask."""
        self._began = self._reactor.seconds()
        for sentinel in self._sentinels:
            sentinel.wires.connect(sentinel.endpoint)
        self._asking.start(AGAIN, now=False)

    async def close(self) -> None:
        """Ask no more."""
        if self._asking.running:
            self._asking.stop()
        await gatherResults([sentinel.wires.close() for sentinel in self._sentinels])

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect to the primary."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: Any) -> Any:
        while self._reactor.seconds() < self._began + PATIENCE and any(
            sentinel.trouble == CONNECTING for sentinel in self._sentinels
        ):
            await deferLater(self._reactor, MOMENT)
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
        """Where the primary is. Raises StoreAway when no sentinel tells."""
        name = self._settings.sentinel_master
        asked = [Deferred.fromCoroutine(sentinel.tell(name)) for sentinel in self._sentinels]
        told = [answer for success, answer in await DeferredList(asked, consumeErrors=True) if success]
        if not told:
            why = "; ".join(f"{sentinel.address}: {sentinel.trouble}" for sentinel in self._sentinels)
            raise StoreAway(f"no sentinel tells where {name} is ({why})")
        _, where = max(told)
        before, self._primary = self._primary, where
        if before not in (None, where):
            self._moved(f"the primary is now {where[0]}:{where[1]}")
        return where


class _Sentinel:
    """One of them, over a wire of its own. ``trouble`` is why it does not tell."""

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
        self.wires = Wires(own, 1, PATIENCE, reactor, self._told)

    async def tell(self, name: str) -> tuple[int, Address]:
        """How new its configuration is, and where it says the primary is. Raises StoreAway."""
        wires = self.wires.ready()
        if not wires:
            raise StoreAway(self.trouble)
        # MASTER names the new primary only when the other replicas follow it, the first command as soon as it is one.
        asked = [wires[0].execute_command("SENTINEL", what, name) for what in ("GET-MASTER-ADDR-BY-NAME", "MASTER")]
        (_, where), (_, known) = await DeferredList(asked, consumeErrors=True)
        try:
            host, port = where
            return int(dict(zip(known[::2], known[1::2], strict=True))["config-epoch"]), (host, int(port))
        except (TypeError, ValueError, KeyError):
            refusal = getattr(known, "value", None)
            self.trouble = told(refusal) if isinstance(refusal, ServerError | StoreAway) else "it makes no sense"
            raise StoreAway(self.trouble) from None

    def _told(self, why: str) -> None:
        self.trouble = why
