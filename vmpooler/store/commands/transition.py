"""Runs the scripts that share the prelude: their common keys and arguments precede the script's own."""

from typing import Any

import attrs

from vmpooler.store import keys
from vmpooler.store.redis.commands import Commands
from vmpooler.store.redis.scripts import Given, load


@attrs.frozen
class Transitions:
    """Runs scripts that write events. The stream keeps about ``kept`` events; ``by`` is the author that events name."""

    connection: Commands
    kept: int
    by: str

    async def run(self, script: str, pool: str, vm: str, now: float, /, **own: Given) -> Any:
        """Run a script for a VM of a pool (either may be empty) at ``now`` (epoch), and return its result.

        ``own``: the keys and arguments that are not those of the prelude.
        """
        return await self.connection.run(load(script), **head(pool, vm, now, self.kept, self.by), **own)


def head(pool: str, vm: str, now: float, kept: int, by: str) -> dict[str, str | int]:
    """Return the keys and arguments of the prelude."""
    return {
        "events": keys.EVENTS,
        "now": f"{now:.3f}",
        "kept": kept,
        "by": by,
        "pool": pool,
        "vm": vm,
    }
