"""What is known of one VM."""

import json
from collections.abc import Mapping
from typing import Any

from vmpooler.store import keys
from vmpooler.store.connection import Connection


class Vms:
    """The records of VMs, and their histories."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def record(self, vm: str) -> Mapping[str, str]:
        """The fields of a VM's record; empty when there is none."""
        flat = await self._connection.call("HGETALL", keys.record(vm))
        return dict(flat) if isinstance(flat, Mapping) else dict(zip(flat[::2], flat[1::2], strict=True))

    async def history(self, vm: str) -> list[Mapping[str, Any]]:
        """The events of a VM, the oldest first."""
        return [json.loads(entry) for entry in await self._connection.call("LRANGE", keys.history(vm), 0, -1)]
