"""Runs the scripts that share the prelude: their common keys and arguments precede the script's own."""

from collections.abc import Sequence
from typing import Any

import attrs

from vmpooler.store import keys
from vmpooler.store.redis.commands import Commands
from vmpooler.store.redis.scripts import load


@attrs.frozen
class Transitions:
    """Runs scripts that write events. The stream keeps about ``kept`` events; ``by`` is the author that events name."""

    connection: Commands
    kept: int
    by: str

    async def run(
        self, script: str, pool: str, vm: str, now: float, touched: Sequence[str], args: Sequence[str | int | float]
    ) -> Any:
        """Run a script for a VM of a pool (either may be empty) at ``now`` (epoch), and return its result."""
        head = (keys.EVENTS, keys.record(vm), keys.history(vm))
        known = (f"{now:.3f}", self.kept, self.by, pool, vm)
        return await self.connection.run(load(script), (*head, *touched), (*known, *args))
