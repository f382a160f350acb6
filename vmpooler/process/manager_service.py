"""The manager of a process, and what the process reports while it leads: log lines and metrics."""

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from vmpooler.domain.names import random_name
from vmpooler.log import log_event
from vmpooler.manager.manager import Manager
from vmpooler.metrics.graphite import GraphiteClient
from vmpooler.metrics.registry import MetricsRegistry
from vmpooler.providers.plugins import drainers_of, providers_of
from vmpooler.settings import Settings
from vmpooler.store.failover.lease import Lease
from vmpooler.store.redis.client import Connection
from vmpooler.store.stream import EventStream, Listener


class Managing:
    """A manager with everything that it needs. ``alone``: no other manager can use this Redis."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        events: EventStream,
        alone: bool,
        reactor: Any,
        wall: Callable[[], float],
    ) -> None:
        self._events = events
        self._graphite = GraphiteClient(settings.graphite, reactor) if settings.graphite else None
        metrics = MetricsRegistry(self._graphite) if self._graphite else MetricsRegistry()
        process = f"{socket.gethostname()}-{os.getpid()}"
        self._manager = Manager(
            settings,
            events,
            lambda: Lease(connection, reactor, f"{process}-{random_name(secrets.choice, 6)}", alone=alone),
            partial(providers_of, settings, reactor, wall),
            reactor,
            wall,
            secrets.choice,
            metrics.sampled,
            drainers=partial(drainers_of, settings, reactor, wall),
        )
        self._listen(log_event)
        self._listen(metrics.on_event)

    def state(self) -> Mapping[str, Any]:
        """Return the state of the manager, for programs that monitor processes."""
        return self._manager.state()

    def wake_all(self) -> None:
        """Run a round of each pool now if this process leads, because Redis may have lost data."""
        self._manager.wake_all()

    async def start(self) -> None:
        """Lead or stand by. Raises ProviderError for a provider whose settings cannot work."""
        if self._graphite is not None:
            self._graphite.start()
        await self._manager.start()

    async def stop(self, seconds: float) -> None:
        """End the work on VMs within ``seconds``, and drop the leadership lease."""
        await self._manager.stop(seconds)

    def leave(self) -> Deferred[None] | None:
        """Disconnect from Graphite."""
        return self._graphite.stop() if self._graphite is not None else None

    def _listen(self, listener: Listener) -> None:
        """Call ``listener`` for events while this process leads, so that only one process reports them."""
        self._events.listen(lambda event: listener(event) if self._manager.leads else None)
