"""GET /healthz and GET /readyz, for systems that monitor processes."""

from collections.abc import Callable, Mapping
from typing import Any

from vmpooler.store.commands.registry import leader_and_leftovers
from vmpooler.store.queries import stats
from vmpooler.store.redis.scripts import RedisCommands
from vmpooler.web.http.json import Json
from vmpooler.web.http.server import Request
from vmpooler.web.views.pool import left_of

State = Callable[[], Mapping[str, Any]]
"""Returns what /readyz reports of this process: its manager, if it has one, and processes with other pools."""


class HealthRoutes:
    """``/healthz`` and ``/readyz``."""

    def __init__(self, connection: RedisCommands, state: State) -> None:
        self._connection = connection
        self._state = state

    async def health(self, request: Request) -> Json:
        """Return whether requests can be served, and for which pools the mass guard is active."""
        flagged = await stats.flagged(self._connection)
        return {"ok": True, "flagged": flagged} if flagged else {"ok": True}

    async def ready(self, request: Request) -> Json:
        """Return whether this process is ready, which manager leads, and the state of this process's manager.

        The reply also contains, when they exist, pools that are drained or have moved, and processes with other pools.
        """
        await self._connection.call("PING")  # a Redis that cannot save its data refuses PING
        lease, left = await leader_and_leftovers(self._connection)
        epoch, _, name = lease.partition(" ")
        leader = {"name": name, "epoch": int(epoch)} if epoch else None
        return {"ok": True, "leader": leader, **self._state(), **left_of(left)}
