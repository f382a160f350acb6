"""What is known of one VM."""

from collections.abc import Mapping, Sequence
from typing import Any

from vmpooler.domain.events import Event
from vmpooler.domain.model import PRECEDENCE, Queue
from vmpooler.store import keys
from vmpooler.store.connection import Caller
from vmpooler.store.scripts import load
from vmpooler.store.stored import members


class Vms:
    """The records of VMs, and their histories."""

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    async def record(self, vm: str) -> Mapping[str, str]:
        """The fields of a VM's record; empty when there is none."""
        flat = await self._connection.call("HGETALL", keys.record(vm))
        return dict(flat) if isinstance(flat, Mapping) else dict(zip(flat[::2], flat[1::2], strict=True))

    async def history(self, vm: str) -> list[Mapping[str, Any]]:
        """The events of a VM, the oldest first."""
        entries = [members(entry) for entry in await self._connection.call("LRANGE", keys.history(vm), 0, -1)]
        return [entry for entry in entries if entry is not None]

    async def timeline(self, vm: str) -> list[Event]:
        """The same as events, which have no id; those of kinds that this version lacks are left out."""
        found = (Event.of("", entry) for entry in await self.history(vm))
        return [event for event in found if event is not None]

    async def queue(self, vm: str, pool: str) -> Queue | None:
        """The queue of its pool that a VM stands in; None for none."""
        touched = [keys.queue(queue, pool) for queue in PRECEDENCE]
        found = await self._connection.run(load("where"), touched, (vm,))
        return next((queue for queue, here in zip(PRECEDENCE, found, strict=True) if here), None)

    async def tags(self, vms: Sequence[str]) -> dict[str, dict[str, str]]:
        """The tags of VMs, as they stand in their records."""
        found = await self._connection.run(load("tags"), [keys.record(vm) for vm in vms], ())
        pairs = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in found]
        return dict(zip(vms, pairs, strict=True))
