"""``/dashboard/pools/{name}`` and ``/dashboard/vms/{name}``: details of a pool and of a VM."""

from collections.abc import Callable

from vmpooler.domain.errors import NoSuchVm, UnknownPools
from vmpooler.domain.model import Queue
from vmpooler.domain.names import short
from vmpooler.settings import Pool, Settings
from vmpooler.store.commands.registry import Leftovers, Registry
from vmpooler.store.queries.event_log import EventHistory
from vmpooler.store.queries.overview import Overviews
from vmpooler.store.queries.pool_state import read_state
from vmpooler.store.queries.vms import Vms
from vmpooler.store.redis.client import Connection
from vmpooler.web.events.log import to_json
from vmpooler.web.http.json import Json
from vmpooler.web.http.server import Request
from vmpooler.web.views import pool as pool_view
from vmpooler.web.views import vm as vm_view

EVENTS = 50
"""Events of a pool that are returned."""


class DetailRoutes:
    """The routes for the details of a pool and of a VM."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        overviews: Overviews,
        past: EventHistory,
        wall: Callable[[], float],
    ) -> None:
        self._pools = {pool.name: pool for pool in settings.pools}
        self._lifetime = settings.general.vm_lifetime
        self._connection = connection
        self._overviews = overviews
        self._past = past
        self._vms = Vms(connection)
        self._registry = Registry(connection)
        self._wall = wall

    async def pool(self, request: Request, name: str) -> Json:
        """Return a pool: its settings, its VMs by queue, its last events. Raises UnknownPools."""
        now, left = self._wall(), await self._overviews.leftovers()
        pool = self._pools.get(name)
        if pool is None:
            pool = await self._drained(name, left)
        seen = await self._overviews.read([name], now)
        found = pool_view.by_queue((await read_state(self._connection, name, self._lifetime)).vms)
        shown = [vm.name for vms in found.values() for vm in vms[: pool_view.SHOWN_MOST] if vm.queue is Queue.RUNNING]
        tags = {vm: vm_view.tagged(fields) for vm, fields in (await self._vms.tags(shown)).items()}
        events = await self._past.latest(EVENTS, lambda event: event.pool == name)
        row = pool_view.row(pool, seen.pools[name]) | left.notes.get(name, {})
        known = {"now": now, "pool": row, "settings": pool_view.settings(pool)}
        return {**known, **pool_view.queues(found, tags, now), "events": [to_json(event) for event in events]}

    async def _drained(self, name: str, left: Leftovers) -> Pool:
        """A pool that is not configured and has VMs. Raises UnknownPools for any other."""
        if name not in {each.pool for each in left.drained}:
            raise UnknownPools(name)
        memory = await self._registry.recall(name)
        return memory.pool if memory else Pool(name=name, size=0)

    async def vm(self, request: Request, host: str) -> Json:
        """Return a VM: its record, and all its events. Raises NoSuchVm."""
        now, vm = self._wall(), short(host)
        record, timeline = await self._vms.record(vm), await self._vms.timeline(vm)
        if not record and not timeline:
            raise NoSuchVm(f"{vm} is not known")
        pool = record.get("pool") or record.get("template") or (timeline[-1].pool if timeline else "")
        queue = await self._vms.queue(vm, pool) if pool else None
        if queue is None:  # it may have been destroyed since: then the record has that now
            record, timeline = await self._vms.record(vm), await self._vms.timeline(vm)
        known = vm_view.details(record, queue, self._lifetime, now) | {"pool": pool or None}
        events = [{name: value for name, value in to_json(event).items() if name != "id"} for event in timeline]
        return {"now": now, "name": vm, **known, "timeline": events}
