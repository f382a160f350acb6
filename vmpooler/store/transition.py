"""How the scripts are run that share the prelude: what they have in common goes before what each wants."""

from collections.abc import Sequence
from typing import Any

import attrs

from vmpooler.store import keys
from vmpooler.store.commands import Commands
from vmpooler.store.scripts import load


@attrs.frozen
class Transitions:
    """Runs scripts that write events, of which the stream keeps ``kept``, made by ``by``."""

    connection: Commands
    kept: int
    by: str

    async def run(
        self, script: str, pool: str, vm: str, now: float, touched: Sequence[str], args: Sequence[str | int | float]
    ) -> Any:
        """What the script returns, of a VM of a pool (either may be empty), at ``now`` (epoch)."""
        head = (keys.EVENTS, keys.record(vm), keys.history(vm))
        known = (f"{now:.3f}", self.kept, self.by, pool, vm)
        return await self.connection.run(load(script), (*head, *touched), (*known, *args))
