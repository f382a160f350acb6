"""Reads the records, histories, queues and tags of single VMs."""

from collections.abc import Mapping, Sequence
from typing import Any

from vmpooler.domain.events import Event
from vmpooler.domain.model import PRECEDENCE, Queue
from vmpooler.store import keys
from vmpooler.store.redis.scripts import RedisCommands, load
from vmpooler.store.stored import members, paired


class Vms:
    """Read access to VM records and histories."""

    def __init__(self, connection: RedisCommands) -> None:
        self._connection = connection

    async def record(self, vm: str) -> Mapping[str, str]:
        """Return the fields of a VM's record; empty when the VM has no record."""
        flat = await self._connection.call("HGETALL", keys.record(vm))
        return dict(flat) if isinstance(flat, Mapping) else paired(flat)

    async def history(self, vm: str) -> list[Mapping[str, Any]]:
        """Return the events of a VM as stored, oldest first; unreadable entries are left out."""
        entries = [members(entry) for entry in await self._connection.call("LRANGE", keys.history(vm), 0, -1)]
        return [entry for entry in entries if entry is not None]

    async def timeline(self, vm: str) -> list[Event]:
        """Return the history as events with an empty id; kinds that this version does not know are left out."""
        found = (Event.of("", entry) for entry in await self.history(vm))
        return [event for event in found if event is not None]

    async def queue(self, vm: str, pool: str) -> Queue | None:
        """Return the queue of the pool that a VM is in; None when it is in no queue."""
        queues = [keys.queue(queue, pool) for queue in PRECEDENCE]
        found = await self._connection.run(load("where"), queues=queues, vm=vm)
        return next((queue for queue, here in zip(PRECEDENCE, found, strict=True) if here), None)

    async def tags(self, vms: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the tags in the VMs' records, by VM; the names begin with ``tag:``."""
        found = await self._connection.run(load("tags"), records=[keys.record(vm) for vm in vms])
        pairs = [paired(flat) for flat in found]
        return dict(zip(vms, pairs, strict=True))
